// Scopes of routes that a control plane gives (SRDS), and the routes that they name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/xds_gateway.h"

namespace millrace::agent::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kScoped =
    "scoped_routes: {name: tenants, rds_config_source: {ads: {}}, scoped_rds: {scoped_rds_config_source: {ads: {}}}, "
    "scope_key_builder: {fragments: [{header_value_extractor: {name: x-tenant, index: 0}}]}}";

std::string scope(const std::string& name, const std::string& key, const std::string& table) {
  return "name: " + name + ", route_configuration_name: " + table + ", key: {fragments: [{string_key: " + key + "}]}";
}

class XdsScopes : public testing::TestWithParam<bool> {
 protected:
  std::vector<std::string> listen() {
    return gateway_.give<ListenerMessage>(ResourceType::kListener, "1", {listener_text("edge", 80, kScoped)});
  }
  std::vector<std::string> give(const std::string& version, const std::vector<std::string>& scopes,
                                const std::vector<std::string>& removed = {}) {
    return gateway_.give<ScopeMessage>(ResourceType::kScope, version, scopes, removed);
  }
  std::vector<std::string> routes(const std::string& version, const std::vector<std::string>& names) {
    std::vector<std::string> all;
    for (const std::string& name : names) all.push_back(routes_text(name, "a"));
    return gateway_.give<RouteMessage>(ResourceType::kRoutes, version, all);
  }
  /// "key -> table" of each scope that serves; a table that has not come is "?".
  std::vector<std::string> scopes() {
    std::vector<std::string> out;
    for (const config::Scope& one : gateway_.manager().scoped->scopes)
      out.push_back(one.key.at(0) + " -> " + (one.routes == nullptr ? "?" : one.routes->name));
    return out;
  }

  XdsGateway gateway_{GetParam()};
};

TEST_P(XdsScopes, AListenerWaitsForItsScopesAndTheirRoutes) {
  const bool delta = GetParam();
  (void)gateway_.requests();
  EXPECT_THAT(listen(), testing::UnorderedElementsAre("ScopedRouteConfiguration", delta ? "Listener n=n1" : "Listener v=1 n=n1"))
      << "all scopes that there are";
  ASSERT_THAT(gateway_.shown().listeners, SizeIs(1));
  EXPECT_THAT(gateway_.shown().listeners[0].waits_for, ElementsAre("ScopedRdsConfigSubscription"));
  EXPECT_THAT(give("1", {scope("one", "x", "first"), scope("two", "y", "second"), scope("three", "z", "first")}),
              testing::UnorderedElementsAre(delta ? "RouteConfiguration +first +second" : "RouteConfiguration first second",
                                            delta ? "ScopedRouteConfiguration n=n1" : "ScopedRouteConfiguration v=1 n=n1"));
  EXPECT_FALSE(gateway_.is_warm());
  EXPECT_THAT(gateway_.snapshot()->listeners, IsEmpty());
  routes("1", {"first", "second"});
  EXPECT_TRUE(gateway_.is_warm());
  EXPECT_THAT(scopes(), ElementsAre("x -> first", "y -> second", "z -> first"));
  ASSERT_THAT(gateway_.shown().scopes, SizeIs(1));
  EXPECT_EQ(gateway_.shown().scopes[0].name, "tenants");
  EXPECT_THAT(gateway_.shown().scopes[0].scopes, SizeIs(3));
}

TEST_P(XdsScopes, ScopesComeChangeAndGoWithoutClosingConnections) {
  listen();
  give("1", {scope("one", "x", "first"), scope("two", "y", "first")});
  routes("1", {"first"});
  const auto before = gateway_.snapshot()->listeners.at(0);
  const bool delta = GetParam();
  const auto sent = delta ? give("2", {scope("two", "y2", "first"), scope("three", "z", "second")}, {"one"})
                          : give("2", {scope("two", "y2", "first"), scope("three", "z", "second")});
  EXPECT_THAT(sent, testing::Contains(HasSubstr("second")));
  EXPECT_THAT(scopes(), ElementsAre("y2 -> first", "z -> ?"));
  routes("2", {"second", "first"});
  EXPECT_THAT(scopes(), ElementsAre("y2 -> first", "z -> second"));
  EXPECT_EQ(gateway_.snapshot()->listeners.at(0)->content_hash, before->content_hash);
  EXPECT_EQ(gateway_.stat("http.edge.scoped_rds.tenants.all_scopes"), 2);
  EXPECT_EQ(gateway_.stat("http.edge.scoped_rds.tenants.config_reload"), 2);
  EXPECT_EQ(gateway_.stat("http.edge.scoped_rds.tenants.update_success"), 2);
}

TEST_P(XdsScopes, ATableThatChangesChangesItsScopes) {
  listen();
  give("1", {scope("one", "x", "first")});
  routes("1", {"first"});
  gateway_.give<RouteMessage>(ResourceType::kRoutes, "2", {routes_text("first", "b")});
  const auto& action = gateway_.manager().scoped->scopes.at(0).routes->virtual_hosts.at(0).routes.at(0).action;
  EXPECT_EQ(std::get<config::ForwardAction>(action).clusters.at(0).name, "b");
}

TEST_P(XdsScopes, RoutesMayStandInAScope) {
  listen();
  give("1", {"name: one, key: {fragments: [{string_key: x}]}, route_configuration: {" + routes_text("inside", "a") + "}"});
  EXPECT_TRUE(gateway_.is_warm());
  EXPECT_THAT(scopes(), ElementsAre("x -> inside"));
}

TEST_P(XdsScopes, ASecondScopeOfOneKeyIsRefusedAndTheOthersAreTaken) {
  listen();
  give("1", {scope("one", "x", "first")});
  routes("1", {"first"});
  EXPECT_THAT(give("2", {scope("one", "x", "first"), scope("a", "x", "first"), scope("two", "y", "first")}),
              testing::Contains(AllOf(HasSubstr("ScopedRouteConfiguration \"a\".key: "), HasSubstr("have the same key"))));
  EXPECT_THAT(scopes(), ElementsAre("x -> first", "y -> first"));
}

TEST_P(XdsScopes, WithoutScopesAListenerServesInTheEnd) {
  listen();
  gateway_.pass(Duration::seconds(16));
  EXPECT_TRUE(gateway_.is_warm());
  EXPECT_THAT(scopes(), IsEmpty());
  EXPECT_EQ(gateway_.stat("http.edge.scoped_rds.tenants.init_fetch_timeout"), 1);
}

TEST_P(XdsScopes, WithoutItsRoutesAScopeServesInTheEnd) {
  listen();
  give("1", {scope("one", "x", "first")});
  gateway_.pass(Duration::seconds(16));
  EXPECT_THAT(scopes(), ElementsAre("x -> ?"));
}

TEST_P(XdsScopes, OnDemandIsRefusedByName) {
  listen();
  EXPECT_THAT(give("1", {scope("one", "x", "first") + ", on_demand: true"}),
              testing::Contains(HasSubstr("ScopedRouteConfiguration \"one\".on_demand: is not supported yet")));
}

TEST_P(XdsScopes, ScopesInTheListenerHaveTheirRoutesFromTheControlPlane) {
  gateway_.give<ListenerMessage>(
      ResourceType::kListener, "1",
      {listener_text("edge", 80,
                     "scoped_routes: {name: tenants, rds_config_source: {ads: {}}, scoped_route_configurations_list: "
                     "{scoped_route_configurations: [{" +
                         scope("one", "x", "first") +
                         "}]}, scope_key_builder: {fragments: [{header_value_extractor: {name: x-tenant, index: 0}}]}}")});
  EXPECT_FALSE(gateway_.is_warm());
  routes("1", {"first"});
  EXPECT_THAT(scopes(), ElementsAre("x -> first"));
}

INSTANTIATE_TEST_SUITE_P(BothProtocols, XdsScopes, testing::Bool(),
                         [](const auto& test) { return test.param ? "Delta" : "StateOfTheWorld"; });

}  // namespace
}  // namespace millrace::agent::test
