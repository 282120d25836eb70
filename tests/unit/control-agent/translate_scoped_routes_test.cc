#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kFiles = "rds_config_source: {path_config_source: {path: /nowhere/rds.yaml}}";
const std::string kBuilder =
    "scope_key_builder: {fragments: [{header_value_extractor: {name: X-Tenant, element_separator: \",\", index: 1}}, "
    "{header_value_extractor: {name: x-vip, element: {separator: \"=\", key: id}}}]}";

std::string routes(const std::string& name) {
  return "{name: " + name +
         ", virtual_hosts: [{name: all, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]}";
}
std::string scope(const std::string& name, const std::string& first, const std::string& second, const std::string& more) {
  return "{name: " + name + ", key: {fragments: [{string_key: " + first + "}, {string_key: " + second + "}]}, " + more + "}";
}
std::string list(const std::string& scopes) {
  return ", scoped_route_configurations_list: {scoped_route_configurations: [" + scopes + "]}";
}

/// A connection manager with these fields of scoped_routes instead of its routes.
Result<Loaded, std::vector<ConfigError>> load_scoped(const std::string& fields) {
  LoadOptions options;
  options.config_yaml = BootstrapText().text();
  const auto at = options.config_yaml.find("route_config:");
  const auto end = options.config_yaml.find("]}}}]}", at);
  options.config_yaml.replace(at, end + 2 - at, "scoped_routes: {name: tenants, " + fields + "}");
  options.concurrency = 2;
  return load(options);
}
config::ScopedRoutes scoped(const std::string& fields) {
  const auto loaded = load_scoped(fields);
  for (const auto& error : loaded ? std::vector<ConfigError>() : loaded.error()) ADD_FAILURE() << error.to_string();
  return loaded ? *manager_of(loaded->snapshot).scoped : config::ScopedRoutes();
}
std::vector<std::string> refusals(const std::string& fields) {
  std::vector<std::string> out;
  const auto loaded = load_scoped(fields);
  if (loaded) return out;
  for (const auto& error : loaded.error())
    out.push_back(error.path.substr(error.path.rfind("scoped_routes")) + ": " + error.reason);
  return out;
}

TEST(TranslateScopedRoutes, TakesEveryFieldOfAList) {
  const config::ScopedRoutes out =
      scoped(kBuilder + ", " + kFiles +
             list(scope("two", "b", "c", "route_configuration: " + routes("inside")) + ", " +
                  scope("one", "a", "c", "on_demand: false, route_configuration: " + routes("other"))));
  EXPECT_EQ(out.name, "tenants");
  EXPECT_FALSE(out.is_discovered);
  ASSERT_EQ(out.fragments.size(), 2u);
  EXPECT_EQ(out.fragments[0].header, "x-tenant");
  EXPECT_EQ(out.fragments[0].element_separator, ",");
  EXPECT_EQ(out.fragments[0].index, 1u);
  EXPECT_FALSE(out.fragments[0].pair);
  EXPECT_EQ(out.fragments[1].header, "x-vip");
  ASSERT_TRUE(out.fragments[1].pair);
  EXPECT_EQ(out.fragments[1].pair->key, "id");
  EXPECT_EQ(out.fragments[1].pair->separator, "=");
  EXPECT_EQ(out.route_config_source, "/nowhere/rds.yaml");
  ASSERT_EQ(out.scopes.size(), 2u);
  EXPECT_EQ(out.scopes[0].name, "one") << "by key";
  EXPECT_THAT(out.scopes[1].key, ElementsAre("b", "c"));
  EXPECT_EQ(out.scopes[1].routes->name, "inside");
}

TEST(TranslateScopedRoutes, ScopesMayBeDiscovered) {
  const config::ScopedRoutes out = scoped(
      kBuilder + ", " + kFiles + ", scoped_rds: {scoped_rds_config_source: {path_config_source: {path: /nowhere/srds.yaml}}}");
  EXPECT_TRUE(out.is_discovered);
  EXPECT_EQ(out.source, "/nowhere/srds.yaml");
  EXPECT_TRUE(out.scopes.empty());
}

TEST(TranslateScopedRoutes, RefusesWhatCannotBe) {
  const std::string one = list(scope("one", "a", "b", "route_configuration: " + routes("r")));
  const auto builder = [](const std::string& extractor) {
    return "scope_key_builder: {fragments: [{header_value_extractor: {name: x, " + extractor + "}}]}";
  };
  EXPECT_THAT(refusals(builder("index: 1") + one),
              ElementsAre(HasSubstr("header_value_extractor.index: needs an element_separator")));
  EXPECT_THAT(refusals(builder("element_separator: \",\"") + one), ElementsAre(HasSubstr("must have an index or an element")));
  std::string many;
  for (int i = 0; i < 9; ++i) many += "{header_value_extractor: {name: x, index: 0}}, ";
  EXPECT_THAT(refusals("scope_key_builder: {fragments: [" + many + "]}" + one), ElementsAre(HasSubstr("must be at most 8")));
  EXPECT_THAT(refusals(kBuilder + ", " + kFiles +
                       list(scope("one", "a", "b", "route_configuration_name: x, route_configuration: " + routes("r")))),
              Contains(HasSubstr("route_configuration_name: cannot be set together with route_configuration")));
  EXPECT_THAT(refusals(kBuilder + list(scope("one", "a", "b", "on_demand: false"))),
              ElementsAre(HasSubstr("[0].route_configuration_name: must be set, or else route_configuration")));
  EXPECT_THAT(refusals(kBuilder + list(scope("one", "a", "b", "on_demand: true, route_configuration: " + routes("r")))),
              ElementsAre(HasSubstr("[0].on_demand: is not supported yet")));
  EXPECT_THAT(refusals(kBuilder + list(scope("one", "a", "b", "route_configuration: " + routes("r")) + ", " +
                                       scope("two", "a", "b", "route_configuration: " + routes("s")))),
              ElementsAre(HasSubstr("the scopes \"one\" and \"two\" have the same key")));
  EXPECT_THAT(refusals(kBuilder + list(scope("one", "a", "b", "route_configuration_name: x"))),
              ElementsAre(HasSubstr("rds_config_source: must be set")));
  EXPECT_THAT(refusals(kBuilder + ", scoped_rds: {scoped_rds_config_source: {path_config_source: {path: /x}}}"),
              ElementsAre(HasSubstr("rds_config_source: must be set")));
  EXPECT_THAT(refusals(kBuilder + ", rds_config_source: {ads: {}}, scoped_rds: {scoped_rds_config_source: {ads: {}}}"),
              testing::UnorderedElementsAre(HasSubstr("rds_config_source.ads: needs dynamic_resources.ads_config"),
                                            HasSubstr("scoped_rds_config_source.ads: needs dynamic_resources.ads_config")));
}

}  // namespace
}  // namespace millrace::agent::test
