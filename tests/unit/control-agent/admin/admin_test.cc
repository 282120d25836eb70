// The admin pages over a gateway made of data: names, shapes and sums, and the server with a real client.
#include "control-agent/admin/admin_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cmath>

#include "control-agent/admin/capture_page.h"
#include "control-agent/admin/config_dump.h"
#include "control-agent/admin/messages.h"
#include "control-agent/admin/pages.h"
#include "control-agent/admin/stats.h"
#include "tests/unit/control-agent/admin/fake_gateway.h"
#include "tests/unit/control-agent/tls_files.h"

namespace millrace::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A store with one context, made by the library.
std::shared_ptr<tls::ContextSlot> add_context(SecretStore& store) {
  const auto pair = test::make_pair("a", "DNS:a.example,URI:spiffe://a,email:a@a.example", 10 * 24 * 3600 + 60);
  tls::ContextConfig config;
  config.certificates.push_back({.chain = pair.chain, .key = pair.key, .password = {}, .ocsp_response = {}});
  config.validation.emplace().trusted_ca = test::make_pair("ca").chain;
  auto context = tls::Context::make(config);
  EXPECT_TRUE(context) << context.error().text;
  return store.add("listener", {.context = *context, .chain_paths = {"/tls.crt"}, .authorities_path = "<inline>"}, {}, {});
}

std::vector<Stat> filtered(const GatewayView& gateway, const StatFilter& filter) {
  std::vector<Stat> stats = collect_stats(gateway);
  std::string error;
  EXPECT_TRUE(apply_filter(filter, stats, error)) << error;
  return stats;
}

TEST(Stats, SumsOverWorkersUnderEnvoysNames) {
  FakeGateway gateway;
  gateway.cluster->per_worker[0].upstream_rq_total.add(2);
  gateway.cluster->per_worker[1].upstream_rq_total.add(3);
  gateway.http->per_worker[1].downstream_rq_active.add(4);
  const std::string text = to_plain_text(collect_stats(gateway));
  EXPECT_THAT(text, HasSubstr("cluster.app.upstream_rq_total: 5\n"));
  EXPECT_THAT(text, HasSubstr("http.in.gress.downstream_rq_active: 4\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.membership_healthy: 1\n"));
  EXPECT_THAT(text, HasSubstr("millrace.port.edge.rx_packets: 7\n"));
  EXPECT_THAT(text, HasSubstr("millrace.rule.telnet.hits: 3\n"));
  EXPECT_THAT(text, HasSubstr("server.state: 0\n"));
  EXPECT_THAT(text, HasSubstr("server.memory_physical_size: 1048576\n"));
}

TEST(Stats, AreSortedByName) {
  const FakeGateway gateway;
  const auto stats = filtered(gateway, {});
  EXPECT_TRUE(std::ranges::is_sorted(stats, {}, &Stat::name));
}

TEST(Stats, FilterTakesRegularExpressionTypeAndUsedOnly) {
  FakeGateway gateway;
  gateway.cluster->per_worker[0].upstream_rq_total.add();
  auto stats = filtered(gateway, {.expression = "^cluster\\.app\\.upstream_rq", .used_only = true, .type = "Counters"});
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].name, "cluster.app.upstream_rq_total");
}

TEST(Stats, FilterThatIsNoExpressionIsAnError) {
  const FakeGateway gateway;
  auto stats = collect_stats(gateway);
  std::string error;
  EXPECT_FALSE(apply_filter({.expression = "("}, stats, error));
  EXPECT_THAT(error, HasSubstr("not a regular expression"));
  EXPECT_FALSE(apply_filter({.expression = {}, .type = "Gauge"}, stats, error));
  EXPECT_THAT(error, HasSubstr("\"Gauge\""));
}

TEST(Stats, PrometheusTurnsNamesIntoLabels) {
  FakeGateway gateway;
  gateway.http->per_worker[0].downstream_rq_2xx.add(6);
  gateway.http->per_worker[0].downstream_rq_5xx.add(1);
  const std::string text = to_prometheus(collect_stats(gateway));
  EXPECT_THAT(
      text,
      HasSubstr("envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix=\"in.gress\",envoy_response_code_class=\"2\"} 6"));
  EXPECT_THAT(
      text,
      HasSubstr("envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix=\"in.gress\",envoy_response_code_class=\"5\"} 1"));
  EXPECT_THAT(text, HasSubstr("# TYPE envoy_http_downstream_rq_xx counter"));
  EXPECT_THAT(text, HasSubstr("envoy_cluster_membership_total{envoy_cluster_name=\"app\"} 1"));
  EXPECT_THAT(text, HasSubstr("millrace_port_rx_packets{port=\"edge\"} 7"));
  EXPECT_THAT(text, HasSubstr("millrace_rule_hits{rule=\"telnet\"} 3"));
}

TEST(Stats, PrometheusHistogramsAreCumulative) {
  FakeGateway gateway;
  gateway.cluster->per_worker[0].upstream_rq_time.record(3);
  gateway.cluster->per_worker[1].upstream_rq_time.record(70);
  const std::string text = to_prometheus(filtered(gateway, {.expression = "upstream_rq_time"}));
  EXPECT_THAT(text, HasSubstr("envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"1\"} 0"));
  EXPECT_THAT(text, HasSubstr("envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"5\"} 1"));
  EXPECT_THAT(text, HasSubstr("envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"100\"} 2"));
  EXPECT_THAT(text, HasSubstr("envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"app\",le=\"+Inf\"} 2"));
  EXPECT_THAT(text, HasSubstr("envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"app\"} 73"));
}

TEST(Stats, CircuitBreakersAreOpenWhenNothingIsLeftToTake) {
  FakeGateway gateway;
  gateway.app->breakers.thresholds[0].max_connections = 10;
  gateway.cluster->breakers.get()[0].of(report::BreakerResource::kConnections).taken = 10;
  gateway.cluster->per_worker[0].breakers[0].of(report::BreakerResource::kConnections).add(4);
  gateway.cluster->per_worker[1].breakers[0].of(report::BreakerResource::kConnections).add(5);
  std::string text = to_plain_text(collect_stats(gateway));
  EXPECT_THAT(text, HasSubstr("cluster.app.circuit_breakers.default.cx_open: 1\n"));
  for (const char* closed : {"cx_pool_open", "rq_open", "rq_pending_open", "rq_retry_open"}) {
    EXPECT_THAT(text, HasSubstr(std::string("cluster.app.circuit_breakers.default.") + closed + ": 0\n"));
  }
  EXPECT_THAT(text, HasSubstr("cluster.app.circuit_breakers.high.cx_open: 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("remaining_")));
  gateway.app->breakers.thresholds[0].track_remaining = true;
  text = to_plain_text(collect_stats(gateway));
  EXPECT_THAT(text, HasSubstr("circuit_breakers.default.remaining_cx: 1\n"));
  EXPECT_THAT(text, HasSubstr("circuit_breakers.default.remaining_cx_pools: 4294967295\n"));
  EXPECT_THAT(text, HasSubstr("circuit_breakers.default.remaining_pending: 1024\n"));
  EXPECT_THAT(text, HasSubstr("circuit_breakers.default.remaining_rq: 1024\n"));
  EXPECT_THAT(text, HasSubstr("circuit_breakers.default.remaining_retries: 3\n"));
  EXPECT_THAT(text, Not(HasSubstr("circuit_breakers.high.remaining_")));
  EXPECT_THAT(to_prometheus(collect_stats(gateway)),
              HasSubstr("envoy_cluster_circuit_breakers_default_cx_open{envoy_cluster_name=\"app\"} 1\n"));
}

TEST(Stats, ARetryBudgetIsOpenByWhatIsInProgress) {
  FakeGateway gateway;
  gateway.app->breakers.thresholds[0].retry_budget = config::RetryBudget{.percent = 50, .min_concurrency = 1};
  gateway.app->breakers.thresholds[0].track_remaining = true;
  gateway.cluster->breakers.get()[0].of(report::BreakerResource::kRetries).taken = 2;
  gateway.cluster->per_worker[1].breakers[0].of(report::BreakerResource::kRequests).add(4);
  EXPECT_THAT(to_plain_text(collect_stats(gateway)), HasSubstr("default.rq_retry_open: 1\n"));
  gateway.cluster->per_worker[0].breakers[0].of(report::BreakerResource::kPendingRequests).add(2);
  EXPECT_THAT(to_plain_text(collect_stats(gateway)), HasSubstr("default.rq_retry_open: 0\n"));
  EXPECT_THAT(to_plain_text(collect_stats(gateway)), HasSubstr("default.remaining_retries: 0\n"));
}

TEST(Stats, OutlierDetectionIsShownWhereItIsConfigured) {
  FakeGateway gateway;
  EXPECT_THAT(to_plain_text(collect_stats(gateway)), Not(HasSubstr("outlier_detection")));
  gateway.app->outlier_detection.emplace();
  gateway.cluster->per_worker[0].outlier.ejections_enforced_consecutive_5xx.add(1);
  gateway.cluster->per_worker[1].outlier.ejections_enforced_consecutive_5xx.add(2);
  gateway.cluster->outlier.get().ejected = 1;
  gateway.endpoint->set(report::EndpointFault::kEjected, true, *gateway.cluster);
  const std::string text = to_plain_text(collect_stats(gateway));
  EXPECT_THAT(text, HasSubstr("cluster.app.outlier_detection.ejections_enforced_consecutive_5xx: 3\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.outlier_detection.ejections_active: 1\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.membership_healthy: 0\n"));
}

TEST(Stats, HealthChecksAreShownWhereTheyAreConfigured) {
  FakeGateway gateway;
  EXPECT_THAT(to_plain_text(collect_stats(gateway)), Not(HasSubstr("health_check")));
  gateway.app->health_check = std::make_shared<config::HealthCheck>();
  gateway.app->endpoints[0].own_extras().health_target = std::make_shared<config::HealthTarget>();
  gateway.cluster->per_worker[0].health_check.attempt.add(1);
  gateway.cluster->per_worker[1].health_check.attempt.add(2);
  gateway.endpoint->set(report::EndpointFault::kDegraded, true, *gateway.cluster);
  const std::string text = to_plain_text(collect_stats(gateway));
  EXPECT_THAT(text, HasSubstr("cluster.app.health_check.attempt: 3\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.health_check.healthy: 1\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.health_check.degraded: 1\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.membership_degraded: 1\n"));
  gateway.endpoint->set(report::EndpointFault::kFailedHealthCheck, true, *gateway.cluster);
  EXPECT_THAT(to_plain_text(collect_stats(gateway)), HasSubstr("cluster.app.health_check.healthy: 0\n"));
}

TEST(HistogramValue, QuantilesLieInTheBucketOfTheObservation) {
  HistogramValue histogram;
  histogram.counts.resize(report::Histogram::kBounds.size() + 1);
  EXPECT_TRUE(std::isnan(histogram.quantile(0.5)));
  histogram.counts[3] = 100;  // (5 ms, 10 ms]
  EXPECT_GE(histogram.quantile(0.01), 5.0);
  EXPECT_DOUBLE_EQ(histogram.quantile(0.5), 7.5);
  EXPECT_DOUBLE_EQ(histogram.quantile(1.0), 10.0);
}

TEST(Pages, ClustersShowEachEndpointInBothForms) {
  FakeGateway gateway;
  gateway.endpoint->per_worker[1].rq_total.add(9);
  EXPECT_THAT(clusters_text(*gateway.snapshot()), HasSubstr("app::198.18.0.1:8000::rq_total::9\n"));
  EXPECT_THAT(clusters_text(*gateway.snapshot()), HasSubstr("app::198.18.0.1:8000::health_flags::healthy\n"));
  const auto clusters = clusters_message(*gateway.snapshot(), {{"app", "app.service"}});
  const auto& status = clusters.cluster_statuses(0);
  EXPECT_EQ(status.observability_name(), "app");
  EXPECT_EQ(status.eds_service_name(), "app.service");
  const auto& host = status.host_statuses(0);
  EXPECT_EQ(host.address().socket_address().port_value(), 8000u);
  EXPECT_EQ(host.health_status().eds_health_status(), envoy::config::core::v3::HEALTHY);
  EXPECT_EQ(host.weight(), 1u);
  const auto total = std::ranges::find(host.stats(), "rq_total", &envoy::admin::v3::SimpleMetric::name);
  ASSERT_NE(total, host.stats().end());
  EXPECT_EQ(print_json(*total, Defaults::kLeftOut), "{\n \"value\": \"9\",\n \"name\": \"rq_total\"\n}\n");
}

TEST(Pages, ClustersShowTheirLimits) {
  FakeGateway gateway;
  gateway.app->breakers.thresholds[1].max_requests = 7;
  const std::string text = clusters_text(*gateway.snapshot());
  EXPECT_THAT(text, HasSubstr("app::default_priority::max_connections::1024\n"));
  EXPECT_THAT(text, HasSubstr("app::default_priority::max_pending_requests::1024\n"));
  EXPECT_THAT(text, HasSubstr("app::default_priority::max_retries::3\n"));
  EXPECT_THAT(text, HasSubstr("app::high_priority::max_requests::7\n"));
  const auto clusters = clusters_message(*gateway.snapshot(), {});
  const auto& thresholds = clusters.cluster_statuses(0).circuit_breakers().thresholds();
  EXPECT_EQ(thresholds[0].max_connections().value(), 1024u);
  EXPECT_EQ(thresholds[1].priority(), envoy::config::core::v3::HIGH);
  EXPECT_EQ(thresholds[1].max_requests().value(), 7u);
}

TEST(Pages, ClustersShowWhatHealthChecksHaveFound) {
  using enum report::EndpointFault;
  FakeGateway gateway;
  for (const auto fault : {kFailedHealthCheck, kDegraded, kAwaitsHealthCheck, kFailedAtOnce, kHealthCheckTimedOut})
    gateway.endpoint->set(fault, true, *gateway.cluster);
  EXPECT_THAT(clusters_text(*gateway.snapshot()),
              HasSubstr("health_flags::/failed_active_hc/degraded_active_hc/pending_active_hc/excluded_via_immediate_hc_fail"
                        "/active_hc_timeout\n"));
  const auto clusters = clusters_message(*gateway.snapshot(), {});
  const auto& health = clusters.cluster_statuses(0).host_statuses(0).health_status();
  EXPECT_TRUE(health.failed_active_health_check());
  EXPECT_TRUE(health.failed_active_degraded_check());
  EXPECT_TRUE(health.pending_active_hc());
  EXPECT_TRUE(health.excluded_via_immediate_hc_fail());
  EXPECT_TRUE(health.active_hc_timeout());
}

TEST(Pages, ClustersShowOutlierDetection) {
  FakeGateway gateway;
  EXPECT_THAT(clusters_text(*gateway.snapshot()), Not(HasSubstr("outlier::")));
  EXPECT_THAT(clusters_text(*gateway.snapshot()), HasSubstr("app::198.18.0.1:8000::success_rate::-1\n"));
  gateway.app->outlier_detection.emplace();
  gateway.app->endpoints[0].healthy = false;
  gateway.endpoint->set(report::EndpointFault::kEjected, true, *gateway.cluster);
  gateway.endpoint->outlier.get().external.percent = 95.5;
  gateway.cluster->outlier.get().external.average = 90;
  gateway.cluster->outlier.get().external.ejection = 52;
  const std::string text = clusters_text(*gateway.snapshot());
  EXPECT_THAT(text, HasSubstr("app::outlier::success_rate_average::90\n"));
  EXPECT_THAT(text, HasSubstr("app::outlier::success_rate_ejection_threshold::52\n"));
  EXPECT_THAT(text, HasSubstr("app::outlier::local_origin_success_rate_average::-1\n"));
  EXPECT_THAT(text, HasSubstr("app::outlier::local_origin_success_rate_ejection_threshold::-1\n"));
  EXPECT_THAT(text, HasSubstr("app::198.18.0.1:8000::health_flags::/failed_outlier_check/failed_eds_health\n"));
  EXPECT_THAT(text, HasSubstr("app::198.18.0.1:8000::success_rate::95.5\n"));
  const auto clusters = clusters_message(*gateway.snapshot(), {});
  const auto& status = clusters.cluster_statuses(0);
  EXPECT_EQ(status.success_rate_ejection_threshold().value(), 52);
  EXPECT_FALSE(status.has_local_origin_success_rate_ejection_threshold());
  EXPECT_TRUE(status.host_statuses(0).health_status().failed_outlier_check());
  EXPECT_EQ(status.host_statuses(0).success_rate().value(), 95.5);
}

TEST(Pages, ListenersShowEachOfTheirAddresses) {
  FakeGateway gateway;
  gateway.listener->addresses.push_back(*SocketAddress::parse("[2001:db8::2]:80"));
  EXPECT_EQ(listeners_text(*gateway.snapshot()), "edge::198.18.0.2:80\nedge::[2001:db8::2]:80\n");
  const auto listeners = listeners_message(*gateway.snapshot());
  ASSERT_EQ(listeners.listener_statuses_size(), 1);
  EXPECT_EQ(listeners.listener_statuses(0).local_address().socket_address().address(), "198.18.0.2");
  EXPECT_EQ(listeners.listener_statuses(0).additional_local_addresses(0).socket_address().address(), "2001:db8::2");
}

TEST(Pages, ShowCertificatesAsEnvoyDoes) {
  SecretStore store;
  const auto slot = add_context(store);
  const auto now = std::chrono::system_clock::now();
  const auto certificates = certificates_message(store.contexts(), now);
  ASSERT_EQ(certificates.certificates_size(), 1);
  const auto& leaf = certificates.certificates(0).cert_chain(0);
  EXPECT_EQ(leaf.path(), "/tls.crt");
  EXPECT_THAT(leaf.serial_number(), HasSubstr("1234"));
  ASSERT_EQ(leaf.subject_alt_names_size(), 2);
  EXPECT_EQ(leaf.subject_alt_names(0).dns(), "a.example");
  EXPECT_EQ(leaf.subject_alt_names(1).uri(), "spiffe://a");
  EXPECT_EQ(leaf.days_until_expiration(), 10u);
  EXPECT_GT(leaf.expiration_time().seconds(), leaf.valid_from().seconds());
  const auto& authority = certificates.certificates(0).ca_cert(0);
  EXPECT_EQ(authority.path(), "<inline>");
  EXPECT_THAT(authority.days_until_expiration(), testing::AnyOf(29u, 30u));  // made within this second, or not
  const auto later = now + std::chrono::hours(24 * 365);
  EXPECT_EQ(certificates_message(store.contexts(), later).certificates(0).ca_cert(0).days_until_expiration(), 0u);
  EXPECT_EQ(print_json(certificates_message({}, later), Defaults::kShown), "{\n \"certificates\": []\n}\n");
}

TEST(Pages, MemoryIsOfTheHeap) {
  const FakeGateway gateway;
  const auto memory = memory_message(gateway);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose heap is their own
  EXPECT_GT(memory.allocated(), 0u);
#endif
  EXPECT_GE(memory.heap_size(), memory.allocated());
  EXPECT_EQ(memory.total_physical_bytes(), 1u << 20);
}

/// What a client of Envoy's makes of a page.
template <typename Message>
Message parsed(const std::string& page) {
  Message out;
  const auto status = google::protobuf::util::JsonStringToMessage(page, &out);
  EXPECT_TRUE(status.ok()) << status.message() << page;
  return out;
}

class AdminServerTest : public ::testing::Test {
 protected:
  static std::uint16_t free_port() {
    const int probe = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(probe, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size), 0);
    close(probe);
    return ntohs(address.sin_port);
  }
  FakeGateway gateway_;
  SocketAddress address_{IpAddress::v4(127, 0, 0, 1), free_port()};
  AdminServer server_{address_, gateway_};
  httplib::Client client_{"127.0.0.1", address_.port};
};

TEST_F(AdminServerTest, ReadyFollowsTheState) {
  EXPECT_EQ(client_.Get("/ready")->body, "LIVE\n");
  gateway_.current_state = ServerState::kDraining;
  const auto draining = client_.Get("/ready");
  EXPECT_EQ(draining->status, 503);
  EXPECT_EQ(draining->body, "DRAINING\n");
}

TEST_F(AdminServerTest, WhatChangesSomethingTakesPostOnly) {
  const auto refused = client_.Get("/quitquitquit");
  EXPECT_EQ(refused->status, 405);
  EXPECT_EQ(refused->body, "Method GET not allowed, POST required.");
  for (const char* path : {"/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/logging", "/reopen_logs",
                           "/reset_counters", "/runtime_modify"}) {
    EXPECT_EQ(client_.Get(path)->status, 405) << path;
    EXPECT_EQ(client_.Put(path)->status, 405) << path;
  }
  EXPECT_FALSE(gateway_.quit_called);
  EXPECT_EQ(client_.Post("/quitquitquit")->status, 200);
  EXPECT_TRUE(gateway_.quit_called);
  EXPECT_EQ(client_.Post("/drain_listeners?graceful")->status, 200);
  EXPECT_EQ(gateway_.drained, ListenerDrain::kGraceful);
}

// What `curl -X POST` sends.
TEST_F(AdminServerTest, PostWithoutLengthHasNoBody) {
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  server.sin_port = htons(address_.port);
  ASSERT_EQ(connect(connection, reinterpret_cast<sockaddr*>(&server), sizeof(server)), 0);
  const std::string_view request = "POST /drain_listeners HTTP/1.1\r\nHost: x\r\n\r\n";
  ASSERT_EQ(send(connection, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::array<char, 256> answer{};
  ASSERT_GT(recv(connection, answer.data(), answer.size() - 1, 0), 0);
  close(connection);
  EXPECT_THAT(answer.data(), ::testing::StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(gateway_.drained, ListenerDrain::kClose);
}

TEST_F(AdminServerTest, UnknownPathPointsToHelp) {
  const auto answer = client_.Get("/no/such/page");
  EXPECT_EQ(answer->status, 404);
  EXPECT_THAT(answer->body, testing::StartsWith("invalid path. admin commands are:\n"));
  EXPECT_EQ(answer->get_header_value("cache-control"), "no-cache, max-age=0");
  EXPECT_EQ(answer->get_header_value("x-content-type-options"), "nosniff");
  EXPECT_THAT(client_.Get("/help")->body, HasSubstr("/stats/prometheus"));
}

TEST_F(AdminServerTest, BadParametersAreNamed) {
  EXPECT_EQ(client_.Get("/stats?filter=(")->status, 400);
  EXPECT_THAT(client_.Get("/stats?format=xml")->body, HasSubstr("\"xml\""));
  EXPECT_THAT(client_.Post("/logging?level=loud")->body, HasSubstr("\"loud\""));
}

TEST_F(AdminServerTest, ConnectionsAreAskedForWithTheFilterOfTheQuery) {
  gateway_.connection_list.connections.resize(1);
  gateway_.connection_list.left_out = 3;
  const auto answer = client_.Get("/millrace/connections?state=established&port=80&worker=1&limit=7&format=json");
  EXPECT_EQ(answer->status, 200);
  const auto json = nlohmann::json::parse(answer->body);
  EXPECT_EQ(json["connections"].size(), 1u);
  EXPECT_EQ(json["left_out"], 3);
  EXPECT_EQ(gateway_.asked_for.filter.port, 80);
  EXPECT_EQ(gateway_.asked_for.worker, 1u);
  EXPECT_EQ(gateway_.asked_for.limit, 7u);
  EXPECT_EQ(client_.Get("/millrace/connections?worker=2")->status, 400);
}

TEST_F(AdminServerTest, ConnectionsOfWorkersThatAllKeepSilentAreAnError) {
  gateway_.connection_list.silent = {0, 1};
  const auto answer = client_.Get("/millrace/connections");
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->body, HasSubstr("worker 1 does not answer"));
}

TEST_F(AdminServerTest, ACaptureIsAPcapStreamThatEndsWithItsPackets) {
  const std::array<std::uint8_t, 60> frame{1, 2, 3};
  for (int i = 0; i < 3; ++i) gateway_.ring.push(1'500'000'000'123'456'789, frame, 1'514);
  const auto answer = client_.Get("/millrace/pcap?packets=2&seconds=60");
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->get_header_value("content-type"), "application/vnd.tcpdump.pcap");
  EXPECT_EQ(answer->body.size(), 24 + 2 * (16 + frame.size()));
}

TEST_F(AdminServerTest, ACaptureThatCannotBeginSaysWhy) {
  EXPECT_EQ(client_.Get("/millrace/pcap?port=inside")->status, 400);
  const auto answer = client_.Get("/millrace/pcap?port=outside");
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->body, HasSubstr("4 captures run already"));
}

TEST_F(AdminServerTest, StoppingDoesNotWaitForACapture) {
  FakeGateway gateway;
  const SocketAddress address{IpAddress::v4(127, 0, 0, 1), free_port()};
  auto server = std::make_unique<AdminServer>(address, gateway);
  std::atomic<bool> begun{false};
  std::string body;
  std::jthread reader([&] {
    httplib::Client client("127.0.0.1", address.port);
    client.Get("/millrace/pcap?seconds=60", [&](const char* data, std::size_t size) {
      body.append(data, size);
      begun = true;
      return true;
    });
  });
  while (!begun) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto before = std::chrono::steady_clock::now();
  server.reset();
  reader.join();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(3));
  EXPECT_EQ(body.size(), 24u) << "the file's header, and an orderly end";
}

TEST_F(AdminServerTest, ServerInfoSaysWhatRuns) {
  gateway_.started_with.drain_immediately = true;
  gateway_.started_with.drain_time = std::chrono::seconds(45);
  gateway_.started_with.has_config_yaml = true;
  gateway_.started_with.service_node = "n2";
  const auto info = parsed<envoy::admin::v3::ServerInfo>(client_.Get("/server_info")->body);
  EXPECT_EQ(info.state(), envoy::admin::v3::ServerInfo::LIVE);
  EXPECT_EQ(info.uptime_current_epoch().seconds(), 12);
  EXPECT_EQ(info.node().id(), "n2");
  EXPECT_EQ(info.node().cluster(), "c1");
  EXPECT_EQ(info.node().metadata().fields().at("ISTIO_VERSION").string_value(), "1.27.9");
  EXPECT_EQ(info.command_line_options().concurrency(), 2u);
  EXPECT_EQ(info.command_line_options().drain_time().seconds(), 45);
  EXPECT_EQ(info.command_line_options().drain_strategy(), envoy::admin::v3::CommandLineOptions::Immediate);
  EXPECT_EQ(info.command_line_options().config_yaml(), "[redacted]");
  EXPECT_THAT(client_.Get("/server_info")->body, HasSubstr("\"restart_epoch\": 0"));  // defaults are shown
}

TEST_F(AdminServerTest, EveryPageOfEnvoysShapeIsOfIt) {
  EXPECT_EQ(parsed<envoy::admin::v3::Clusters>(client_.Get("/clusters?format=json")->body).cluster_statuses_size(), 1);
  EXPECT_EQ(parsed<envoy::admin::v3::Listeners>(client_.Get("/listeners?format=json")->body).listener_statuses_size(), 1);
  EXPECT_EQ(parsed<envoy::admin::v3::ConfigDump>(client_.Get("/config_dump")->body).configs_size(), 7);
  EXPECT_EQ(parsed<envoy::admin::v3::ConfigDump>(client_.Get("/config_dump?include_eds")->body).configs_size(), 8);
  EXPECT_EQ(parsed<envoy::admin::v3::Certificates>(client_.Get("/certs")->body).certificates_size(), 0);
  EXPECT_GT(parsed<envoy::admin::v3::Memory>(client_.Get("/memory")->body).total_physical_bytes(), 0u);
  EXPECT_EQ(client_.Get("/init_dump")->body, "{}\n");
  EXPECT_EQ(client_.Get("/hot_restart_version")->body, "disabled");
  EXPECT_THAT(client_.Get("/contention")->body, HasSubstr("not enabled"));
}

TEST_F(AdminServerTest, ConfigDumpTakesEnvoysParameters) {
  const auto clusters = client_.Get("/config_dump?resource=static_clusters&mask=cluster.name&name_regex=a.*");
  EXPECT_EQ(parsed<envoy::admin::v3::ConfigDump>(clusters->body).configs_size(), 1);
  EXPECT_EQ(client_.Get("/config_dump?resource=nothing")->status, 404);
  EXPECT_EQ(client_.Get("/config_dump?mask=nothing")->status, 400);
}

TEST_F(AdminServerTest, HealthChecksFailAndPassOnRequest) {
  EXPECT_EQ(client_.Post("/healthcheck/fail")->body, "OK\n");
  EXPECT_EQ(client_.Get("/ready")->status, 503);
  EXPECT_EQ(client_.Post("/healthcheck/ok")->body, "OK\n");
  EXPECT_EQ(client_.Get("/ready")->status, 200);
}

TEST_F(AdminServerTest, CountersAreReset) {
  gateway_.cluster->per_worker[0].upstream_rq_total.add(5);
  gateway_.cluster->per_worker[0].upstream_rq_active.add(2);
  EXPECT_EQ(client_.Post("/reset_counters")->status, 200);
  gateway_.cluster->per_worker[1].upstream_rq_total.add(1);
  const std::string text = client_.Get("/stats")->body;
  EXPECT_THAT(text, HasSubstr("cluster.app.upstream_rq_total: 1\n"));
  EXPECT_THAT(text, HasSubstr("cluster.app.upstream_rq_active: 2\n"));
}

TEST_F(AdminServerTest, RuntimeIsModifiedByQueryOrForm) {
  EXPECT_EQ(client_.Post("/runtime_modify")->status, 400);
  EXPECT_EQ(client_.Post("/runtime_modify?a.b=1")->status, 200);
  EXPECT_EQ(client_.Post("/runtime_modify", httplib::Params{{"c", "2"}})->status, 200);
  const auto runtime = nlohmann::json::parse(client_.Get("/runtime")->body);
  EXPECT_EQ(runtime["entries"]["a.b"]["final_value"], "1");
  EXPECT_EQ(runtime["entries"]["c"]["layer_values"][0], "2");
}

TEST_F(AdminServerTest, LogsAreOpenedAgain) {
  EXPECT_EQ(client_.Post("/reopen_logs")->body, "OK\n");
  EXPECT_EQ(gateway_.reopened, 1);
}

TEST_F(AdminServerTest, AddressInUseIsAnErrorThatNamesIt) {
  try {
    const AdminServer second(address_, gateway_);
    FAIL() << "a second server on " << address_.to_string();
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), HasSubstr(address_.to_string()));
  }
}

}  // namespace
}  // namespace millrace::agent
