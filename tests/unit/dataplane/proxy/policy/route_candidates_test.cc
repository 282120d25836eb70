#include "dataplane/proxy/policy/route_candidates.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "config/compile/route_index.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using PathKind = config::PathMatcher::Kind;

// Texts of few letters, so that they meet: one begins with another, or is it.
std::string random_path(Rng& rng) {
  constexpr std::string_view kLetters = "/aAb";
  std::string path = rng.chance(9, 10) ? "/" : "";
  for (std::uint32_t length = rng.below(7); length > 0; --length) path += kLetters[rng.below(kLetters.size())];
  return path;
}

const std::vector<config::Regex>& patterns() {
  static const std::vector<config::Regex> kPatterns = {regex("/a+"),      regex("/a/.*"), regex(".*b"),       regex("/(a|b)/a"),
                                                       regex("(?i)/ab?"), regex("/?a.*"), regex("^/aa[ab]$"), regex("/|/a|"),
                                                       regex("/a{2,3}"),  regex("[^a]*")};
  return kPatterns;
}

config::Route random_route(Rng& rng) {
  config::Route route;
  config::RouteMatch& match = route.match;
  constexpr std::array kKinds = {PathKind::kPrefix, PathKind::kExact, PathKind::kPathSeparatedPrefix, PathKind::kRegex};
  match.path.kind = kKinds[rng.below(kKinds.size())];
  match.path.case_sensitive = rng.chance(2, 3);
  if (match.path.kind == PathKind::kRegex) {
    match.path.regex = patterns()[rng.below(static_cast<std::uint32_t>(patterns().size()))];
  } else {
    match.path.text = random_path(rng);
  }
  if (rng.chance(1, 3)) {
    config::HeaderMatcher& field = match.headers.emplace_back();
    field.name = rng.chance(1, 2) ? "x-a" : "x-b";
    field.invert = rng.chance(1, 3);
  }
  if (rng.chance(1, 8)) match.query_parameters.push_back({.name = "q", .present_only = true, .string = {}});
  if (rng.chance(1, 8)) match.runtime_fraction = config::Fraction{.numerator = 1, .denominator = 2};
  return route;
}

TEST(RouteIndexLookup, FindsWhatLookingAtAllRoutesFinds) {
  Rng rng(11);
  std::size_t found = 0;
  for (int round = 0; round < 400; ++round) {
    config::VirtualHost scanned;
    for (std::uint32_t count = 9 + rng.below(rng.chance(1, 4) ? 300 : 30); count > 0; --count)
      scanned.routes.push_back(random_route(rng));
    config::VirtualHost indexed = scanned;
    indexed.index = config::index_routes(indexed.routes);
    ASSERT_FALSE(indexed.index.empty());
    for (int i = 0; i < 200; ++i) {
      const std::string path = random_path(rng) + (rng.chance(1, 4) ? "?q=1" : "");
      Request request(path);
      for (const std::string_view name : {"x-a", "x-b"}) {
        const bool added = !rng.chance(1, 3) || request.head.headers.add_copy(name, "1");
        ASSERT_TRUE(added);
      }
      Rng chance_of_scan(static_cast<std::uint64_t>(i));
      Rng chance_of_index(static_cast<std::uint64_t>(i));
      const config::Route* first = find_route(scanned, request.head, {.worker = 0, .rng = chance_of_scan});
      const config::Route* looked_up = find_route(indexed, request.head, {.worker = 0, .rng = chance_of_index});
      const auto position = [](const config::VirtualHost& host, const config::Route* route) {
        return route == nullptr ? -1 : route - host.routes.data();
      };
      ASSERT_EQ(position(indexed, looked_up), position(scanned, first)) << "round " << round << ", " << path;
      ASSERT_EQ(chance_of_index.next(), chance_of_scan.next()) << "the same conditions were left to chance";
      found += first == nullptr ? 0 : 1;
    }
  }
  EXPECT_GT(found, 20'000U);
}

std::vector<std::uint32_t> all_candidates(const config::RouteIndex& index, std::string_view path) {
  std::vector<std::uint32_t> all;
  RouteCandidates candidates(index, path);
  for (auto run = candidates.next(); !run.empty(); run = candidates.next()) {
    for (const config::Candidate candidate : run) all.push_back(candidate.route());
  }
  return all;
}

TEST(RouteCandidatesOf, APathAreThoseItMayMeetInTheirOrder) {
  std::vector<config::Route> routes(12);
  const auto set = [&](std::size_t at, PathKind kind, std::string_view text, bool case_sensitive = true) {
    routes[at].match.path = {.kind = kind, .text = std::string(text), .case_sensitive = case_sensitive, .regex = {}};
  };
  for (std::size_t i = 0; i < routes.size(); ++i) set(i, PathKind::kExact, "/else" + std::to_string(i));
  set(1, PathKind::kPrefix, "/api/");
  set(3, PathKind::kExact, "/api/users");
  set(4, PathKind::kPrefix, "/");
  set(5, PathKind::kPrefix, "/api/");
  set(6, PathKind::kPathSeparatedPrefix, "/api/v1");
  set(7, PathKind::kPrefix, "/API/USERS", false);
  set(9, PathKind::kExact, "/api");
  routes[10].match.path.kind = PathKind::kRegex;
  routes[10].match.path.regex = regex("/api/[a-z]+");
  const config::RouteIndex index = config::index_routes(routes);
  EXPECT_EQ(all_candidates(index, "/api/users"), (std::vector<std::uint32_t>{1, 3, 4, 5, 7, 10}));
  EXPECT_EQ(all_candidates(index, "/api/USERS/1"), (std::vector<std::uint32_t>{1, 4, 5, 7, 10}));
  EXPECT_EQ(all_candidates(index, "/api"), (std::vector<std::uint32_t>{4, 9}));
  EXPECT_EQ(all_candidates(index, "/more"), std::vector<std::uint32_t>{4});
  EXPECT_EQ(all_candidates(index, "/api/v1/"), (std::vector<std::uint32_t>{1, 4, 5, 6, 10}));
  EXPECT_EQ(all_candidates(index, "/api/v12"), (std::vector<std::uint32_t>{1, 4, 5, 10}));
  EXPECT_EQ(all_candidates(index, ""), std::vector<std::uint32_t>());
}

}  // namespace
}  // namespace millrace::proxy
