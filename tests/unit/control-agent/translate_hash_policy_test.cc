#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using Source = config::HashPolicy::Source;
using testing::ElementsAre;
using testing::HasSubstr;

BootstrapText with(const std::string& policies) {
  BootstrapText text;
  text.action = "route: {cluster: origin, hash_policy: [" + policies + "]}";
  return text;
}

config::HashPolicies policies_of(const std::string& policies) {
  const auto snapshot = snapshot_of(with(policies));
  return snapshot == nullptr ? config::HashPolicies() : std::get<config::ForwardAction>(route_of(snapshot).action).hash_policies;
}

TEST(TranslateHashPolicy, TakesAllSources) {
  const auto policies = policies_of(
      "{header: {header_name: X-User, regex_rewrite: {pattern: {regex: '@.*'}, substitution: ''}}, terminal: true}, {cookie: "
      "{name: c}}, {connection_properties: {source_ip: true}}, {connection_properties: {source_ip: false}}, {query_parameter: "
      "{name: q}}");
  ASSERT_EQ(policies.size(), 4u) << "one says nothing";
  EXPECT_EQ(policies[0].source, Source::kHeader);
  EXPECT_EQ(policies[0].name, "x-user");
  ASSERT_NE(policies[0].rewrite, nullptr);
  EXPECT_EQ(policies[0].rewrite->regex.pattern, "@.*");
  EXPECT_TRUE(policies[0].terminal);
  EXPECT_EQ(policies[1].source, Source::kCookie);
  EXPECT_EQ(policies[1].name, "c");
  EXPECT_EQ(policies[1].cookie_attributes, std::nullopt);
  EXPECT_FALSE(policies[1].terminal);
  EXPECT_EQ(policies[2].source, Source::kSourceIp);
  EXPECT_EQ(policies[3].source, Source::kQueryParameter);
  EXPECT_EQ(policies[3].name, "q");
}

TEST(TranslateHashPolicy, CookiesAreMadeWithTheirAttributes) {
  EXPECT_EQ(policies_of("{cookie: {name: c, ttl: 9.5s, path: /a, attributes: [{name: SameSite, value: Lax}, {name: Secure}]}}")
                .at(0)
                .cookie_attributes,
            "; Max-Age=9; Path=/a; SameSite=Lax; Secure; HttpOnly");
  EXPECT_EQ(policies_of("{cookie: {name: c, ttl: 0s}}").at(0).cookie_attributes, "; HttpOnly") << "until the client forgets it";
}

TEST(TranslateHashPolicy, RefusesWhatItCannotDo) {
  EXPECT_THAT(errors_of(with("{filter_state: {key: k}}")),
              ElementsAre(HasSubstr("hash_policy[0].filter_state: is not supported yet: no filter writes filter state")));
  EXPECT_THAT(errors_of(with("{header: {header_name: a, regex_rewrite: {pattern: {regex: '('}, substitution: ''}}}")),
              ElementsAre(HasSubstr("hash_policy[0].header.regex_rewrite")));
}

}  // namespace
}  // namespace millrace::agent::test
