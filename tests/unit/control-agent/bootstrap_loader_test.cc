#include "control-agent/bootstrap_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kRoot = MILLRACE_SOURCE_DIR;

LoadOptions example() {
  LoadOptions options;
  options.config_path = kRoot + "/deploy/examples/bootstrap.yaml";
  options.dataplane_path = kRoot + "/deploy/examples/dataplane.yaml";
  return options;
}

TEST(BootstrapLoader, LoadsTheExample) {
  const auto loaded = load(example());
  ASSERT_TRUE(loaded) << loaded.error().front().to_string();
  EXPECT_EQ(loaded->snapshot->listeners.size(), 1U);
  EXPECT_NE(loaded->snapshot->find_cluster("origin"), nullptr);
  EXPECT_EQ(loaded->machine.ports.size(), 1U);
  EXPECT_EQ(loaded->machine.worker_count, 1U);
  EXPECT_EQ(loaded->admin_address, SocketAddress::parse("127.0.0.1:9901"));
  EXPECT_THAT(loaded->warnings, ElementsAre());
  EXPECT_EQ(loaded->bootstrap_json()["node"]["id"], "gateway-1");
}

TEST(BootstrapLoader, LoadsABookinfoGatewayOnAllAddresses) {
  LoadOptions options;
  options.config_path = kRoot + "/deploy/examples/bookinfo.yaml";
  options.dataplane_path = kRoot + "/deploy/examples/dataplane.yaml";
  const auto loaded = load(options);
  ASSERT_TRUE(loaded) << loaded.error().front().to_string();
  EXPECT_TRUE(loaded->snapshot->listeners.at(0)->addresses.at(0).ip.is_unspecified());
  EXPECT_EQ(loaded->snapshot->clusters.size(), 2U);
}

TEST(BootstrapLoader, RefusesAListenerOnAnAddressThatNoPortHas) {
  auto options = example();
  options.config_yaml =
      "{static_resources: {listeners: [{name: other, address: {socket_address: {address: 198.18.0.9, port_value: 81}}, "
      "filter_chains: "
      "[{filters: [{name: h, typed_config: {'@type': "
      "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: o, "
      "http_filters: [{name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}], "
      "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: "
      "origin}}]}]}}}]}]}]}}";
  const auto loaded = load(options);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().at(0).path, "static_resources.listeners[1].address");
  EXPECT_THAT(loaded.error().at(0).reason, HasSubstr("198.18.0.9 is not an address of any port"));
}

TEST(BootstrapLoader, MergesTheOverlayOverTheFile) {
  auto options = example();
  options.config_yaml = "{node: {id: other}, static_resources: {clusters: [{name: second}]}}";
  const auto loaded = load(options);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->bootstrap->node().id(), "other");
  EXPECT_EQ(loaded->bootstrap->node().cluster(), "edge");
  EXPECT_EQ(loaded->snapshot->clusters.size(), 2U);
}

TEST(BootstrapLoader, NamesTheOverlayInItsErrors) {
  auto options = example();
  options.config_yaml = "static_resources:\n  clusters:\n  - name: second\n    lb_policy: CLUSTER_PROVIDED\n";
  const auto loaded = load(options);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(
      loaded.error().at(0).to_string(),
      "--config-yaml:4: static_resources.clusters[1].lb_policy: CLUSTER_PROVIDED is only for clusters that bring their own, "
      "as aggregates and ORIGINAL_DST do: use another policy");
}

TEST(BootstrapLoader, LetsFlagsWinOverTheNode) {
  auto options = example();
  options.service_node = "flag-node";
  options.service_cluster = "flag-cluster";
  const auto loaded = load(options);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(test::manager_of(loaded->snapshot).service_node, "flag-node");
  EXPECT_THAT(loaded->snapshot->node, ElementsAre(std::pair<std::string, std::string>("id", "flag-node"),
                                                  std::pair<std::string, std::string>("cluster", "flag-cluster")));
}

TEST(BootstrapLoader, TakesTheDataplaneFromABootstrapExtension) {
  test::BootstrapText text;
  text.top =
      ", bootstrap_extensions: [{name: machine, typed_config: {\"@type\": type.googleapis.com/millrace.v1.Dataplane, "
      "workers: {count: 3, idle: POLL}, ports: [{name: edge, tap: {interface: mr0}, addresses: [198.18.0.2/24]}]}}]";
  const auto loaded = test::load_text(text);
  ASSERT_TRUE(loaded) << loaded.error().front().to_string();
  EXPECT_EQ(loaded->machine.worker_count, 3U);
  EXPECT_EQ(loaded->machine.idle, config::Dataplane::Idle::kPoll);
  EXPECT_EQ(loaded->machine.ports.at(0).name, "edge");

  LoadOptions both;
  both.config_yaml = text.text();
  both.dataplane_path = kRoot + "/deploy/examples/dataplane.yaml";
  const auto refused = load(both);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().at(0).path, "bootstrap_extensions[0].typed_config");
  EXPECT_THAT(refused.error().at(0).reason, HasSubstr("cannot be given together with --dataplane"));
}

TEST(BootstrapLoader, NamesThePathOfAWrongDataplaneInTheBootstrap) {
  test::BootstrapText text;
  text.top =
      ", bootstrap_extensions: [{name: machine, typed_config: {\"@type\": type.googleapis.com/millrace.v1.Dataplane, "
      "ports: [{name: edge, tap: {interface: mr0}, addresses: [nowhere]}]}}]";
  EXPECT_THAT(test::errors_of(text), ElementsAre(HasSubstr("ports[0].addresses[0]: \"nowhere\" is not an address")));
}

TEST(BootstrapLoader, DecidesTheNumberOfWorkers) {
  const auto concurrency = test::load_text({});
  ASSERT_TRUE(concurrency);
  EXPECT_EQ(concurrency->machine.worker_count, 2U);
  LoadOptions options;
  options.config_yaml = test::BootstrapText{}.text();
  const auto cores = load(options);
  ASSERT_TRUE(cores);
  EXPECT_GE(cores->machine.worker_count, 1U);
}

TEST(BootstrapLoader, WarnsOfListenersWithoutPorts) {
  const auto loaded = test::load_text({});
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->warnings, ElementsAre(HasSubstr("there are listeners but no ports")));
}

TEST(BootstrapLoader, CompilesRegexesForEveryWorker) {
  test::BootstrapText text;
  text.match = "safe_regex: {regex: /a}";
  const auto snapshot = test::snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(test::route_of(snapshot).match.path.regex.programs.size(), 2U);
}

TEST(BootstrapLoader, ReusesCellsThatItIsGiven) {
  auto options = example();
  const auto first = load(options);
  ASSERT_TRUE(first);
  options.cells = first->cells;
  const auto second = load(options);
  ASSERT_TRUE(second);
  EXPECT_EQ(first->snapshot->find_cluster("origin")->cell, second->snapshot->find_cluster("origin")->cell);
}

TEST(BootstrapLoader, SaysThatAFileIsMissing) {
  auto options = example();
  options.config_path = "/nonexistent/bootstrap.yaml";
  const auto loaded = load(options);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().at(0).to_string(), "/nonexistent/bootstrap.yaml: cannot be read: does it exist, and is it readable?");
  const auto nothing = load({});
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().at(0).to_string(), HasSubstr("give -c FILE or --config-yaml TEXT"));
}

TEST(BootstrapLoader, TurnsUnknownFieldsIntoWarningsWhenAllowed) {
  auto options = example();
  options.config_yaml = "{node: {id: a, shoe_size: 43}}";
  EXPECT_FALSE(load(options));
  options.allow_unknown_static_fields = true;
  const auto loaded = load(options);
  ASSERT_TRUE(loaded);
  EXPECT_THAT(loaded->warnings,
              ElementsAre("--config-yaml:1: node.shoe_size: unknown field of envoy.config.core.v3.Node (ignored)"));
}

// With a control plane that only hears of load.
LoadOptions reporting(const std::string& source) {
  LoadOptions options;
  options.config_yaml =
      "{static_resources: {clusters: [{name: loads, http2_protocol_options: {}, load_assignment: {cluster_name: loads, "
      "endpoints: "
      "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}}}]}]}}]}, cluster_manager: "
      "{load_stats_config: {transport_api_version: V3, " +
      source + "}}}";
  return options;
}

TEST(BootstrapLoader, WhoHearsOfLoadIsTheAgentsAlone) {
  const auto loaded = load(reporting("api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: loads}}]"));
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  EXPECT_TRUE(loaded->reports_load);
  EXPECT_FALSE(loaded->has_control_plane);
  EXPECT_TRUE(loaded->snapshot->clusters.empty());
  EXPECT_THAT(loaded->warnings, testing::IsEmpty());
}

TEST(BootstrapLoader, SaysWhatIsWrongWithWhoHearsOfLoad) {
  const auto error = [](const std::string& source) {
    const auto loaded = load(reporting(source));
    std::string text;
    for (const auto& one : loaded ? std::vector<ConfigError>() : loaded.error()) text += one.to_string() + "\n";
    return text;
  };
  EXPECT_THAT(error("api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: loads}}]"),
              HasSubstr("cluster_manager.load_stats_config.api_type: must be GRPC"));
  EXPECT_THAT(
      error("api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: none}}]"),
      HasSubstr("cluster_manager.load_stats_config.grpc_services[0].envoy_grpc.cluster_name: there is no cluster \"none\""));
  EXPECT_THAT(error("api_type: GRPC"), HasSubstr("cluster_manager.load_stats_config.grpc_services: must name"));
  const auto limited =
      load(reporting("api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: loads}}], rate_limit_settings: {}"));
  ASSERT_TRUE(limited);
  EXPECT_THAT(limited->warnings, ElementsAre(HasSubstr("rate_limit_settings: has no effect")));
}

TEST(BootstrapLoader, TakesTheBootstrapOfIstiosAgent) {
  LoadOptions options;
  options.config_path = kRoot + "/tests/data/envoy/istio_agent_bootstrap.json";
  options.allow_unknown_static_fields = true;  // as the agent says on the command line
  const auto loaded = load(options);
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  EXPECT_TRUE(loaded->has_control_plane);
  EXPECT_THAT(loaded->snapshot->listeners, testing::SizeIs(2));
  EXPECT_THAT(loaded->snapshot->clusters, testing::SizeIs(2)) << "those of the control planes are the agent's alone";
}

}  // namespace
}  // namespace millrace::agent
