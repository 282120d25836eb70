// A gateway whose configuration comes from a scripted control plane over one aggregated stream, on virtual time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/bootstrap_loader.h"
#include "control-agent/discovery/name_discovery.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent::test {

class XdsGateway {
 public:
  /// `top`: further fields of the bootstrap, each as ", name: value".
  explicit XdsGateway(bool is_delta, const std::string& top = "") : is_delta_(is_delta) {
    const std::string server =
        "name: xds, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
        "{http2_protocol_options: {}}}}, load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: "
        "{pipe: {path: /run/xds}}}}]}]}";
    auto loaded = load_bootstrap(
        "{node: {id: node-1, cluster: edge}, static_resources: {clusters: [{" + server + "}, {" + static_cluster_text("a") +
        "}, {" + static_cluster_text("b", "198.18.0.9") +
        "}]}, dynamic_resources: {ads_config: {api_type: " + (is_delta ? "DELTA_GRPC" : "GRPC") +
        ", set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}, lds_config: {ads: {}}}" +
        top + "}");
    if (!loaded) return;
    loaded_ = std::move(*loaded);
    client_ = make_client(loaded_, transport_);
    client_->service(now_);
  }

  /// What is sent in answer: resources of one type, by name.
  template <typename Message>
  std::vector<std::string> give(ResourceType type, const std::string& version, const std::vector<std::string>& resources,
                                const std::vector<std::string>& removed = {}) {
    XdsResponse out = response(type, version, "n" + version, {}, removed);
    for (const std::string& yaml : resources) out.resources.push_back(named<Message>("{" + yaml + "}", version));
    out.is_delta = is_delta_;
    transport_.answer(std::move(out));
    client_->service(now_);
    client_->service(now_);  // what the world's change asks for
    return transport_.requests();
  }
  void pass(Duration time) { test::pass(*client_, now_, time); }

  [[nodiscard]] std::vector<std::string> requests() { return transport_.requests(); }
  [[nodiscard]] bool is_warm() const { return client_->is_warm(); }
  [[nodiscard]] std::shared_ptr<const config::Snapshot> snapshot() const { return loaded_.publisher->snapshot(); }
  [[nodiscard]] std::shared_ptr<const World> world() const { return loaded_.publisher->world(); }
  [[nodiscard]] SnapshotPublisher& publisher() { return *loaded_.publisher; }
  /// Of the first listener that serves.
  [[nodiscard]] const config::HttpConnectionManager& manager() const { return *snapshot()->listeners.at(0)->chains[0].http(); }
  /// Of all that is discovered, as /stats has it; -1: there is none of this name.
  [[nodiscard]] std::int64_t stat(const std::string& name) const {
    for (const DiscoveryStat& stat : discovery_stats(*world(), client_->stats(), {})) {
      if (stat.prefix + stat.name == name) return stat.value;
    }
    return -1;
  }
  [[nodiscard]] DynamicResources shown() const {
    return dynamic_resources(*world(), client_->stats(), client_->secrets(), client_->refused());
  }

 private:
  const bool is_delta_;
  ScriptedTransport transport_;
  Loaded loaded_;
  std::unique_ptr<XdsClient> client_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

}  // namespace millrace::agent::test
