// A gateway made of data, for tests of the admin pages.
#pragma once

#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control-agent/admin/connections_page.h"
#include "control-agent/admin/gateway_view.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
// For the types that kFakeBootstrap names.
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

inline constexpr const char* kFakeBootstrap = R"({
  "node": {"id": "n1", "cluster": "c1", "metadata": {"ISTIO_VERSION": "1.27.9"}},
  "static_resources": {
    "listeners": [{"name": "edge", "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      "route_config": {"name": "r"}}}]}]}],
    "clusters": [{"name": "app"}],
    "secrets": [{"name": "cert", "tls_certificate": {"private_key": {"inline_string": "SECRET"},
                                                     "password": {"inline_bytes": "U0VDUkVU"}}}]
  }
})";

class FakeSession final : public CaptureSession {
 public:
  explicit FakeSession(report::CaptureRing& ring) : rings_{&ring} {}
  const std::vector<report::CaptureRing*>& rings() const override { return rings_; }

 private:
  std::vector<report::CaptureRing*> rings_;
};

// Two workers, one listener, one cluster with one endpoint.
class FakeGateway final : public GatewayView {
 public:
  FakeGateway() {
    reports_.emplace_back(0u, std::size_t{4096});
    reports_.emplace_back(1u, std::size_t{4096});
    auto snapshot = std::make_shared<config::Snapshot>();
    listener->name = "edge";
    listener->addresses = {*SocketAddress::parse("198.18.0.2:80")};
    listener->cell = std::make_shared<report::ListenerCell>(0, "198.18.0.2_80", 2);
    listener->chains.resize(1);
    listener->chains[0].http()->cell = http;
    snapshot->listeners.push_back(listener);
    app->name = "app";
    app->cell = cluster;
    app->endpoints.push_back({.address = *SocketAddress::parse("198.18.0.1:8000"), .cell = endpoint});
    snapshot->clusters.set("app", app);
    snapshot_ = snapshot;
    started_with.concurrency = 2;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(kFakeBootstrap, &given).ok());
  }

  ServerState state() const override { return current_state; }
  std::string version() const override { return "abc/1.0/Debug"; }
  std::chrono::seconds uptime() const override { return std::chrono::seconds(12); }
  CommandLine command_line() const override { return started_with; }
  const envoy::config::bootstrap::v3::Bootstrap& bootstrap() const override { return given; }
  std::chrono::system_clock::time_point loaded_at() const override { return {}; }
  std::shared_ptr<const config::Snapshot> snapshot() const override { return snapshot_; }
  std::vector<const report::WorkerReport*> workers() const override { return {&reports_[0], &reports_[1]}; }
  std::vector<PortStat> port_stats() const override { return {{"edge", "rx_packets", 7}}; }
  std::vector<RuleStat> rule_stats() const override { return {{"telnet", "hits", 3}}; }
  std::uint64_t resident_bytes() const override { return 1 << 20; }
  nlohmann::ordered_json ports() const override { return nlohmann::ordered_json::object(); }
  const SecretStore& secrets() const override { return secret_store; }
  DynamicResources dynamic_resources() const override { return discovered; }
  std::vector<DiscoveryStat> discovery_stats() const override {
    return {{"cluster_manager.cds.", "envoy_cluster_manager_cds_", {}, "update_success", 4}};
  }
  std::vector<RuntimeLayer> runtime_layers() const override { return layers; }
  Result<void, std::string> modify_runtime(const RuntimeEntries& values) override {
    if (values.contains("refused")) return Error<std::string>("No admin layer specified");
    for (const auto& [key, value] : values) layers.back().entries[key] = value;
    return {};
  }
  std::vector<std::string> port_names() const override { return {"edge", "outside"}; }
  ConnectionList connections(const report::ConnectionFilter& filter, std::optional<std::uint32_t> worker,
                             std::size_t limit) override {
    asked_for = {filter, worker, limit, false};
    return connection_list;
  }
  Result<std::unique_ptr<CaptureSession>, std::string> start_capture(const report::CaptureOrder& order) override {
    if (order.ports == 0b10) return Error<std::string>("4 captures run already: no more at a time");
    return std::make_unique<FakeSession>(ring);
  }
  void quit() override { quit_called = true; }
  void drain_listeners(ListenerDrain how) override { drained = how; }
  void fail_health_checks(bool fail) override { current_state = fail ? ServerState::kDraining : ServerState::kLive; }
  void reopen_logs() override { ++reopened; }
  bool set_log_level(const std::string& level) override {
    if (level != "debug" && level != "info") return false;
    current_level = level;
    return true;
  }
  std::string log_level() const override { return current_level; }

  std::atomic<ServerState> current_state{ServerState::kLive};
  std::atomic<bool> quit_called{false};
  std::atomic<int> reopened{0};
  std::string current_level = "info";
  CommandLine started_with;
  std::vector<RuntimeLayer> layers{{.name = "", .entries = {}}};
  envoy::config::bootstrap::v3::Bootstrap given;
  std::optional<ListenerDrain> drained;
  SecretStore secret_store;
  DynamicResources discovered;
  ConnectionsRequest asked_for;
  ConnectionList connection_list;
  report::CaptureRing ring;
  std::shared_ptr<config::Listener> listener = std::make_shared<config::Listener>();
  std::shared_ptr<config::Cluster> app = std::make_shared<config::Cluster>();
  std::shared_ptr<report::HttpCell> http = std::make_shared<report::HttpCell>(0, "in.gress", 2);
  std::shared_ptr<report::ClusterCell> cluster = std::make_shared<report::ClusterCell>(0, "app", 2);
  std::shared_ptr<report::EndpointCell> endpoint = std::make_shared<report::EndpointCell>(0, 2);

 private:
  std::deque<report::WorkerReport> reports_;
  std::shared_ptr<const config::Snapshot> snapshot_;
};

}  // namespace millrace::agent
