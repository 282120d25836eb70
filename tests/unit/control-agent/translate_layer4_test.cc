// What stands below HTTP: the PROXY protocol, network filters, limits of connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

const std::string kApi = "type.googleapis.com/envoy.extensions.";

std::string any(const std::string& name, const std::string& type, const std::string& fields = "") {
  return "{name: " + name + ", typed_config: {\"@type\": " + kApi + type + fields + "}}";
}

BootstrapText with_listener_filter(const std::string& fields) {
  BootstrapText text;
  text.listener = ", listener_filters: [" + any("pp", "filters.listener.proxy_protocol.v3.ProxyProtocol", fields) + "]";
  return text;
}

const config::Listener& listener_of(const std::shared_ptr<const config::Snapshot>& snapshot) {
  return *snapshot->listeners.at(0);
}

TEST(TranslateProxyProtocol, TakesEveryField) {
  const auto snapshot = snapshot_of(
      with_listener_filter(", allow_requests_without_proxy_protocol: true, disallowed_versions: [V1], stat_prefix: edge, "
                           "pass_through_tlvs: {match_type: INCLUDE, tlv_type: [1, 234]}"));
  ASSERT_NE(snapshot, nullptr);
  const auto& inspection = listener_of(snapshot).inspection;
  ASSERT_TRUE(inspection.proxy_protocol);
  EXPECT_TRUE(inspection.is_needed());
  EXPECT_EQ(inspection.cell, nullptr);
  const auto& in = *inspection.proxy_protocol;
  EXPECT_TRUE(in.optional);
  EXPECT_FALSE(in.v1);
  EXPECT_TRUE(in.v2);
  EXPECT_EQ(in.kept.count(), 2u);
  EXPECT_TRUE(in.kept[1] && in.kept[234]);
  EXPECT_EQ(in.cell->name, "edge");
}

TEST(TranslateProxyProtocol, HasEnvoysDefaults) {
  const auto snapshot = snapshot_of(with_listener_filter(""));
  ASSERT_NE(snapshot, nullptr);
  const auto& in = *listener_of(snapshot).inspection.proxy_protocol;
  EXPECT_FALSE(in.optional);
  EXPECT_TRUE(in.v1 && in.v2);
  EXPECT_TRUE(in.kept.none());
  const auto all = snapshot_of(with_listener_filter(", pass_through_tlvs: {}"));
  ASSERT_NE(all, nullptr);
  EXPECT_TRUE(listener_of(all).inspection.proxy_protocol->kept.all());
}

TEST(TranslateProxyProtocol, RefusesWhatItCannotDo) {
  EXPECT_THAT(errors_of(with_listener_filter(", disallowed_versions: [V1, V2]")),
              ElementsAre(HasSubstr("disallowed_versions: must leave a version")));
  EXPECT_THAT(errors_of(with_listener_filter(", rules: [{tlv_type: 1, on_tlv_present: {key: a}}]")),
              ElementsAre(HasSubstr("rules: is not supported yet")));
  BootstrapText behind;
  behind.listener = ", listener_filters: [" + any("tls", "filters.listener.tls_inspector.v3.TlsInspector") + ", " +
                    any("pp", "filters.listener.proxy_protocol.v3.ProxyProtocol") + "]";
  EXPECT_THAT(errors_of(behind), ElementsAre(HasSubstr("stands behind an inspector")));
}

TEST(TranslateProxyProtocol, TheOldFieldOfAFilterChainMeansTheSame) {
  BootstrapText text;
  text.chain = ", use_proxy_proto: true";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_TRUE(listener_of(snapshot).inspection.proxy_protocol);
}

TEST(TranslateOriginalDst, AListenerFilterOrAFieldSaysThatTheDestinationIsKnown) {
  BootstrapText text;
  auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_FALSE(listener_of(snapshot).knows_original_dst);
  for (const std::string& fields : {", listener_filters: [" + any("od", "filters.listener.original_dst.v3.OriginalDst") + "]",
                                    std::string(", use_original_dst: true")}) {
    text.listener = fields;
    snapshot = snapshot_of(text);
    ASSERT_NE(snapshot, nullptr);
    EXPECT_TRUE(listener_of(snapshot).knows_original_dst);
    EXPECT_FALSE(listener_of(snapshot).inspection.is_needed());
  }
}

TEST(TranslateProxyProtocol, EndpointsMayBeTold) {
  const std::string type = "transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
  const std::string raw = any("raw", "transport_sockets.raw_buffer.v3.RawBuffer");
  const std::string tls = any("tls", "transport_sockets.tls.v3.UpstreamTlsContext", ", sni: a.example");
  BootstrapText text;
  text.manager = ", add_proxy_protocol_connection_state: false, append_local_overload: true";
  text.cluster =
      ", transport_socket: " +
      any("pp", type,
          ", config: {version: V2, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [7]}}, transport_socket: " + tls);
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_FALSE(manager_of(snapshot).add_proxy_protocol_connection_state);
  EXPECT_TRUE(manager_of(snapshot).append_local_overload);
  const auto& endpoint = snapshot->find_cluster("origin")->endpoints.at(0);
  ASSERT_NE(endpoint.extras().proxy_protocol, nullptr);
  EXPECT_EQ(endpoint.extras().proxy_protocol->version, config::ProxyProtocolOut::Version::kV2);
  EXPECT_EQ(endpoint.extras().proxy_protocol->passed.count(), 1u);
  EXPECT_NE(endpoint.extras().tls, nullptr);

  text.cluster = ", transport_socket: " + any("pp", type, ", transport_socket: " + raw);
  const auto plain = snapshot_of(text);
  ASSERT_NE(plain, nullptr);
  const auto& told = plain->find_cluster("origin")->endpoints.at(0);
  ASSERT_NE(told.extras().proxy_protocol, nullptr);
  EXPECT_EQ(told.extras().proxy_protocol->version, config::ProxyProtocolOut::Version::kV1);
  EXPECT_TRUE(told.extras().proxy_protocol->passed.none());
  EXPECT_EQ(told.extras().tls, nullptr);

  const std::string downstream = any("tls", "transport_sockets.tls.v3.DownstreamTlsContext");
  text.cluster = ", transport_socket: " + any("pp", type, ", transport_socket: " + downstream);
  EXPECT_THAT(errors_of(text), Contains(HasSubstr("transport_socket.typed_config: the type")));
}

TEST(TranslateNetworkFilters, TakesLimits) {
  BootstrapText text;
  text.network_filters =
      any("limit", "filters.network.connection_limit.v3.ConnectionLimit",
          ", stat_prefix: few, max_connections: 7, delay: 1.5s, runtime_enabled: {default_value: false, runtime_key: x}") +
      ", " +
      any("rate", "filters.network.local_ratelimit.v3.LocalRateLimit",
          ", stat_prefix: slow, token_bucket: {max_tokens: 3, tokens_per_fill: 2, fill_interval: 1s}, runtime_enabled: "
          "{default_value: true, runtime_key: y}") +
      ", ";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& filters = listener_of(snapshot).chains.at(0).network_filters;
  ASSERT_EQ(filters.size(), 2u);
  const auto& limit = std::get<config::ConnectionLimit>(filters[0]);
  EXPECT_FALSE(limit.enabled);
  EXPECT_EQ(limit.max_connections, 7u);
  EXPECT_EQ(limit.delay, Duration::milliseconds(1'500));
  EXPECT_EQ(limit.cell->name, "few");
  EXPECT_NE(limit.total, nullptr);
  const auto& rate = std::get<config::ConnectionRateLimit>(filters[1]);
  EXPECT_TRUE(rate.enabled);
  EXPECT_EQ(rate.bucket.limits, SharedTokenBucket::Limits::of(3, 2, Duration::seconds(1)));
  EXPECT_EQ(rate.cell->name, "slow");
}

TEST(TranslateNetworkFilters, BucketsAreSharedByThoseWhoSaySo) {
  const auto rate = [](const std::string& fields) {
    return any("rate", "filters.network.local_ratelimit.v3.LocalRateLimit",
               ", stat_prefix: slow, token_bucket: {max_tokens: 3, fill_interval: 1s}" + fields) +
           ", ";
  };
  BootstrapText text;
  text.network_filters = rate(", share_key: a") + rate(", share_key: a") + rate(", share_key: b") + rate("");
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto cell = [&](std::size_t i) {
    return std::get<config::ConnectionRateLimit>(listener_of(snapshot).chains.at(0).network_filters.at(i)).bucket.cell;
  };
  EXPECT_EQ(cell(0), cell(1));
  EXPECT_NE(cell(0), cell(2));
  EXPECT_NE(cell(0), cell(3));
}

TEST(TranslateNetworkFilters, RefusesWhatMakesNoSense) {
  const std::string limit = any("limit", "filters.network.connection_limit.v3.ConnectionLimit", ", stat_prefix: few");
  BootstrapText text;
  text.network_filters = limit + ", ";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("max_connections: must be set")));
  const std::string full =
      any("limit", "filters.network.connection_limit.v3.ConnectionLimit", ", stat_prefix: few, max_connections: 1");
  text.network_filters = full + ", " + full + ", ";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("is a second ConnectionLimit")));
  text.network_filters = any("echo", "filters.network.echo.v3.Echo") + ", ";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("stands behind the filter that serves the connection")));
}

TEST(TranslateNetworkFilters, SomeServeConnectionsThemselves) {
  const auto chain = [](const std::string& port, const std::string& filter) {
    return ", {filter_chain_match: {source_ports: [" + port + "]}, filters: [" + filter + "]}";
  };
  BootstrapText text;
  text.chains = chain("1", any("direct", "filters.network.direct_response.v3.Config", ", response: {inline_string: \"bye\"}")) +
                chain("2", any("direct", "filters.network.direct_response.v3.Config")) +
                chain("3", any("echo", "filters.network.echo.v3.Echo"));
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& chains = listener_of(snapshot).chains;
  EXPECT_EQ(std::get<config::DirectText>(chains.at(1).filter).text, "bye");
  EXPECT_EQ(std::get<config::DirectText>(chains.at(2).filter).text, "");
  EXPECT_TRUE(std::holds_alternative<config::Echo>(chains.at(3).filter));
}

TEST(TranslateLimits, ComeFromStaticLayersOfTheRuntime) {
  BootstrapText text;
  text.top =
      ", layered_runtime: {layers: [{name: first, static_layer: {overload.global_downstream_max_connections: 7, "
      "envoy.resource_limits.listener.http.connection_limit: 5, envoy.resource_limits.listener.other.connection_limit: 1, x: "
      "y}}, "
      "{name: second, static_layer: {overload.global_downstream_max_connections: \"70\"}}, {name: admin, admin_layer: {}}]}";
  text.listener = ", ignore_global_conn_limit: true, bypass_overload_manager: true";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  ASSERT_NE(snapshot->overload, nullptr);
  EXPECT_EQ(snapshot->overload->max_connections, 70u);
  EXPECT_EQ(listener_of(snapshot).connection_limit, 5u);
  EXPECT_TRUE(listener_of(snapshot).ignores_global_limit);
  EXPECT_TRUE(listener_of(snapshot).bypasses_overload);
  text.top = ", layered_runtime: {layers: [{name: a, static_layer: {overload.global_downstream_max_connections: some}}]}";
  EXPECT_THAT(errors_of(text), ElementsAre(HasSubstr("must be a whole number")));
  const auto none = snapshot_of({});
  EXPECT_EQ(none->overload, nullptr);
  EXPECT_EQ(listener_of(none).connection_limit, config::kUnlimitedConnections);
}

const std::string kHeap = "{name: heap, typed_config: {\"@type\": " + kApi +
                          "resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1000000000}}";

BootstrapText with_overload(const std::string& monitors, const std::string& actions, const std::string& more = "") {
  BootstrapText text;
  text.top = ", overload_manager: {resource_monitors: [" + monitors + "], actions: [" + actions + "]" + more + "}";
  return text;
}

std::string action(const std::string& name, const std::string& triggers) {
  return "{name: envoy.overload_actions." + name + ", triggers: [" + triggers + "]}";
}

TEST(TranslateOverload, TakesEveryField) {
  auto loaded = load_text(with_overload(
      kHeap + ", {name: injected, typed_config: {\"@type\": " + kApi +
          "resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: /nowhere}}, {name: connections, "
          "typed_config: "
          "{\"@type\": " +
          kApi +
          "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 9}}",
      action("stop_accepting_requests", "{name: heap, threshold: {value: 0.9}}") + ", " +
          action("reset_high_memory_stream",
                 "{name: injected, scaled: {scaling_threshold: 0.5, saturation_threshold: 0.75}}, {name: heap, threshold: "
                 "{value: 1}}"),
      ", refresh_interval: 0.25s, buffer_factory_config: {minimum_account_to_track_power_of_two: 20}"));
  ASSERT_TRUE(loaded) << loaded.error().at(0).to_string();
  const config::Overload& overload = *loaded->snapshot->overload;
  EXPECT_EQ(overload.max_connections, 9u);
  EXPECT_EQ(overload.least_account_power, 20u);
  using report::OverloadAction;
  EXPECT_THAT(overload.actions, ElementsAre(OverloadAction::kStopAcceptingRequests, OverloadAction::kResetHighMemoryStream));
  ASSERT_EQ(overload.cell->resources.size(), 2u);
  EXPECT_EQ(overload.cell->resources[1].name, "injected");
  ASSERT_NE(loaded->overload, nullptr);
  const OverloadPlan& plan = *loaded->overload;
  EXPECT_EQ(plan.interval, std::chrono::milliseconds(250));
  ASSERT_EQ(plan.readers.size(), 2u);
  EXPECT_TRUE(plan.readers[0]().has_value()) << "what it reads is the test of the reader";
  EXPECT_FALSE(plan.readers[1]());
  ASSERT_EQ(plan.actions.size(), 2u);
  ASSERT_EQ(plan.actions[1].triggers.size(), 2u);
  EXPECT_EQ(plan.actions[1].triggers[0].resource, 1u);
  EXPECT_EQ(plan.actions[1].triggers[0].scaling, 0.5);
  EXPECT_EQ(plan.actions[1].triggers[0].saturation, 0.75);
  EXPECT_EQ(plan.actions[0].triggers[0].saturation, 0.9);
}

TEST(TranslateOverload, RefusesWhatItDoesNotOffer) {
  EXPECT_THAT(errors_of(with_overload(kHeap, action("reduce_timeouts", "{name: heap, threshold: {value: 1}}"))),
              ElementsAre(HasSubstr("the action \"envoy.overload_actions.reduce_timeouts\" is not supported: use one of "
                                    "envoy.overload_actions.stop_accepting_requests, ")));
  EXPECT_THAT(errors_of(with_overload(kHeap, action("shrink_heap", "{name: cpu, threshold: {value: 1}}"))),
              ElementsAre(HasSubstr("there is no resource \"cpu\"")));
  EXPECT_THAT(errors_of(with_overload(kHeap, action("reset_high_memory_stream", "{name: heap, threshold: {value: 1}}"))),
              ElementsAre(HasSubstr("needs buffer_factory_config")));
  EXPECT_THAT(errors_of(with_overload(
                  kHeap, action("shrink_heap", "{name: heap, scaled: {scaling_threshold: 0.5, saturation_threshold: 0.5}}"))),
              ElementsAre(HasSubstr("scaling_threshold must be less")));
  EXPECT_THAT(errors_of(with_overload(kHeap + ", " + kHeap, "")), ElementsAre(HasSubstr("is already taken by")));
  EXPECT_THAT(
      errors_of(with_overload(kHeap, "", ", loadshed_points: [{name: a, triggers: [{name: heap, threshold: {value: 1}}]}]")),
      ElementsAre(HasSubstr("loadshed_points: is not supported yet")));
}

}  // namespace
}  // namespace millrace::agent::test
