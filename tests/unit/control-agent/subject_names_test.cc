// Names of certificates against every kind of matcher, and Envoy's reading of wildcards.
#include "control-agent/subject_names.h"

#include <gtest/gtest.h>

#include <functional>

#include "tls/certificate.h"

namespace millrace::agent {
namespace {

using envoy::type::matcher::v3::StringMatcher;
using tls::NameKind;

SubjectNameMatcher matcher(const std::function<void(StringMatcher&)>& set, NameKind kind = NameKind::kUri) {
  StringMatcher message;
  set(message);
  auto made = make_name_matcher(message, {kind});
  EXPECT_TRUE(made) << made.error().text;
  return std::move(*made);
}

TEST(DnsName, MatchesWildcardsInTheFirstLabel) {
  for (const auto& [host, pattern] : {std::pair{"a.example.com", "a.example.com"},
                                      {"A.example.com", "a.EXAMPLE.com"},
                                      {"a.example.com", "*.example.com"},
                                      {"abc.example.com", "a*.example.com"},
                                      {"abc.example.com", "*c.example.com"},
                                      {"abc.example.com", "a*c.example.com"},
                                      {"ac.example.com", "a*c.example.com"},
                                      {"localhost", "localhost"}}) {
    EXPECT_TRUE(tls::matches_dns_name(pattern, host)) << host << " " << pattern;
  }
  for (const auto& [host, pattern] : {std::pair{"b.example.com", "a.example.com"},
                                      {"example.com", "*.example.com"},
                                      {"a.b.example.com", "*.example.com"},
                                      {"a.example.com", "a.*.com"},
                                      {"a.example.com", "**.example.com"},
                                      {"aba.example.com", "a*ba*.example.com"},
                                      {"a.example.com", "a*a.example.com"},
                                      {"xn--abc.example.com", "xn--*.example.com"},
                                      {"localhost", "*"},
                                      {".example.com", "*.example.com"},
                                      {"", "*"}}) {
    EXPECT_FALSE(tls::matches_dns_name(pattern, host)) << host << " " << pattern;
  }
}

TEST(SubjectNames, AreMatchedAsText) {
  const tls::SubjectName name{NameKind::kUri, "spiffe://cluster.local/ns/default/sa/Web"};
  EXPECT_TRUE(matches(matcher([](auto& m) { m.set_exact("spiffe://cluster.local/ns/default/sa/Web"); }), name));
  EXPECT_FALSE(matches(matcher([](auto& m) { m.set_exact("spiffe://cluster.local/ns/default/sa/web"); }), name));
  EXPECT_TRUE(matches(matcher([](auto& m) { m.set_prefix("spiffe://cluster.local/"); }), name));
  EXPECT_FALSE(matches(matcher([](auto& m) { m.set_prefix("spiffe://other/"); }), name));
  EXPECT_TRUE(matches(matcher([](auto& m) { m.set_suffix("/sa/Web"); }), name));
  EXPECT_TRUE(matches(matcher([](auto& m) { m.set_contains("/ns/default/"); }), name));
  EXPECT_TRUE(matches(matcher([](auto& m) { m.mutable_safe_regex()->set_regex("spiffe://.*/sa/[A-Z]eb"); }), name));
  EXPECT_FALSE(matches(matcher([](auto& m) { m.mutable_safe_regex()->set_regex("/sa/Web"); }), name));  // all of it
  EXPECT_TRUE(matches(matcher([](auto& m) {
                        m.set_suffix("/SA/WEB");
                        m.set_ignore_case(true);
                      }),
                      name));
}

TEST(SubjectNames, OfAnotherKindNeverMatch) {
  const auto uri = matcher([](auto& m) { m.set_exact("a.example"); });
  EXPECT_FALSE(matches(uri, {NameKind::kDns, "a.example"}));
  EXPECT_FALSE(matches(uri, {NameKind::kEmail, "a.example"}));
}

TEST(SubjectNames, OfDnsAreMatchedByWildcardsOnlyWhenExact) {
  const auto exact = matcher([](auto& m) { m.set_exact("a.example.com"); }, NameKind::kDns);
  EXPECT_TRUE(matches(exact, {NameKind::kDns, "*.example.com"}));
  const auto prefix = matcher([](auto& m) { m.set_prefix("a.example"); }, NameKind::kDns);
  EXPECT_FALSE(matches(prefix, {NameKind::kDns, "*.example.com"}));
}

TEST(SubjectNames, NeedOneThatMatches) {
  std::vector<SubjectNameMatcher> matchers;
  matchers.push_back(matcher([](auto& m) { m.set_exact("one"); }));
  matchers.push_back(matcher([](auto& m) { m.set_exact("two"); }));
  const auto accepts = accept_any_of(std::move(matchers));
  const tls::SubjectName good[] = {{NameKind::kDns, "x"}, {NameKind::kUri, "two"}};
  const tls::SubjectName bad[] = {{NameKind::kUri, "three"}};
  EXPECT_TRUE(accepts(good));
  EXPECT_FALSE(accepts(bad));
  EXPECT_FALSE(accepts({}));
  EXPECT_FALSE(accept_any_of({}));
}

TEST(SubjectNames, SayWhatIsWrongWithAMatcher) {
  StringMatcher message;
  message.mutable_safe_regex()->set_regex("(");
  EXPECT_EQ(make_name_matcher(message, {}).error().field, "safe_regex.regex");
  message.set_ignore_case(true);
  EXPECT_EQ(make_name_matcher(message, {}).error().field, "ignore_case");
  EXPECT_EQ(make_name_matcher({}, {}).error().field, "");
}

}  // namespace
}  // namespace millrace::agent
