#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <variant>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using config::HealthCheck;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kNeeded = "timeout: 1s, interval: 2s, unhealthy_threshold: 3, healthy_threshold: 4";

BootstrapText with_check(const std::string& fields, const std::string& cluster = "") {
  BootstrapText text;
  text.cluster = ", health_checks: [{" + std::string(kNeeded) + ", " + fields + "}]" + cluster;
  return text;
}
BootstrapText with_http(const std::string& fields) { return with_check("http_health_check: {path: /healthz, " + fields + "}"); }
BootstrapText with_tcp(const std::string& fields) { return with_check("tcp_health_check: {" + fields + "}"); }

std::shared_ptr<const config::Cluster> cluster_of(const BootstrapText& text) {
  const auto snapshot = snapshot_of(text);
  return snapshot == nullptr ? std::make_shared<config::Cluster>() : *snapshot->clusters.find("origin");
}
HealthCheck check_of(const BootstrapText& text) {
  const auto cluster = cluster_of(text);
  return cluster->health_check == nullptr ? HealthCheck{} : *cluster->health_check;
}
config::HttpHealthCheck http_of(const BootstrapText& text) { return std::get<config::HttpHealthCheck>(check_of(text).check); }
BootstrapText with_grpc(const std::string& fields) { return with_check("grpc_health_check: {" + fields + "}"); }
config::GrpcHealthCheck grpc_of(const BootstrapText& text) { return std::get<config::GrpcHealthCheck>(check_of(text).check); }
config::TcpHealthCheck tcp_of(const BootstrapText& text) { return std::get<config::TcpHealthCheck>(check_of(text).check); }
std::vector<std::string> texts(const std::vector<config::ExpectedBytes>& all) {
  std::vector<std::string> out;
  for (const auto& expected : all) out.push_back(expected.bytes);
  return out;
}

TEST(TranslateHealthCheck, NothingIsProbedUnlessConfigured) {
  const auto cluster = cluster_of({});
  EXPECT_EQ(cluster->health_check, nullptr);
  EXPECT_EQ(cluster->endpoints.at(0).extras().health_target, nullptr);
}

TEST(TranslateHealthCheck, HasEnvoysDefaults) {
  const HealthCheck bare = check_of(with_http(""));
  EXPECT_EQ(bare.timeout, Duration::seconds(1));
  EXPECT_EQ(bare.interval, Duration::seconds(2));
  EXPECT_EQ(bare.unhealthy_threshold, 3u);
  EXPECT_EQ(bare.healthy_threshold, 4u);
  EXPECT_EQ(bare.no_traffic_interval, Duration::seconds(60));
  EXPECT_EQ(bare.no_traffic_healthy_interval, Duration::seconds(60));
  EXPECT_EQ(bare.unhealthy_interval, Duration::seconds(2));
  EXPECT_EQ(bare.unhealthy_edge_interval, Duration::seconds(2));
  EXPECT_EQ(bare.healthy_edge_interval, Duration::seconds(2));
  EXPECT_EQ(bare.initial_jitter, Duration());
  EXPECT_EQ(bare.interval_jitter, Duration());
  EXPECT_EQ(bare.interval_jitter_percent, 0u);
  EXPECT_TRUE(bare.reuse_connection);
  EXPECT_FALSE(bare.exclude_new_endpoints);
  EXPECT_THAT(bare.protocols, IsEmpty());
  EXPECT_THAT(bare.log_sinks, IsEmpty());
  EXPECT_FALSE(bare.log_all_failures);
  EXPECT_FALSE(bare.log_all_successes);

  const config::HttpHealthCheck http = http_of(with_http(""));
  EXPECT_EQ(http.method, "GET");
  EXPECT_EQ(http.path, "/healthz");
  EXPECT_EQ(http.expected.size(), 1u);
  EXPECT_EQ(http.expected[0].start, 200);
  EXPECT_EQ(http.expected[0].end, 201);
  EXPECT_EQ(http.most_response_bytes, 1'024u);
  EXPECT_FALSE(http.service_name.has_value());
}

TEST(TranslateHealthCheck, TakesEveryField) {
  const HealthCheck all = check_of(with_check(
      "initial_jitter: 5s, interval_jitter: 6s, interval_jitter_percent: 7, reuse_connection: false, no_traffic_interval: 8s, "
      "no_traffic_healthy_interval: 9s, unhealthy_interval: 10s, unhealthy_edge_interval: 11s, healthy_edge_interval: 12s, "
      "event_log_path: /tmp/events, always_log_health_check_failures: true, always_log_health_check_success: true, "
      "tls_options: {alpn_protocols: [probe]}, tcp_health_check: {}",
      ", common_lb_config: {ignore_new_hosts_until_first_hc: true}"));
  EXPECT_EQ(all.initial_jitter, Duration::seconds(5));
  EXPECT_EQ(all.interval_jitter, Duration::seconds(6));
  EXPECT_EQ(all.interval_jitter_percent, 7u);
  EXPECT_FALSE(all.reuse_connection);
  EXPECT_EQ(all.no_traffic_interval, Duration::seconds(8));
  EXPECT_EQ(all.no_traffic_healthy_interval, Duration::seconds(9));
  EXPECT_EQ(all.unhealthy_interval, Duration::seconds(10));
  EXPECT_EQ(all.unhealthy_edge_interval, Duration::seconds(11));
  EXPECT_EQ(all.healthy_edge_interval, Duration::seconds(12));
  EXPECT_TRUE(all.exclude_new_endpoints);
  EXPECT_THAT(all.protocols, ElementsAre("probe"));
  EXPECT_THAT(all.log_sinks, ElementsAre(0u));
  EXPECT_TRUE(all.log_all_failures);
  EXPECT_TRUE(all.log_all_successes);
}

TEST(TranslateHealthCheck, EventsMayGoToSeveralFiles) {
  const std::string sink =
      "\"@type\": type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink";
  const auto snapshot =
      snapshot_of(with_check("tcp_health_check: {}, event_log_path: /tmp/a, event_logger: [{name: one, typed_config: {" + sink +
                             ", event_log_path: /tmp/b}}, {name: two, typed_config: {" + sink + ", event_log_path: /tmp/a}}]"));
  ASSERT_NE(snapshot, nullptr);
  EXPECT_THAT(snapshot->find_cluster("origin")->health_check->log_sinks, ElementsAre(0u, 1u, 0u));
  ASSERT_EQ(snapshot->log_sinks.size(), 2u);
  EXPECT_EQ(snapshot->log_sinks[1].path, "/tmp/b");
  EXPECT_THAT(errors_of(with_check("tcp_health_check: {}, event_logger: [{name: other, typed_config: {\"@type\": "
                                   "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}}]")),
              Contains(HasSubstr("event_logger[0].typed_config: the type")));
}

TEST(TranslateHealthCheck, IntervalsFollowOneAnother) {
  const HealthCheck check = check_of(with_check("no_traffic_interval: 7s, unhealthy_interval: 5s, tcp_health_check: {}"));
  EXPECT_EQ(check.no_traffic_healthy_interval, Duration::seconds(7));
  EXPECT_EQ(check.unhealthy_edge_interval, Duration::seconds(5));
  EXPECT_EQ(check.healthy_edge_interval, Duration::seconds(2));
}

TEST(TranslateHealthCheck, TakesEveryFieldOfHttp) {
  const config::HttpHealthCheck http = http_of(
      with_http("host: app.example, method: POST, send: {text: \"70696E67\"}, receive: [{text: \"6f6b\"}, {binary: YWxpdmU=}], "
                "response_buffer_size: 7, request_headers_to_add: [{header: {key: X-Probe, value: \"1\"}}], "
                "request_headers_to_remove: [user-agent], expected_statuses: [{start: 200, end: 300}, {start: 404, end: 405}], "
                "retriable_statuses: [{start: 500, end: 600}], codec_client_type: HTTP1, service_name_matcher: {prefix: shop}"));
  EXPECT_EQ(http.method, "POST");
  EXPECT_EQ(http.body, "ping");
  EXPECT_THAT(texts(http.receive), ElementsAre("ok", "alive"));
  EXPECT_EQ(http.most_response_bytes, 7u);
  ASSERT_EQ(http.headers_to_add.size(), 1u);
  EXPECT_EQ(http.headers_to_add[0].name, "x-probe");
  EXPECT_THAT(http.headers_to_remove, ElementsAre("user-agent"));
  ASSERT_EQ(http.expected.size(), 2u);
  EXPECT_EQ(http.expected[1].start, 404);
  ASSERT_EQ(http.retriable.size(), 1u);
  EXPECT_EQ(http.retriable[0].end, 600);
  ASSERT_TRUE(http.service_name.has_value());
  EXPECT_EQ(http.service_name->text, "shop");
}

TEST(TranslateHealthCheck, TakesEveryFieldOfTcp) {
  const config::TcpHealthCheck tcp = tcp_of(with_tcp("send: {text: \"50494e47\"}, receive: [{text: \"50\"}, {text: \"4f\"}]"));
  EXPECT_EQ(tcp.send, "PING");
  EXPECT_THAT(texts(tcp.receive), ElementsAre("P", "O"));
}

TEST(TranslateHealthCheck, TakesEveryFieldOfGrpc) {
  const BootstrapText text =
      with_grpc("service_name: shop.Cart, authority: \"a|b\", initial_metadata: [{header: {key: X-Probe, value: \"1\"}}]");
  const config::GrpcHealthCheck grpc = grpc_of(text);
  EXPECT_EQ(grpc.request, std::string("\0\0\0\0\x0b\x0a\x09shop.Cart", 16));
  ASSERT_EQ(grpc.metadata.size(), 1u);
  EXPECT_EQ(grpc.metadata[0].name, "x-probe");
  EXPECT_EQ(cluster_of(text)->endpoints.at(0).extras().health_target->host, "a%7cb");
  EXPECT_EQ(grpc_of(with_grpc("")).request, std::string(5, '\0'));
  EXPECT_EQ(cluster_of(with_grpc(""))->endpoints.at(0).extras().health_target->host, "origin");
}

TEST(TranslateHealthCheck, OfHttp2OffersH2UnlessToldOtherwise) {
  EXPECT_FALSE(http_of(with_http("codec_client_type: HTTP1")).http2);
  EXPECT_TRUE(http_of(with_http("codec_client_type: HTTP2")).http2);
  EXPECT_THAT(check_of(with_http("codec_client_type: HTTP2")).protocols, ElementsAre("h2"));
  EXPECT_THAT(check_of(with_grpc("")).protocols, ElementsAre("h2"));
  EXPECT_THAT(check_of(with_check("grpc_health_check: {}, tls_options: {alpn_protocols: [probe, h2]}")).protocols,
              ElementsAre("probe", "h2"));
}

TEST(TranslateHealthCheck, EqualChecksHaveEqualHashes) {
  EXPECT_EQ(check_of(with_http("")).content_hash, check_of(with_http("")).content_hash);
  EXPECT_NE(check_of(with_http("")).content_hash, check_of(with_http("method: HEAD")).content_hash);
}

TEST(TranslateHealthCheck, RefusesWhatCannotBe) {
  const auto refuses = [](const BootstrapText& text, const std::string& why) {
    EXPECT_THAT(errors_of(text), Contains(HasSubstr(why)));
  };
  refuses(with_http("send: {text: \"00\"}"), "http_health_check.send: GET has no body");
  refuses(with_http("method: PUT, send: {text: \"0\"}"), "send.text: must be an even number of hexadecimal digits");
  refuses(with_http("receive: [{text: \"xy\"}]"), "receive[0].text: must be an even number of hexadecimal digits");
  refuses(with_http("response_buffer_size: 1, receive: [{text: \"6f6b\"}]"), "receive: holds 2 bytes, more than");
  refuses(with_http("expected_statuses: [{start: 99, end: 200}]"), "expected_statuses[0]: must hold statuses from 100 to 599");
  refuses(with_http("expected_statuses: [{start: 200, end: 200}]"), "expected_statuses[0]: must hold statuses");
  refuses(with_http("retriable_statuses: [{start: 200, end: 601}]"), "retriable_statuses[0]: must hold statuses");
  refuses(with_http("codec_client_type: HTTP3"), "codec_client_type: is not supported yet");
  refuses(with_grpc("initial_metadata: [{header: {key: \":path\", value: x}}]"),
          "initial_metadata[0].header.key: \":path\" cannot");
  refuses(with_check("custom_health_check: {name: redis}"), "custom_health_check: is not supported yet");
  refuses(with_check("tcp_health_check: {}, interval_jitter_percent: 10001"), "interval_jitter_percent: must be at most 10000");
  EXPECT_FALSE(errors_of(with_http("method: CONNECT")).empty());
  EXPECT_FALSE(errors_of(with_check("tcp_health_check: {}, unhealthy_interval: 0s")).empty());
  BootstrapText two = with_tcp("");
  two.cluster = ", health_checks: [{" + std::string(kNeeded) + ", tcp_health_check: {}}, {" + std::string(kNeeded) +
                ", tcp_health_check: {}}]";
  refuses(two, "health_checks[1]: is one too many");
}

// --- endpoints

config::HealthTarget target_of(BootstrapText text, const std::string& fields) {
  text.endpoints =
      "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 198.18.0.1, port_value: 8080}}" + fields + "}}]}]";
  const auto cluster = cluster_of(text);
  if (cluster->endpoints.empty() || cluster->endpoints[0].extras().health_target == nullptr) return {};
  return *cluster->endpoints[0].extras().health_target;
}

TEST(TranslateHealthTargets, AreTheEndpointsUnlessTheySayOtherwise) {
  const SocketAddress own{IpAddress::v4(198, 18, 0, 1), 8'080};
  EXPECT_EQ(target_of(with_http(""), "").address, own);
  EXPECT_EQ(target_of(with_http(""), "").host, "origin");
  EXPECT_EQ(target_of(with_http("host: app.example"), "").host, "app.example");
  EXPECT_EQ(target_of(with_http("host: \"a|b c\""), "").host, "a%7cb%20c");
  EXPECT_EQ(target_of(with_http("host: app.example"), ", health_check_config: {hostname: one.example}").host, "one.example");
  EXPECT_EQ(target_of(with_http(""), ", hostname: named.example").host, "origin") << "as in Envoy";
  EXPECT_EQ(target_of(with_http(""), ", health_check_config: {port_value: 9}").address, (SocketAddress{own.ip, 9}));
  const std::string other = "address: {socket_address: {address: 198.18.0.9, port_value: 90}}";
  EXPECT_EQ(target_of(with_http(""), ", health_check_config: {" + other + "}").address,
            (SocketAddress{IpAddress::v4(198, 18, 0, 9), 90}));
  EXPECT_EQ(target_of(with_http(""), ", health_check_config: {port_value: 9, " + other + "}").address,
            (SocketAddress{IpAddress::v4(198, 18, 0, 9), 9}));
  const auto of_pipe =
      target_of(with_http(""), ", health_check_config: {port_value: 9, address: {pipe: {path: /run/probe.sock}}}");
  EXPECT_EQ(of_pipe.address, SocketAddress::of_pipe("/run/probe.sock")) << "which has no port";
  EXPECT_EQ(of_pipe.pipe, "/run/probe.sock");
  EXPECT_EQ(target_of(with_http(""), ", health_check_config: {" + other + "}").pipe, "");
}

TEST(TranslateHealthTargets, EndpointsMayBeLeftOut) {
  BootstrapText text = with_http("");
  text.endpoints =
      "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 198.18.0.1, port_value: 8080}}, "
      "health_check_config: {disable_active_health_check: true}}}]}]";
  EXPECT_EQ(cluster_of(text)->endpoints.at(0).extras().health_target, nullptr);
}

TEST(TranslateHealthTargets, HaveTheTransportSocketThatTheCheckAsksFor) {
  const std::string matches =
      ", transport_socket_matches: [{name: plain, match: {probe: true}, transport_socket: {name: raw, typed_config: "
      "{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}]"
      ", transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext}}";
  const auto plain =
      cluster_of(with_check("tcp_health_check: {}, transport_socket_match_criteria: {probe: true}", matches))->endpoints.at(0);
  EXPECT_NE(plain.extras().tls, nullptr);
  EXPECT_EQ(plain.extras().health_target->tls, nullptr);
  const auto same = cluster_of(with_check("tcp_health_check: {}", matches))->endpoints.at(0);
  EXPECT_EQ(same.extras().health_target->tls, same.extras().tls);
  const auto other =
      cluster_of(with_check("tcp_health_check: {}, transport_socket_match_criteria: {probe: false}", matches))->endpoints.at(0);
  EXPECT_EQ(other.extras().health_target->tls, other.extras().tls);
}

}  // namespace
}  // namespace millrace::agent::test
