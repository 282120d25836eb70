// Who the control planes are, and how they are reached.
#include "control-agent/xds/server_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using envoy::config::bootstrap::v3::Bootstrap;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::SizeIs;

template <typename Message>
Message parse(const std::string& yaml) {
  Message out;
  SourceMap places;
  Diagnostics diagnostics(&places);
  parse_text(yaml, "test", {}, out, places, diagnostics);
  for (const auto& error : diagnostics.errors()) ADD_FAILURE() << error.to_string();
  return out;
}

Bootstrap with_cluster(const std::string& fields) {
  return parse<Bootstrap>("{static_resources: {clusters: [{name: xds, " + fields + "}]}}");
}
std::string at(const std::string& address) {
  return "load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {" + address + "}}}]}]}";
}

envoy::config::core::v3::ApiConfigSource source(const std::string& more = "", const std::string& service = "") {
  return parse<envoy::config::core::v3::ApiConfigSource>(
      "{api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}" + service + "}]" +
      more + "}");
}

XdsServerGroup plan(const envoy::config::core::v3::ApiConfigSource& from, const Bootstrap& bootstrap) {
  Diagnostics diagnostics;
  auto out = plan_servers(from, "here", bootstrap, diagnostics);
  for (const auto& error : diagnostics.errors()) ADD_FAILURE() << error.to_string();
  return out.value_or(XdsServerGroup());
}
std::string error_of(const envoy::config::core::v3::ApiConfigSource& from, const Bootstrap& bootstrap) {
  Diagnostics diagnostics;
  EXPECT_FALSE(plan_servers(from, "here", bootstrap, diagnostics));
  return diagnostics.errors().empty() ? "" : diagnostics.errors()[0].to_string();
}

TEST(PlanServers, AddressesAreThoseOfTheCluster) {
  const auto target = [](const std::string& address, const std::string& more = "") {
    return plan(source(), with_cluster(at(address) + more)).servers.at(0).target;
  };
  EXPECT_EQ(target("pipe: {path: ./etc/XDS}"), "unix:./etc/XDS");
  EXPECT_EQ(target("socket_address: {address: 10.0.0.1, port_value: 15010}"), "ipv4:10.0.0.1:15010");
  EXPECT_EQ(target("socket_address: {address: \"2001:db8::1\", port_value: 15010}"), "ipv6:[2001:db8::1]:15010");
  EXPECT_EQ(target("socket_address: {address: istiod, port_value: 15010}", ", type: STRICT_DNS"), "dns:///istiod:15010");
}

TEST(PlanServers, TakesEveryField) {
  const Bootstrap bootstrap = with_cluster(
      at("pipe: {path: /x}") +
      ", connect_timeout: 2s, upstream_connection_options: {tcp_keepalive: {keepalive_time: 300}}, transport_socket: {name: tls, "
      "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: istiod, "
      "common_tls_context: {tls_certificates: [{certificate_chain: {inline_string: chain}, private_key: {inline_string: key}}], "
      "validation_context: {trusted_ca: {inline_string: root}}}}}");
  const XdsServerGroup group =
      plan(source(", set_node_on_first_message_only: true, rate_limit_settings: {max_tokens: 5, fill_rate: 2}",
                  ", initial_metadata: [{key: token, value: secret}]"),
           bootstrap);
  EXPECT_EQ(group.protocol, XdsProtocol::kDelta);
  EXPECT_TRUE(group.node_on_first_message_only);
  ASSERT_TRUE(group.rate_limit);
  EXPECT_EQ(group.rate_limit->max_tokens, 5);
  EXPECT_EQ(group.rate_limit->fill_rate, 2);
  ASSERT_THAT(group.servers, SizeIs(1));
  const XdsServer& server = group.servers[0];
  EXPECT_EQ(server.name, "xds");
  EXPECT_EQ(server.connect_timeout, Duration::seconds(2));
  EXPECT_EQ(server.keepalive_interval, Duration::seconds(300));
  EXPECT_THAT(server.metadata, ElementsAre(Pair("token", "secret")));
  ASSERT_TRUE(server.tls);
  EXPECT_EQ(server.tls->trusted_ca, "root");
  EXPECT_EQ(server.tls->certificate_chain, "chain");
  EXPECT_EQ(server.tls->private_key, "key");
  EXPECT_EQ(server.tls->server_name, "istiod");
}

TEST(PlanServers, SaysWhatIsWrong) {
  const Bootstrap bootstrap = with_cluster(at("pipe: {path: /x}"));
  EXPECT_THAT(error_of(parse<envoy::config::core::v3::ApiConfigSource>("{api_type: REST}"), bootstrap),
              HasSubstr("must be GRPC or DELTA_GRPC"));
  EXPECT_THAT(error_of(parse<envoy::config::core::v3::ApiConfigSource>("{api_type: GRPC}"), bootstrap),
              HasSubstr("must name a management server"));
  EXPECT_THAT(
      error_of(source(), parse<Bootstrap>("{}")),
      HasSubstr("here.grpc_services[0].envoy_grpc.cluster_name: there is no cluster \"xds\" in static_resources.clusters"));
  EXPECT_THAT(error_of(source(), with_cluster("connect_timeout: 1s")),
              HasSubstr("static_resources.clusters[0].load_assignment: must have an endpoint"));
}

TEST(PlanServers, RefusesWhatWouldMakeAConnectionLessSecureThanItSays) {
  const auto refused = [](const std::string& context) {
    const Bootstrap bootstrap =
        with_cluster(at("pipe: {path: /x}") +
                     ", transport_socket: {name: tls, typed_config: {\"@type\": "
                     "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, " +
                     context + "}}");
    return error_of(source(), bootstrap);
  };
  const std::string at = "static_resources.clusters[0].transport_socket.typed_config.";
  const std::string why = ": has no effect on connections to a management server: remove it";
  const std::string certificate = "{certificate_chain: {inline_string: c}, private_key: {inline_string: k}";
  EXPECT_EQ(refused("common_tls_context: {tls_params: {tls_minimum_protocol_version: TLSv1_3}}"),
            at + "common_tls_context.tls_params" + why);
  for (const std::string field : {"verify_certificate_hash: [aa]", "verify_certificate_spki: [aa]", "crl: {filename: /x}",
                                  "match_subject_alt_names: [{exact: a}]", "trust_chain_verification: ACCEPT_UNTRUSTED"}) {
    EXPECT_EQ(refused("common_tls_context: {validation_context: {" + field + "}}"),
              at + "common_tls_context.validation_context." + field.substr(0, field.find(':')) + why);
  }
  EXPECT_EQ(refused("common_tls_context: {tls_certificates: [" + certificate + ", password: {inline_string: p}}]}"),
            at + "common_tls_context.tls_certificates[0].password" + why);
  EXPECT_EQ(
      refused("common_tls_context: {tls_certificates: [" + certificate + "}, " + certificate + "}]}"),
      at + "common_tls_context.tls_certificates[1]: is one too many: connections to a management server show one certificate");
  EXPECT_EQ(refused("allow_renegotiation: true"), at + "allow_renegotiation" + why);
}

// Of a listener of the bootstrap, whose routes alone come from a control plane.
TEST(ControlPlanes, AreThoseOfStaticResourcesToo) {
  const std::string api =
      "{resource_api_version: V3, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: "
      "[{envoy_grpc: {cluster_name: xds}}]}}";
  const std::string http2 =
      "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
      "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
      "{http2_protocol_options: {}}}}";
  const auto bootstrap_of = [&](const std::string& source) {
    return parse<Bootstrap>(
        "{static_resources: {clusters: [{name: xds, " + http2 + ", " + at("socket_address: {address: 10.0.0.1, port_value: 1}") +
        "}], listeners: [{name: l, filter_chains: [{filters: [{name: http, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: a, "
        "rds: {route_config_name: r, config_source: " +
        source + "}}}]}]}]}}");
  };
  const Bootstrap asks = bootstrap_of(api);
  EXPECT_TRUE(has_control_plane(asks));
  EXPECT_THAT(management_clusters(asks), ElementsAre("xds"));
  const Bootstrap reads = bootstrap_of("{path_config_source: {path: /r.yaml}}");
  EXPECT_FALSE(has_control_plane(reads));
  EXPECT_THAT(management_clusters(reads), testing::IsEmpty());
}

TEST(CheckConfigSource, AdsNeedsAStreamInTheBootstrap) {
  Diagnostics diagnostics;
  envoy::config::core::v3::ConfigSource ads;
  ads.mutable_ads();
  const Bootstrap none;
  EXPECT_FALSE(check_config_source(ads, "cds_config", &none, diagnostics));
  ASSERT_THAT(diagnostics.errors(), SizeIs(1));
  EXPECT_EQ(diagnostics.errors()[0].path, "cds_config.ads");
  EXPECT_THAT(diagnostics.errors()[0].reason, HasSubstr("dynamic_resources.ads_config"));
}

TEST(MakeNode, SaysWhoWeAreAndWhatWeUnderstand) {
  const auto node =
      make_node(parse<Bootstrap>("{node: {id: old, cluster: edge, metadata: {ISTIO_VERSION: 1.27.9}}}"), "new", "edge");
  EXPECT_EQ(node.id(), "new");
  EXPECT_EQ(node.cluster(), "edge");
  EXPECT_EQ(node.user_agent_name(), "envoy");
  EXPECT_EQ(node.user_agent_build_version().version().major_number(), 1u);
  EXPECT_THAT(node.client_features(), testing::Contains("xds.config.supports-resource-ttl"));
  EXPECT_TRUE(node.metadata().fields().contains("ISTIO_VERSION"));
}

}  // namespace
}  // namespace millrace::agent
