#include "config/compile/route_index.h"

#include <gmock/gmock.h>

#include <functional>

#include "config/compile/regex_compiler.h"

namespace millrace::config {
namespace {

using Kind = PathMatcher::Kind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

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
    EXPECT_EQ(tree->nodes.size() + PathTree::kBranchPadding, tree->branches.size());
    for (const PathTree::Node& node : tree->nodes) {
      for (const Candidate candidate : tree->candidates_of(node)) ++seen[candidate.route()];
    }
  }
  EXPECT_EQ(index.lower_case.branches.find('R'), std::string::npos) << "kept in lower case";
  for (const PathTree::Node& node : index.lower_case.nodes)
    EXPECT_EQ(index.lower_case.label_of(node).find('R'), std::string_view::npos);
  for (const int times : seen) EXPECT_EQ(times, 1);
}

// Of a virtual host with more routes than these, the fourth of which is edited: how often it is a candidate, and under what.
struct Fourth {
  std::vector<std::string> texts;
  bool conditional = false;
};

Fourth fourth_of(Kind kind, const std::function<void(RouteMatch&)>& edit) {
  auto routes = routes_of(kRoutesWithoutIndex + 1, kind);
  if (kind == Kind::kRegex) {
    for (Route& route : routes) route.match.path.regex = *compile_regex("/R.", 1);
  }
  edit(routes[3].match);
  const PathTree tree = index_routes(routes).as_written;
  Fourth fourth;
  const std::function<void(std::uint32_t, std::string)> visit = [&](std::uint32_t at, std::string text) {
    const PathTree::Node& node = tree.nodes[at];
    text += tree.label_of(node);
    for (const Candidate candidate : tree.candidates_of(node)) {
      if (candidate.route() != 3) continue;
      fourth.texts.push_back(text + (node.open_count > 0 ? "*" : ""));
      fourth.conditional = candidate.is_conditional();
    }
    for (std::uint32_t child = node.first_child; child < node.first_child + node.child_count; ++child)
      visit(child, text + tree.branches[child]);
  };
  visit(0, "");
  return fourth;
}

TEST(RouteIndexing, StandsForWhatAPathConditionMeets) {
  const auto as_it_is = [](RouteMatch&) {};
  EXPECT_THAT(fourth_of(Kind::kPrefix, as_it_is).texts, ElementsAre("/R3*"));
  EXPECT_THAT(fourth_of(Kind::kExact, as_it_is).texts, ElementsAre("/R3"));
  EXPECT_THAT(fourth_of(Kind::kPathSeparatedPrefix, as_it_is).texts, ElementsAre("/R3", "/R3/*"));
  EXPECT_THAT(fourth_of(Kind::kRegex, as_it_is).texts, ElementsAre("/R*"));
  EXPECT_THAT(fourth_of(Kind::kPrefix, [](RouteMatch& match) { match.path.kind = Kind::kConnect; }).texts, IsEmpty());
}

TEST(RouteIndexing, SaysWhichRoutesHaveToBeAsked) {
  const auto as_it_is = [](RouteMatch&) {};
  EXPECT_TRUE(fourth_of(Kind::kRegex, as_it_is).conditional);
  for (const Kind kind : {Kind::kPrefix, Kind::kExact, Kind::kPathSeparatedPrefix}) {
    EXPECT_FALSE(fourth_of(kind, as_it_is).conditional);
    const auto asks = [&](auto&& edit) { EXPECT_TRUE(fourth_of(kind, edit).conditional); };
    asks([](RouteMatch& match) { match.headers.emplace_back(); });
    asks([](RouteMatch& match) { match.query_parameters.emplace_back(); });
    asks([](RouteMatch& match) { match.runtime_fraction.emplace(); });
    asks([](RouteMatch& match) { match.grpc = true; });
    asks([](RouteMatch& match) { match.certificate_presented = false; });
    asks([](RouteMatch& match) { match.certificate_validated = false; });
    asks([](RouteMatch& match) { match.metadata.emplace_back(); });
  }
}

TEST(RouteIndexing, ALabelHasItsLimitAndGoesOnInTheNextNode) {
  auto routes = routes_of(kRoutesWithoutIndex + 1, Kind::kExact);
  const std::string rest(3 * PathTree::kLongestLabel, 'x');
  for (Route& route : routes) route.match.path.text += rest;
  const PathTree tree = index_routes(routes).as_written;
  EXPECT_EQ(tree.nodes.size(), 2 + 3 * routes.size()) << "the root, what all begin with, and three for each";
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
