#include "config/compile/route_index.h"

#include <gtest/gtest.h>

#include "config/compile/regex_compiler.h"

namespace millrace::config {
namespace {

using Kind = PathMatcher::Kind;

std::vector<Route> routes_of(std::size_t count, Kind kind, bool case_sensitive = true) {
  std::vector<Route> routes(count);
  for (std::size_t i = 0; i < count; ++i) {
    routes[i].match.path.kind = kind;
    routes[i].match.path.text = "/R" + std::to_string(i);
    routes[i].match.path.case_sensitive = case_sensitive;
  }
  return routes;
}

TEST(RouteIndexing, AFewRoutesNeedNone) {
  EXPECT_TRUE(index_routes(routes_of(kRoutesWithoutIndex, Kind::kExact)).empty());
  EXPECT_FALSE(index_routes(routes_of(kRoutesWithoutIndex + 1, Kind::kExact)).empty());
}

TEST(RouteIndexing, EveryRouteStandsInOneTreeOnce) {
  auto routes = routes_of(1'000, Kind::kPrefix);
  for (std::size_t i = 0; i < routes.size(); ++i) {
    routes[i].match.path.kind = i % 2 == 0 ? Kind::kPrefix : Kind::kExact;
    routes[i].match.path.case_sensitive = i % 3 == 0;
  }
  const RouteIndex index = index_routes(routes);
  std::vector<int> seen(routes.size());
  for (const PathTree* tree : {&index.as_written, &index.lower_case}) {
    EXPECT_EQ(tree->nodes.size(), tree->branches.size());
    for (const PathTree::Node& node : tree->nodes) {
      const std::uint32_t count = node.open_count + node.closed_count;
      for (std::uint32_t i = 0; i < count; ++i) ++seen[count == 1 ? node.first_route : tree->routes[node.first_route + i]];
    }
  }
  for (const int times : seen) EXPECT_EQ(times, 1);
  EXPECT_EQ(index.lower_case.labels.find('R'), std::string::npos) << "kept in lower case";
}

TEST(RouteIndexing, SaysWhichRoutesNeedNotBeLookedAt) {
  const auto rest_of = [](Kind kind, auto&& edit) {
    auto routes = routes_of(kRoutesWithoutIndex + 1, kind);
    if (kind == Kind::kRegex) {
      for (Route& route : routes) route.match.path.regex = *compile_regex("/R.", 1);
    }
    edit(routes[3].match);
    return index_routes(routes).rests.at(3);
  };
  const auto as_it_is = [](RouteMatch&) {};
  EXPECT_EQ(rest_of(Kind::kPrefix, as_it_is), RouteIndex::kMatches);
  EXPECT_EQ(rest_of(Kind::kExact, as_it_is), RouteIndex::kMatches);
  EXPECT_EQ(rest_of(Kind::kPathSeparatedPrefix, as_it_is), 3U) << "/R3";
  EXPECT_EQ(rest_of(Kind::kRegex, as_it_is), RouteIndex::kAskRoute);
  EXPECT_EQ(rest_of(Kind::kConnect, as_it_is), RouteIndex::kAskRoute);
  for (const Kind kind : {Kind::kPrefix, Kind::kPathSeparatedPrefix}) {
    const auto asks = [&](auto&& edit) { EXPECT_EQ(rest_of(kind, edit), RouteIndex::kAskRoute); };
    asks([](RouteMatch& match) { match.headers.emplace_back(); });
    asks([](RouteMatch& match) { match.query_parameters.emplace_back(); });
    asks([](RouteMatch& match) { match.runtime_fraction.emplace(); });
    asks([](RouteMatch& match) { match.grpc = true; });
    asks([](RouteMatch& match) { match.certificate_presented = false; });
    asks([](RouteMatch& match) { match.certificate_validated = false; });
    asks([](RouteMatch& match) { match.metadata.emplace_back(); });
  }
}

TEST(RouteIndexing, SharedBytesAreKeptOnce) {
  const RouteIndex index = index_routes(routes_of(100'000, Kind::kExact));
  EXPECT_LT(index.as_written.nodes.size(), 120'000U);
  EXPECT_LT(index.as_written.labels.size(), 10U);
}

std::string prefix_of(std::string_view pattern) { return literal_prefix(*compile_regex(pattern, 1)); }

TEST(LiteralPrefix, IsWhatAllMatchesBeginWith) {
  EXPECT_EQ(prefix_of("/api/[0-9]+"), "/api/");
  EXPECT_EQ(prefix_of("/api/(users|uploads)"), "/api/u");
  EXPECT_EQ(prefix_of("/api"), "/api");
  EXPECT_EQ(prefix_of("^/api/.+"), "/api/");
}

TEST(LiteralPrefix, IsEmptyWhereNothingIsKnown) {
  EXPECT_EQ(prefix_of(".*"), "");
  EXPECT_EQ(prefix_of("(?i)/?api"), "");
  EXPECT_EQ(prefix_of("a|b"), "");
  EXPECT_EQ(prefix_of(""), "");
  EXPECT_EQ(literal_prefix({}), "");
}

}  // namespace
}  // namespace millrace::config
