// Layers of the runtime that a control plane gives (RTDS), and what becomes of what was read with them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/xds_gateway.h"

namespace millrace::agent::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const std::string kLayers =
    ", layered_runtime: {layers: [{name: static, static_layer: {canary: 10, low: 1}}, {name: control, rtds_layer: {name: rt, "
    "rtds_config: {ads: {}}}}, {name: admin, admin_layer: {}}]}";

/// Whose first route is taken by a fraction of the requests.
std::string listener(const std::string& more = "") {
  std::string routes = routes_text("r", "a");
  routes.insert(
      routes.find("{match:"),
      "{match: {prefix: /, runtime_fraction: {default_value: {numerator: 5}, runtime_key: canary}}, route: {cluster: b}}, ");
  std::string text = listener_text("edge", 80, "route_config: {" + routes + "}");
  const std::string start = "http_filters: [";
  return text.insert(text.find(start) + start.size(), more);
}

class XdsRuntime : public testing::TestWithParam<bool> {
 protected:
  std::vector<std::string> give(const std::string& version, const std::string& layer) {
    return gateway_.give<RuntimeMessage>(ResourceType::kRuntime, version, {"name: rt, layer: {" + layer + "}"});
  }
  void listen(const std::string& more = "") { gateway_.give<ListenerMessage>(ResourceType::kListener, "1", {listener(more)}); }
  std::uint32_t percentage() {
    return gateway_.manager().routes->virtual_hosts.at(0).routes.at(0).match.runtime_fraction->numerator;
  }

  XdsGateway gateway_{GetParam(), kLayers};
};

TEST_P(XdsRuntime, IsAskedForByNameAndWaitedFor) {
  const bool delta = GetParam();
  EXPECT_THAT(gateway_.requests(), ElementsAre(delta ? "Runtime +rt node" : "Runtime rt node", "Listener"));
  listen();
  EXPECT_FALSE(gateway_.is_warm()) << "listeners open when the runtime is there";
  EXPECT_EQ(percentage(), 10u) << "of the layers that are there";
  EXPECT_THAT(give("1", "canary: 20"), ElementsAre(delta ? "Runtime n=n1" : "Runtime v=1 n=n1 rt"));
  EXPECT_TRUE(gateway_.is_warm());
  EXPECT_EQ(percentage(), 20u);
}

TEST_P(XdsRuntime, IsWaitedForUntilItIsLate) {
  listen();
  gateway_.pass(Duration::seconds(16));
  EXPECT_TRUE(gateway_.is_warm());
  EXPECT_EQ(gateway_.stat("runtime.init_fetch_timeout"), 1);
}

TEST_P(XdsRuntime, AChangeActsAtOnceAndClosesNoConnections) {
  listen();
  give("1", "canary: 20, other: 1");
  const auto before = gateway_.snapshot();
  give("2", "canary: 20, other: 2");
  EXPECT_EQ(gateway_.snapshot(), before) << "nobody reads the other key";
  give("3", "canary: {numerator: 3, denominator: TEN_THOUSAND}");
  EXPECT_EQ(percentage(), 3u);
  EXPECT_EQ(gateway_.snapshot()->listeners[0]->content_hash, before->listeners[0]->content_hash);
  give("4", "low: 2");
  EXPECT_EQ(percentage(), 10u) << "the key is gone";
}

TEST_P(XdsRuntime, FiltersAndTheirConfigurationsReadIt) {
  const std::string type = "type.googleapis.com/envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit";
  const std::string limit = "{\"@type\": " + type +
                            ", stat_prefix: p, limit_kbps: 1, enable_mode: REQUEST, runtime_enabled: {default_value: true, "
                            "runtime_key: limits}}";
  listen("{name: one, typed_config: " + limit + "}, {name: two, config_discovery: {config_source: {ads: {}}, type_urls: [" +
         type + "], default_config: " + limit + ", apply_default_config_without_warming: true}}, ");
  gateway_.give<ExtensionMessage>(ResourceType::kExtension, "1", {"name: two, typed_config: " + limit});
  const auto limits = [&] {
    std::vector<bool> out;
    for (const auto& filter : gateway_.manager().filters)
      out.push_back(std::get<config::BandwidthLimit>(filter.config).limits_requests);
    return out;
  };
  EXPECT_THAT(limits(), ElementsAre(true, true));
  give("1", "limits: false");
  EXPECT_THAT(limits(), ElementsAre(false, false));
}

TEST_P(XdsRuntime, WeightsOfClustersFollowIt) {
  std::string text = listener_text("edge", 80, "route_config: {" + routes_text("r", "a") + "}");
  const std::string plain = "cluster: a";
  text.replace(text.find(plain), plain.size(),
               "weighted_clusters: {runtime_key_prefix: shift, clusters: [{name: a, weight: 90}, {name: b, weight: 10}]}");
  gateway_.give<ListenerMessage>(ResourceType::kListener, "1", {text});
  const auto weights = [&] {
    const auto& route = gateway_.manager().routes->virtual_hosts.at(0).routes.at(0);
    const auto& action = std::get<config::ForwardAction>(route.action);
    std::vector<std::uint64_t> out{action.total_weight};
    for (const auto& cluster : action.clusters) out.push_back(cluster.weight);
    return out;
  };
  give("1", "other: 1");
  EXPECT_THAT(weights(), ElementsAre(100, 90, 10));
  give("2", "shift: {a: 1, b: 3}");
  EXPECT_THAT(weights(), ElementsAre(4, 1, 3));
  give("3", "shift.a: 0");
  EXPECT_THAT(weights(), ElementsAre(10, 0, 10));
  for (const char* wrong : {"shift: {a: 0, b: 0}", "shift: {a: 4294967295, b: 1}", "shift: {a: many}"}) {
    give(wrong, wrong);
    EXPECT_THAT(weights(), ElementsAre(100, 90, 10)) << wrong;
  }
}

TEST_P(XdsRuntime, FaultsFollowIt) {
  listen(
      "{name: f, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, "
      "delay: {fixed_delay: 1s, percentage: {numerator: 10}}, abort: {http_status: 503, percentage: {numerator: 20}}, "
      "response_rate_limit: {fixed_limit: {limit_kbps: 1}, percentage: {numerator: 30}}, "
      "abort_http_status_runtime: my.status}}, ");
  const auto fault = [&] { return std::get<config::Fault>(gateway_.manager().filters.at(0).config); };
  give("1",
       "fault.http: {delay: {fixed_delay_percent: 11, fixed_duration_ms: 2000}, abort: {abort_percent: 21, http_status: 500}, "
       "rate_limit: {response_percent: 31}, max_active_faults: 4}, my.status: 418");
  EXPECT_EQ(fault().delay->percentage.numerator, 11u);
  EXPECT_EQ(fault().delay->fixed, Duration::seconds(2));
  EXPECT_EQ(fault().abort->percentage.numerator, 21u);
  EXPECT_EQ(fault().abort->http_status, 418) << "the key that it names stands in for Envoy's";
  EXPECT_EQ(fault().response_rate_limit->percentage.numerator, 31u);
  EXPECT_EQ(fault().max_active, 4u);
  give("2", "my.status: 99");
  EXPECT_EQ(fault().abort->http_status, 503) << "that is none";
  EXPECT_EQ(fault().delay->percentage.numerator, 10u);
  EXPECT_EQ(fault().delay->fixed, Duration::seconds(1));
  EXPECT_EQ(fault().max_active, std::nullopt);
}

TEST_P(XdsRuntime, LimitsOfConnectionsFollowIt) {
  listen();
  give("1", "envoy.resource_limits.listener.edge.connection_limit: 7, overload.global_downstream_max_connections: 9");
  EXPECT_EQ(gateway_.snapshot()->listeners[0]->connection_limit, 7u);
  ASSERT_NE(gateway_.snapshot()->overload, nullptr);
  EXPECT_EQ(gateway_.snapshot()->overload->max_connections, 9u);
  give("2", "");
  EXPECT_EQ(gateway_.snapshot()->listeners[0]->connection_limit, config::kUnlimitedConnections);
  EXPECT_EQ(gateway_.snapshot()->overload, nullptr);
  EXPECT_THAT(
      give("3", "overload.global_downstream_max_connections: many"),
      ElementsAre(HasSubstr("error: Runtime \"rt\".layer[\"overload.global_downstream_max_connections\"]: must be a whole "
                            "number")));
}

TEST_P(XdsRuntime, IsShownLayerByLayerAndCounted) {
  give("1", "canary: 20");
  const auto& layers = gateway_.world()->runtime->layers;
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[1].name, "control");
  EXPECT_THAT(layers[1].entries, ElementsAre(testing::Pair("canary", "20")));
  EXPECT_EQ(gateway_.stat("runtime.num_layers"), 3);
  EXPECT_EQ(gateway_.stat("runtime.num_keys"), 2);
  EXPECT_EQ(gateway_.stat("runtime.load_success"), 2);
  EXPECT_EQ(gateway_.stat("runtime.update_success"), 1);
  EXPECT_EQ(gateway_.stat("runtime.admin_overrides_active"), 0);
  give("2", "canary: [20]");
  EXPECT_EQ(gateway_.stat("runtime.load_error"), 1);
}

TEST_P(XdsRuntime, TheAdministratorHidesItWhereHisLayerIsLater) {
  listen();
  give("1", "canary: 20");
  EXPECT_TRUE(override_runtime(gateway_.publisher(), {{"canary", "50"}}));
  EXPECT_EQ(percentage(), 50u);
  EXPECT_EQ(gateway_.stat("runtime.admin_overrides_active"), 1);
  EXPECT_TRUE(override_runtime(gateway_.publisher(), {{"canary", ""}}));
  EXPECT_EQ(percentage(), 20u);
  const auto refused = override_runtime(gateway_.publisher(), {{"a", "1"}, {"overload.global_downstream_max_connections", "x"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("must be a whole number"));
  EXPECT_EQ(gateway_.world()->runtime->values.find("a"), nullptr) << "all or nothing";
}

INSTANTIATE_TEST_SUITE_P(BothProtocols, XdsRuntime, testing::Bool(),
                         [](const auto& test) { return test.param ? "Delta" : "StateOfTheWorld"; });

TEST(XdsRuntime_Delta, WhatIsRemovedIsGone) {
  XdsGateway gateway(true, kLayers);
  gateway.give<RuntimeMessage>(ResourceType::kRuntime, "1", {"name: rt, layer: {canary: 20}"});
  EXPECT_EQ(*gateway.world()->runtime->values.find("canary"), "20");
  gateway.give<RuntimeMessage>(ResourceType::kRuntime, "2", {}, {"rt"});
  EXPECT_EQ(*gateway.world()->runtime->values.find("canary"), "10");
}

TEST(XdsRuntime_Layers, AreChecked) {
  const auto errors = [](const std::string& layers) {
    LoadOptions options;
    options.config_yaml = "{layered_runtime: {layers: [" + layers + "]}}";
    std::vector<std::string> out;
    const auto loaded = load(options);
    for (const auto& error : loaded ? std::vector<ConfigError>() : loaded.error())
      out.push_back(error.path + ": " + error.reason);
    return out;
  };
  EXPECT_THAT(errors("{name: a, static_layer: {}}, {name: a, static_layer: {x: [1]}}"),
              UnorderedElementsAre(HasSubstr("layers[1].name: the name \"a\" is already taken"),
                                   HasSubstr("layers[1].static_layer[\"x\"]: must be a text")));
  EXPECT_THAT(errors("{name: a, admin_layer: {}}, {name: b, admin_layer: {}}"),
              ElementsAre(HasSubstr("layers[1].admin_layer: ")));
  EXPECT_THAT(errors("{name: a, rtds_layer: {name: rt, rtds_config: {ads: {}}}}"),
              ElementsAre(HasSubstr("layers[0].rtds_layer.rtds_config.ads: needs dynamic_resources.ads_config")));
  EXPECT_THAT(errors("{name: a, rtds_layer: {name: rt}}"), ElementsAre(HasSubstr("rtds_layer.rtds_config: must be set")));
  EXPECT_THAT(errors("{name: a, rtds_layer: {rtds_config: {path: /x}}}"),
              testing::Contains(HasSubstr("rtds_layer.name: must be set")));
}

TEST(XdsRuntime_Layers, WithoutAnAdminLayerNothingIsOverridden) {
  XdsGateway gateway(true, ", layered_runtime: {layers: [{name: s, static_layer: {}}]}");
  const auto refused = override_runtime(gateway.publisher(), {{"a", "1"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("No admin layer"));
}

TEST(XdsRuntime_Layers, WithoutAnyThereIsOneForTheAdministrator) {
  XdsGateway gateway(true);
  EXPECT_TRUE(override_runtime(gateway.publisher(), {{"a", "1"}}));
  EXPECT_EQ(*gateway.world()->runtime->values.find("a"), "1");
}

}  // namespace
}  // namespace millrace::agent::test
