// Filter chains, what chooses among them, and the TCP proxy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

const std::string kApi = "type.googleapis.com/envoy.extensions.filters.";
const std::string kTlsInspector = "{name: tls, typed_config: {\"@type\": " + kApi + "listener.tls_inspector.v3.TlsInspector}}";
const std::string kHttpInspector =
    "{name: http, typed_config: {\"@type\": " + kApi + "listener.http_inspector.v3.HttpInspector}}";

/// A chain with a TCP proxy: `match` and further fields of the proxy, each as ", name: value".
std::string tcp_chain(const std::string& match, const std::string& fields = "", const std::string& target = "cluster: origin") {
  return ", {name: through, filter_chain_match: {" + match + "}, filters: [{name: tcp, typed_config: {\"@type\": " + kApi +
         "network.tcp_proxy.v3.TcpProxy, stat_prefix: through, " + target + fields + "}}]}";
}

const config::Listener& listener_of(const std::shared_ptr<const config::Snapshot>& snapshot) {
  return *snapshot->listeners.at(0);
}

TEST(TranslateFilterChain, OneChainWithoutConditionsNeedsNoLookUpAndNoInspection) {
  const auto snapshot = snapshot_of({});
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = listener_of(snapshot);
  EXPECT_TRUE(listener.table.is_unconditional());
  EXPECT_EQ(listener.table.fallback, 0u);
  EXPECT_FALSE(listener.inspection.is_needed());
  EXPECT_EQ(listener.inspection.cell, nullptr);
}

TEST(TranslateFilterChain, TakesChainsConditionsAndListenerFilters) {
  BootstrapText text;
  text.chain = ", name: plain, filter_chain_match: {transport_protocol: raw_buffer}";
  text.chains = tcp_chain(
      "destination_port: 443, prefix_ranges: [{address_prefix: 198.18.0.0, prefix_len: 24}], server_names: [\"*.Example.com\", "
      "a.b], transport_protocol: tls, application_protocols: [h2], source_type: EXTERNAL, source_prefix_ranges: "
      "[{address_prefix: \"2001:db8::\", prefix_len: 32}], direct_source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: "
      "8}], source_ports: [1, 2]");
  text.listener = ", listener_filters: [" + kTlsInspector + ", " + kHttpInspector +
                  "], listener_filters_timeout: 2.5s, continue_on_listener_filters_timeout: true";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = listener_of(snapshot);
  ASSERT_EQ(listener.chains.size(), 2u);
  EXPECT_NE(listener.chains[0].http(), nullptr);
  EXPECT_EQ(listener.chains[0].tcp(), nullptr);
  EXPECT_NE(listener.chains[1].tcp(), nullptr);
  EXPECT_EQ(listener.chains[1].name, "through");
  EXPECT_FALSE(listener.table.fallback);
  EXPECT_EQ(listener.table.destination_ports.at(0).exact.count(443), 1u);
  ASSERT_EQ(listener.table.server_names.size(), 2u);
  EXPECT_EQ(listener.table.server_names[1].suffixes.count(".example.com"), 1u);
  EXPECT_EQ(listener.table.server_names[1].exact.count("a.b"), 1u);
  EXPECT_EQ(listener.table.source_ports.back().exact.size(), 2u);
  EXPECT_TRUE(listener.inspection.tls);
  EXPECT_TRUE(listener.inspection.http);
  EXPECT_EQ(listener.inspection.timeout, Duration::milliseconds(2500));
  EXPECT_TRUE(listener.inspection.continue_on_timeout);
  ASSERT_NE(listener.inspection.cell, nullptr);
}

TEST(TranslateFilterChain, TheDefaultChainIsTheLast) {
  BootstrapText text;
  text.chain = ", filter_chain_match: {source_ports: [1]}";
  text.listener = ", default_filter_chain: " + tcp_chain("server_names: [ignored.example]").substr(2);
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(listener_of(snapshot).table.fallback, 1u);
  EXPECT_NE(listener_of(snapshot).chains.at(1).tcp(), nullptr);
  EXPECT_FALSE(listener_of(snapshot).inspection.is_needed());
}

TEST(TranslateFilterChain, AChainThatNeedsTheTlsInspectorBringsItAlong) {
  const auto inspected = [](const std::string& match) {
    BootstrapText text;
    text.chain = ", filter_chain_match: {" + match + "}";
    const auto loaded = load_text(text);
    EXPECT_TRUE(loaded);
    return listener_of(loaded->snapshot).inspection.tls;
  };
  EXPECT_TRUE(inspected("transport_protocol: tls"));
  EXPECT_TRUE(inspected("server_names: [a]"));
  EXPECT_TRUE(inspected("application_protocols: [h2]"));
  EXPECT_FALSE(inspected("transport_protocol: raw_buffer, application_protocols: [http/1.1]"));
  EXPECT_FALSE(inspected("destination_port: 80"));
}

TEST(TranslateFilterChain, RefusesConditionsThatMakeNoSense) {
  BootstrapText text;
  text.chain =
      ", filter_chain_match: {prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 33}, {address_prefix: nowhere}], "
      "server_names: "
      "[\"*\", \"a*.b\", \"*.\"], transport_protocol: quic}";
  EXPECT_THAT(
      errors_of(text),
      UnorderedElementsAre(HasSubstr("prefix_ranges[0].prefix_len: must be at most 32, is 33"),
                           HasSubstr("prefix_ranges[1].address_prefix: \"nowhere\" is not an IP address"),
                           HasSubstr("server_names[0]: \"*\" is neither"), HasSubstr("server_names[1]: \"a*.b\" is neither"),
                           HasSubstr("server_names[2]: \"*.\" is neither"),
                           HasSubstr("transport_protocol: \"quic\" is never found here")));
}

TEST(TranslateFilterChain, NamesBothChainsThatClash) {
  BootstrapText text;
  text.chain = ", filter_chain_match: {server_names: [a, b]}";
  text.chains = tcp_chain("server_names: [b]");
  EXPECT_THAT(errors_of(text),
              ElementsAre(testing::AllOf(HasSubstr("filter_chains[1].filter_chain_match"), HasSubstr("filter_chains[0]"),
                                         HasSubstr("filter_chains[1] \"through\""))));
}

TEST(TranslateFilterChain, RefusesFiltersThatServeNothingOrTooMuch) {
  BootstrapText text;
  text.chains =
      ", {filter_chain_match: {destination_port: 1}, filters: []}, {filter_chain_match: {destination_port: 2}, filters: [{name: "
      "sni, typed_config: {\"@type\": " +
      kApi +
      "network.sni_cluster.v3.SniCluster}}]}, {filter_chain_match: {destination_port: 3}, filters: [{name: tcp, typed_config: "
      "{\"@type\": " +
      kApi + "network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: origin}}, {name: sni, typed_config: {\"@type\": " + kApi +
      "network.sni_cluster.v3.SniCluster}}]}";
  EXPECT_THAT(errors_of(text), UnorderedElementsAre(HasSubstr("filter_chains[1].filters: must end with a filter"),
                                                    HasSubstr("filter_chains[2].filters: must end with a filter"),
                                                    HasSubstr("filter_chains[3].filters[1]: stands behind")));
}

TEST(TranslateTcpProxy, HasEnvoysDefaults) {
  BootstrapText text;
  text.chains = tcp_chain("destination_port: 1");
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const config::TcpProxy& proxy = *listener_of(snapshot).chains.at(1).tcp();
  EXPECT_EQ(proxy.stat_prefix, "through");
  EXPECT_EQ(proxy.cell->name, "through");
  EXPECT_EQ(proxy.idle_timeout, Duration::seconds(3600));
  EXPECT_EQ(proxy.max_connect_attempts, 1u);
  EXPECT_EQ(proxy.max_connection_duration, Duration());
  EXPECT_FALSE(proxy.cluster_from_server_name);
  EXPECT_THAT(proxy.access_logs, IsEmpty());
  ASSERT_EQ(proxy.clusters.size(), 1u);
  EXPECT_EQ(proxy.clusters[0].name, "origin");
}

TEST(TranslateTcpProxy, TakesItsFields) {
  BootstrapText text;
  text.chains =
      tcp_chain("destination_port: 1",
                ", idle_timeout: 0s, max_connect_attempts: 4, max_downstream_connection_duration: 90s, access_log: [{name: a, "
                "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]",
                "weighted_clusters: {clusters: [{name: origin, weight: 2}, {name: later, weight: 3}]}");
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const config::TcpProxy& proxy = *listener_of(snapshot).chains.at(1).tcp();
  EXPECT_EQ(proxy.idle_timeout, Duration());
  EXPECT_EQ(proxy.max_connect_attempts, 4u);
  EXPECT_EQ(proxy.max_connection_duration, Duration::seconds(90));
  EXPECT_EQ(proxy.access_logs.size(), 1u);
  EXPECT_EQ(proxy.total_weight, 5u);
  ASSERT_EQ(proxy.clusters.size(), 2u);
  EXPECT_EQ(proxy.clusters[1].name, "later");
}

TEST(TranslateTcpProxy, AsksEndpointsForMetadata) {
  BootstrapText text;
  const auto match = [](const std::string& fields) { return "metadata_match: {filter_metadata: {envoy.lb: {" + fields + "}}}"; };
  text.chains = tcp_chain(
      "destination_port: 1", ", " + match("version: v1, stage: prod"),
      "weighted_clusters: {clusters: [{name: origin, weight: 2}, {name: origin, weight: 3, " + match("version: v2") + "}]}");
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const config::TcpProxy& proxy = *listener_of(snapshot).chains.at(1).tcp();
  ASSERT_EQ(proxy.clusters.size(), 2u);
  ASSERT_NE(proxy.clusters[0].metadata_match, nullptr);
  EXPECT_EQ(proxy.clusters[0].metadata_match->size(), 2u);
  EXPECT_EQ(proxy.clusters[1].metadata_match->size(), 2u) << "its own beside the proxy's";
  text.chains = tcp_chain("destination_port: 1");
  EXPECT_EQ(listener_of(snapshot_of(text)).chains.at(1).tcp()->clusters[0].metadata_match, nullptr);
}

TEST(TranslateTcpProxy, LogsWhenItIsTold) {
  const auto proxy = [](const std::string& fields) {
    BootstrapText text;
    text.chains = tcp_chain("destination_port: 1", fields);
    return *listener_of(snapshot_of(text)).chains.at(1).tcp();
  };
  const auto now = proxy(", access_log_options: {access_log_flush_interval: 2s, flush_access_log_on_connected: true}");
  EXPECT_TRUE(now.log_when_connected);
  EXPECT_EQ(now.log_interval, Duration::seconds(2));
  const auto before = proxy(", access_log_flush_interval: 3s, flush_access_log_on_connected: true");
  EXPECT_TRUE(before.log_when_connected);
  EXPECT_EQ(before.log_interval, Duration::seconds(3));
  EXPECT_FALSE(proxy("").log_when_connected);
  EXPECT_EQ(proxy("").log_interval, Duration());
}

TEST(TranslateTcpProxy, RefusesWhatItCannotServe) {
  BootstrapText text;
  text.chains =
      tcp_chain("destination_port: 1",
                ", idle_timeout: -1s, access_log_options: {access_log_flush_interval: 0s}, flush_access_log_on_connected: true",
                "weighted_clusters: {clusters: [{name: origin, weight: 4294967295}, {name: origin, weight: 1}]}");
  EXPECT_THAT(errors_of(text), UnorderedElementsAre(HasSubstr("access_log_options: cannot be set together"),
                                                    HasSubstr("access_log_flush_interval: must be"),
                                                    HasSubstr("idle_timeout: must not be negative"),
                                                    HasSubstr("weighted_clusters.clusters: the sum of the weights")));
}

TEST(TranslateTcpProxy, ASniClusterBeforeItNamesTheCluster) {
  BootstrapText text;
  text.chains = ", {filter_chain_match: {destination_port: 3}, filters: [{name: sni, typed_config: {\"@type\": " + kApi +
                "network.sni_cluster.v3.SniCluster}}, {name: tcp, typed_config: {\"@type\": " + kApi +
                "network.tcp_proxy.v3.TcpProxy, stat_prefix: x, cluster: origin}}]}";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_TRUE(listener_of(snapshot).chains.at(1).tcp()->cluster_from_server_name);
}

}  // namespace
}  // namespace millrace::agent::test
