// A client with a whole agent behind it, on virtual time, to which responses are said: those of real control planes
// (tests/data/xds) and those of written conversations (xds_golden.h).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/bootstrap_loader.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"
#include "tests/unit/control-agent/xds/rejection_text.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent::test {

/// Of a folder, in order.
inline std::vector<std::pair<std::string, XdsResponse>> recorded(const std::string& name) {
  namespace fs = std::filesystem;
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(MILLRACE_SOURCE_DIR) / "tests/data/xds" / name)) {
    if (entry.path().extension() == ".pb") files.insert(entry.path());
  }
  EXPECT_FALSE(files.empty()) << name;
  std::vector<std::pair<std::string, XdsResponse>> out;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (name.ends_with("-delta")) {
      envoy::service::discovery::v3::DeltaDiscoveryResponse response;
      EXPECT_TRUE(response.ParseFromString(bytes)) << file;
      out.emplace_back(file.filename().string(), take_response(std::move(response)));
    } else {
      envoy::service::discovery::v3::DiscoveryResponse response;
      EXPECT_TRUE(response.ParseFromString(bytes)) << file;
      out.emplace_back(file.filename().string(), take_response(std::move(response)));
    }
  }
  return out;
}

class Conversation {
 public:
  /// `asks_runtime`: for a layer of the runtime, "runtime-0", too.
  explicit Conversation(bool is_delta, bool asks_runtime = false) {
    auto loaded =
        load_bootstrap("{node: {id: node-1, cluster: edge}, static_resources: {clusters: [" + management_cluster("xds-grpc") +
                       ", " + management_cluster("sds-grpc") + ", " + management_cluster("xds_cluster") +
                       "]}, dynamic_resources: {ads_config: {api_type: " + (is_delta ? "DELTA_GRPC" : "GRPC") +
                       ", set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}, "
                       "cds_config: {ads: {}}, lds_config: {ads: {}}}" +
                       (asks_runtime ? ", layered_runtime: {layers: [{name: recorded, rtds_layer: {name: runtime-0, "
                                       "rtds_config: {ads: {}}}}]}}"
                                     : "}"));
    if (!loaded) return;
    loaded_ = std::move(*loaded);
    client_ = make_client(loaded_, transport_);
    client_->service(now_);
  }

  /// What was refused of it; empty: nothing.
  std::string say(XdsResponse response) {
    // Whatever is waited for in vain, secrets above all, is given up before the next is said: listeners are asked for then.
    now_ = now_ + Duration::seconds(20);
    service();
    (void)client_->take_reports();
    transport_.answer_by_type(std::move(response));
    service();
    std::string refused;
    const auto reports = client_->take_reports();
    is_heard_ = !reports.empty();
    for (const XdsReport& report : reports) refused += report.error;
    return refused;
  }

  /// Clusters whose endpoints are checked wait for check() from now on, as where there is a data plane.
  void start_checks() { loaded_.publisher->start_clusters(slot_); }
  /// Each endpoint of a cluster that waits for its first checks has had a result.
  void check(const std::string& name) {
    const auto* cluster = snapshot()->checking.find(name);
    ASSERT_NE(cluster, nullptr) << name << " waits for no checks";
    for (const config::Endpoint& endpoint : (*cluster)->endpoints) endpoint.cell->health.get().decided.store(true);
    loaded_.publisher->follow_checks();
    service();
  }

  /// Events of `transport` are taken, and what the world's change asks for is sent.
  void service() {
    client_->service(now_);
    client_->service(now_);
  }
  void pass(Duration time) {
    test::pass(*client_, now_, time);
    client_->service(now_);
  }

  /// Of what was refused of what was said last, and of what stands as refused: the first text that does not name its fault;
  /// empty: each does.
  [[nodiscard]] std::string without_fault(const std::string& refused) const {
    if (!refused.empty() && !names_its_fault(refused)) return refused;
    for (const auto& [key, update] : client_->refused()) {
      if (!names_its_fault(update.details)) return "of \"" + key.name + "\": " + update.details;
    }
    return {};
  }
  /// Somebody had asked for what was said last.
  [[nodiscard]] bool is_heard() const { return is_heard_; }
  [[nodiscard]] bool is_warm() const { return client_->is_warm(); }
  [[nodiscard]] std::shared_ptr<const config::Snapshot> snapshot() const { return loaded_.publisher->snapshot(); }
  [[nodiscard]] std::shared_ptr<const World> world() const { return loaded_.publisher->world(); }
  [[nodiscard]] ScriptedTransport& transport() { return transport_; }

 private:
  static std::string management_cluster(const std::string& name) {
    return "{name: " + name +
           ", typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
           "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
           "{http2_protocol_options: {}}}}, load_assignment: {cluster_name: " +
           name + ", endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/" + name + "}}}}]}]}}";
  }

  ScriptedTransport transport_;
  config::SnapshotSlot slot_;
  Loaded loaded_;
  std::unique_ptr<XdsClient> client_;
  bool is_heard_ = false;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

}  // namespace millrace::agent::test
