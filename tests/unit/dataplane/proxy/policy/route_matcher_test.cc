#include "dataplane/proxy/policy/route_matcher.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"
#include "tls/handshake.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using PathKind = config::PathMatcher::Kind;
using TextKind = config::StringMatcher::Kind;
using HeaderKind = config::HeaderMatcher::Kind;

// A table whose virtual hosts are named after their only domain.
config::RouteTable table_of(std::initializer_list<std::string_view> domains) {
  config::RouteTable table;
  std::map<std::size_t, config::RouteTable::ByText<std::uint32_t>, std::greater<>> suffixes;
  std::map<std::size_t, config::RouteTable::ByText<std::uint32_t>, std::greater<>> prefixes;
  for (const std::string_view domain : domains) {
    const auto index = static_cast<std::uint32_t>(table.virtual_hosts.size());
    table.virtual_hosts.push_back({});
    table.virtual_hosts.back().name = domain;
    if (domain == "*") {
      table.default_domain = index;
    } else if (domain.starts_with('*')) {
      suffixes[domain.size() - 1][std::string(domain.substr(1))] = index;
    } else if (domain.ends_with('*')) {
      prefixes[domain.size() - 1][std::string(domain.substr(0, domain.size() - 1))] = index;
    } else {
      table.exact_domains[std::string(domain)] = index;
    }
  }
  for (auto& entry : suffixes) table.suffix_domains.emplace_back(entry.first, std::move(entry.second));
  for (auto& entry : prefixes) table.prefix_domains.emplace_back(entry.first, std::move(entry.second));
  return table;
}

std::string host_for(const config::RouteTable& table, std::string_view authority) {
  const config::VirtualHost* host = find_virtual_host(table, authority);
  return host == nullptr ? "(none)" : host->name;
}

TEST(VirtualHostLookup, PrefersExactThenLongestSuffixThenLongestPrefixThenAny) {
  const auto table = table_of({"*", "www.*", "www.example.*", "*.com", "*.example.com", "www.example.com"});
  EXPECT_EQ(host_for(table, "www.example.com"), "www.example.com");
  EXPECT_EQ(host_for(table, "api.example.com"), "*.example.com");
  EXPECT_EQ(host_for(table, "api.other.com"), "*.com");
  EXPECT_EQ(host_for(table, "www.other.com"), "*.com") << "a suffix beats a prefix";
  EXPECT_EQ(host_for(table, "www.example.org"), "www.example.*");
  EXPECT_EQ(host_for(table, "www.other.org"), "www.*");
  EXPECT_EQ(host_for(table, "other.org"), "*");
}

TEST(VirtualHostLookup, IgnoresCase) { EXPECT_EQ(host_for(table_of({"example.com"}), "EXAMPLE.Com"), "example.com"); }

TEST(VirtualHostLookup, FindsNothingWithoutADefault) {
  EXPECT_EQ(host_for(table_of({"example.com"}), "other.com"), "(none)");
  EXPECT_EQ(host_for(table_of({"example.com"}), ""), "(none)");
  EXPECT_EQ(host_for(table_of({"*", "*.a"}), std::string(5'000, 'x') + ".a"), "*") << "no domain is that long";
}

TEST(VirtualHostLookup, AWildcardStandsForAtLeastOneCharacter) {
  EXPECT_EQ(host_for(table_of({"*.example.com"}), ".example.com"), "(none)");
  EXPECT_EQ(host_for(table_of({"example.*"}), "example."), "(none)");
  EXPECT_EQ(host_for(table_of({"*-bar.com"}), "foo-bar.com"), "*-bar.com");
}

TEST(VirtualHostLookup, ThePortCountsUnlessItIsIgnored) {
  auto table = table_of({"example.com", "example.com:81", "[::1]"});
  EXPECT_EQ(host_for(table, "example.com:81"), "example.com:81");
  EXPECT_EQ(host_for(table, "example.com:82"), "(none)");
  table.ignore_port_in_host = true;
  EXPECT_EQ(host_for(table, "example.com:82"), "example.com");
  EXPECT_EQ(host_for(table, "[::1]:82"), "[::1]");
  EXPECT_EQ(host_for(table, "[::1]"), "[::1]");
}

config::PathMatcher path_matcher(PathKind kind, std::string_view text, bool case_sensitive = true) {
  config::PathMatcher matcher;
  matcher.kind = kind;
  matcher.case_sensitive = case_sensitive;
  if (kind == PathKind::kRegex) {
    matcher.regex = regex(std::string(text));
  } else {
    matcher.text = text;
  }
  return matcher;
}

TEST(PathMatcher, EachKindWithoutQueryAndFragment) {
  struct Case {
    PathKind kind;
    std::string_view text;
    std::string_view path;
    bool expected;
  };
  constexpr Case kCases[] = {
      {PathKind::kPrefix, "/", "/anything", true},
      {PathKind::kPrefix, "/api", "/apix", true},
      {PathKind::kPrefix, "/api", "/ap", false},
      {PathKind::kPrefix, "/api", "/API", false},
      {PathKind::kPrefix, "/a?b", "/a?b", false},
      {PathKind::kExact, "/api", "/api", true},
      {PathKind::kExact, "/api", "/api?x=1", true},
      {PathKind::kExact, "/api", "/api#top", true},
      {PathKind::kExact, "/api", "/api/", false},
      {PathKind::kPathSeparatedPrefix, "/api", "/api", true},
      {PathKind::kPathSeparatedPrefix, "/api", "/api?x", true},
      {PathKind::kPathSeparatedPrefix, "/api", "/api/v1", true},
      {PathKind::kPathSeparatedPrefix, "/api", "/apix", false},
      {PathKind::kRegex, "/b[io]t", "/bit?x=/bot", true},
      {PathKind::kRegex, "/b[io]t", "/bits", false},
      {PathKind::kRegex, "b[io]t", "/bit", false},
  };
  for (const Case& c : kCases) EXPECT_EQ(matches(path_matcher(c.kind, c.text), c.path, 0), c.expected) << c.text << " " << c.path;
}

TEST(PathMatcher, IgnoresCaseWhenTold) {
  EXPECT_TRUE(matches(path_matcher(PathKind::kPrefix, "/Api", false), "/aPI/x", 0));
  EXPECT_TRUE(matches(path_matcher(PathKind::kExact, "/Api", false), "/aPI", 0));
  EXPECT_TRUE(matches(path_matcher(PathKind::kPathSeparatedPrefix, "/Api", false), "/api/", 0));
}

TEST(PathMatcher, ARegexWithoutAProgramForTheWorkerMatchesNothing) {
  EXPECT_FALSE(matches(path_matcher(PathKind::kRegex, ".*"), "/", 1));
}

TEST(StringMatcher, EachKind) {
  EXPECT_TRUE(matches(text_matcher(TextKind::kExact, "abc"), "abc", 0));
  EXPECT_FALSE(matches(text_matcher(TextKind::kExact, "abc"), "ABC", 0));
  EXPECT_TRUE(matches(text_matcher(TextKind::kExact, "abc", true), "ABC", 0));
  EXPECT_TRUE(matches(text_matcher(TextKind::kPrefix, "ab"), "abc", 0));
  EXPECT_TRUE(matches(text_matcher(TextKind::kSuffix, "bc", true), "aBC", 0));
  EXPECT_FALSE(matches(text_matcher(TextKind::kSuffix, "xabc"), "abc", 0));
  EXPECT_TRUE(matches(text_matcher(TextKind::kContains, "b"), "abc", 0));
  EXPECT_TRUE(matches(text_matcher(TextKind::kContains, "bc", true), "aBCd", 0));
  EXPECT_FALSE(matches(text_matcher(TextKind::kContains, "bd", true), "aBCd", 0));
  config::StringMatcher matcher;
  matcher.kind = TextKind::kRegex;
  matcher.regex = regex("a+");
  EXPECT_TRUE(matches(matcher, "aaa", 0));
  EXPECT_FALSE(matches(matcher, "aab", 0));
}

config::HeaderMatcher header_matcher(HeaderKind kind, std::string_view name) {
  config::HeaderMatcher matcher;
  matcher.kind = kind;
  matcher.name = name;
  return matcher;
}

TEST(HeaderMatcher, PresenceWithAllItsInversions) {
  Request request("/", {{"X-There", ""}});
  for (const bool there : {true, false}) {
    for (const bool present : {true, false}) {
      for (const bool invert : {true, false}) {
        auto matcher = header_matcher(HeaderKind::kPresent, there ? "x-there" : "x-not");
        matcher.present = present;
        matcher.invert = invert;
        EXPECT_EQ(matches(matcher, request.head, 0), (there == present) != invert) << there << present << invert;
      }
    }
  }
}

TEST(HeaderMatcher, AnAbsentFieldMatchesNothingEvenInverted) {
  Request request;
  auto matcher = header_matcher(HeaderKind::kString, "x-not");
  matcher.string = text_matcher(TextKind::kExact, "a");
  EXPECT_FALSE(matches(matcher, request.head, 0));
  matcher.invert = true;
  EXPECT_FALSE(matches(matcher, request.head, 0));
}

TEST(HeaderMatcher, TreatsMissingAsEmptyWhenTold) {
  Request request;
  auto matcher = header_matcher(HeaderKind::kString, "x-not");
  matcher.treat_missing_as_empty = true;
  matcher.string = text_matcher(TextKind::kExact, "");
  EXPECT_TRUE(matches(matcher, request.head, 0));
  matcher.string = text_matcher(TextKind::kExact, "a");
  matcher.invert = true;
  EXPECT_TRUE(matches(matcher, request.head, 0));
}

TEST(HeaderMatcher, JoinsSeveralFieldsByComma) {
  Request request("/", {{"x-a", "1"}, {"x-b", "9"}, {"x-a", "2"}});
  auto matcher = header_matcher(HeaderKind::kString, "x-a");
  matcher.string = text_matcher(TextKind::kExact, "1,2");
  EXPECT_TRUE(matches(matcher, request.head, 0));
}

TEST(HeaderMatcher, ARangeIsHalfOpenAndWantsAWholeNumber) {
  auto matcher = header_matcher(HeaderKind::kRange, "x-n");
  matcher.range_start = -10;
  matcher.range_end = 10;
  const auto matches_value = [&](std::string_view value) {
    Request request("/", {{"x-n", value}});
    return matches(matcher, request.head, 0);
  };
  EXPECT_TRUE(matches_value("-10"));
  EXPECT_TRUE(matches_value("9"));
  EXPECT_FALSE(matches_value("10"));
  EXPECT_FALSE(matches_value("-11"));
  EXPECT_FALSE(matches_value("1.5"));
  EXPECT_FALSE(matches_value("5x"));
  EXPECT_FALSE(matches_value(""));
  EXPECT_FALSE(matches_value("99999999999999999999"));
}

TEST(HeaderMatcher, SeesPseudoFields) {
  Request request("/p?q");
  request.head.scheme = "http";
  const auto is = [&](std::string_view name, std::string_view value) {
    auto matcher = header_matcher(HeaderKind::kString, name);
    matcher.string = text_matcher(TextKind::kExact, value);
    return matches(matcher, request.head, 0);
  };
  EXPECT_TRUE(is(":method", "GET"));
  EXPECT_TRUE(is(":path", "/p?q"));
  EXPECT_TRUE(is(":authority", "example.com"));
  EXPECT_TRUE(is("host", "example.com"));
  EXPECT_TRUE(is(":scheme", "http"));
  EXPECT_FALSE(is(":unknown", ""));
}

TEST(QueryParameterMatcher, TheFirstOfThatNameDecides) {
  config::QueryParameterMatcher matcher;
  matcher.name = "a";
  EXPECT_TRUE(matches(matcher, "/?b=1&a", 0));
  EXPECT_TRUE(matches(matcher, "/?a=", 0));
  EXPECT_FALSE(matches(matcher, "/?aa=1&b=a", 0));
  EXPECT_FALSE(matches(matcher, "/a", 0));
  EXPECT_FALSE(matches(matcher, "/#?a", 0));
  matcher.present = false;
  EXPECT_FALSE(matches(matcher, "/?b=1&a", 0));
  EXPECT_TRUE(matches(matcher, "/?aa=1", 0));
  matcher.present_only = false;
  matcher.string = text_matcher(TextKind::kExact, "1");
  EXPECT_TRUE(matches(matcher, "/?b=0&a=1&a=2", 0));
  EXPECT_FALSE(matches(matcher, "/?a=2&a=1", 0));
  EXPECT_FALSE(matches(matcher, "/?b=1", 0));
}

config::Route route(std::string_view name, std::string_view prefix) {
  config::Route result;
  result.name = name;
  result.match.path = path_matcher(PathKind::kPrefix, prefix);
  return result;
}

TEST(RouteLookup, TakesTheFirstWhoseConditionsAllHold) {
  config::VirtualHost host;
  host.routes = {route("fields", "/"), route("query", "/"), route("prefix", "/api"), route("rest", "/")};
  host.routes[0].match.headers = {header_matcher(HeaderKind::kPresent, "x-a"), header_matcher(HeaderKind::kPresent, "x-b")};
  host.routes[1].match.query_parameters.push_back({.name = "q", .present_only = true, .string = {}});
  Rng rng(1);
  EXPECT_EQ(find_route(host, Request("/api/x", {{"x-a", "1"}, {"x-b", "1"}}).head, {.worker = 0, .rng = rng})->name, "fields");
  EXPECT_EQ(find_route(host, Request("/api/x", {{"x-a", "1"}}).head, {.worker = 0, .rng = rng})->name, "prefix");
  EXPECT_EQ(find_route(host, Request("/api?q=1").head, {.worker = 0, .rng = rng})->name, "query");
  EXPECT_EQ(find_route(host, Request("/other").head, {.worker = 0, .rng = rng})->name, "rest");
  host.routes.pop_back();
  EXPECT_EQ(find_route(host, Request("/other").head, {.worker = 0, .rng = rng}), nullptr);
}

TEST(RouteLookup, ARuntimeFractionLetsItsShareThrough) {
  config::VirtualHost host;
  host.routes = {route("canary", "/"), route("rest", "/")};
  host.routes[0].match.runtime_fraction = config::Fraction{.numerator = 250, .denominator = 1'000};
  Rng rng(7);
  Request request;
  int canary = 0;
  for (int i = 0; i < 100'000; ++i) canary += find_route(host, request.head, {.worker = 0, .rng = rng})->name == "canary" ? 1 : 0;
  EXPECT_NEAR(canary, 25'000, 250) << "within one percent";
  host.routes[0].match.runtime_fraction->numerator = 0;
  EXPECT_EQ(find_route(host, request.head, {.worker = 0, .rng = rng})->name, "rest");
}

TEST(RouteLookup, GrpcRequestsAreToldByTheirContentType) {
  config::VirtualHost host;
  host.routes = {route("grpc", "/"), route("rest", "/")};
  host.routes[0].match.grpc = true;
  Rng rng(1);
  const auto found = [&](std::string_view type) {
    return find_route(host, Request("/", {{"content-type", type}}).head, {.worker = 0, .rng = rng})->name;
  };
  EXPECT_EQ(found("application/grpc"), "grpc");
  EXPECT_EQ(found("application/grpc+proto"), "grpc");
  EXPECT_EQ(found("application/grpc-web"), "rest");
  EXPECT_EQ(found("text/plain"), "rest");
}

TEST(RouteLookup, ClientCertificatesMayBeAskedForOrExcluded) {
  config::VirtualHost host;
  host.routes = {route("validated", "/"), route("shown", "/"), route("none", "/"), route("rest", "/")};
  host.routes[0].match.certificate_validated = true;
  host.routes[1].match.certificate_presented = true;
  host.routes[2].match.certificate_presented = host.routes[2].match.certificate_validated = false;
  Rng rng(1);
  const auto found = [&](const tls::SessionFacts* session) {
    return find_route(host, Request("/").head, {.worker = 0, .rng = rng, .tls = session})->name;
  };
  tls::SessionFacts session;
  EXPECT_EQ(found(nullptr), "none");
  EXPECT_EQ(found(&session), "none");
  session.peer = std::make_shared<const tls::PeerCertificate>();
  EXPECT_EQ(found(&session), "shown");
  session.peer_verified = true;
  EXPECT_EQ(found(&session), "validated");
}

TEST(RouteLookup, WhatFiltersHaveLeftMayBeAskedFor) {
  config::VirtualHost host;
  host.routes = {route("group a", "/"), route("rest", "/")};
  config::MetadataMatcher matcher{"jwt", {"group"}, {}, false};
  matcher.value.kind = config::ValueMatcher::Kind::kString;
  matcher.value.string.text = "a";
  host.routes[0].match.metadata.push_back(matcher);
  Rng rng(1);
  Memory memory;
  Metadata metadata;
  const MetadataValue group{.kind = MetadataValue::Kind::kString, .text = "a", .key = "group"};
  const MetadataValue claims{.kind = MetadataValue::Kind::kStruct, .first = &group};
  EXPECT_EQ(find_route(host, Request("/").head, {.worker = 0, .rng = rng})->name, "rest");
  ASSERT_TRUE(metadata.set("jwt", claims, memory.arena));
  EXPECT_EQ(find_route(host, Request("/").head, {.worker = 0, .rng = rng, .metadata = &metadata})->name, "group a");
}

TEST(RouteLookup, ConnectMeetsItsOwnRoutesOnly) {
  config::VirtualHost host;
  host.routes = {route("prefix", ""), route("connect", "")};
  host.routes[1].match.path.kind = PathKind::kConnect;
  Rng rng(1);
  Request connect("");
  connect.head.method = "CONNECT";
  EXPECT_EQ(find_route(host, connect.head, {.worker = 0, .rng = rng})->name, "connect");
  EXPECT_EQ(find_route(host, Request("/").head, {.worker = 0, .rng = rng})->name, "prefix");
  std::swap(host.routes[0], host.routes[1]);
  EXPECT_EQ(find_route(host, Request("/").head, {.worker = 0, .rng = rng})->name, "prefix");
  host.routes.erase(host.routes.begin());
  EXPECT_EQ(find_route(host, connect.head, {.worker = 0, .rng = rng}), nullptr);
}

TEST(RouteLookup, PathParametersMayBeLeftOut) {
  config::VirtualHost host;
  host.routes = {route("exact", "/a/b")};
  host.routes[0].match.path.kind = PathKind::kExact;
  Rng rng(1);
  const Request request("/a/b;v=1/c?q");
  EXPECT_EQ(find_route(host, request.head, {.worker = 0, .rng = rng}), nullptr);
  EXPECT_NE(find_route(host, request.head, {.worker = 0, .rng = rng, .tls = nullptr, .ignore_path_parameters = true}), nullptr);
}

config::ForwardAction weighted(std::initializer_list<std::uint32_t> weights) {
  config::ForwardAction action;
  for (const std::uint32_t weight : weights) {
    action.clusters.push_back({});
    action.clusters.back().name = std::to_string(action.clusters.size());
    action.clusters.back().weight = weight;
    action.total_weight += weight;
  }
  return action;
}

TEST(ClusterChoice, FollowsTheWeights) {
  const auto action = weighted({1, 0, 3});
  Rng rng(3);
  std::map<std::string, int> counts;
  const Request request;
  for (int i = 0; i < 100'000; ++i) ++counts[choose_cluster(action, request.head, rng)->name];
  EXPECT_NEAR(counts["1"], 25'000, 250) << "within one percent";
  EXPECT_EQ(counts["2"], 0);
  EXPECT_NEAR(counts["3"], 75'000, 750);
}

TEST(ClusterChoice, ARequestMayBringItsOwnNumber) {
  auto action = weighted({10, 90});
  action.random_value_header = "x-random";
  Rng rng(3);
  const auto chosen = [&](std::string_view number) {
    return choose_cluster(action, Request("/", {{"x-random", number}}).head, rng)->name;
  };
  EXPECT_EQ(chosen("9"), "1");
  EXPECT_EQ(chosen("10"), "2");
  EXPECT_EQ(chosen("18446744073709551609"), "1");
  int first = 0;
  for (int i = 0; i < 1'000; ++i) first += chosen("9x") == "1" ? 1 : 0;
  EXPECT_NEAR(first, 100, 40) << "chance decides";
}

TEST(ClusterChoice, TheRequestMayNameTheCluster) {
  config::WeightedCluster cluster;
  cluster.name_header = "x-cluster";
  EXPECT_EQ(cluster_name(cluster, Request("/", {{"x-cluster", "a"}, {"x-cluster", "b"}}).head), "a");
  EXPECT_EQ(cluster_name(cluster, Request("/").head), "");
  cluster.name_header = ":authority";
  EXPECT_EQ(cluster_name(cluster, Request("/").head), "example.com");
}

TEST(ClusterChoice, AnOnlyClusterNeedsNoWeight) {
  Rng rng(3);
  const auto only = weighted({0});
  EXPECT_EQ(choose_cluster(only, Request().head, rng), &only.clusters.front());
  EXPECT_EQ(choose_cluster(weighted({0, 0}), Request().head, rng), nullptr);
  EXPECT_EQ(choose_cluster(weighted({}), Request().head, rng), nullptr);
}

}  // namespace
}  // namespace millrace::proxy
