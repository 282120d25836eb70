// A client with a whole agent behind it, to which responses of real control planes are said (tests/data/xds).
#pragma once

#include <gtest/gtest.h>

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
  explicit Conversation(bool is_delta) {
    LoadOptions options;
    options.config_yaml =
        "{node: {id: node-1, cluster: edge}, static_resources: {clusters: [" + management_cluster("xds-grpc") + ", " +
        management_cluster("sds-grpc") + ", " + management_cluster("xds_cluster") +
        "]}, dynamic_resources: {ads_config: {api_type: " + (is_delta ? "DELTA_GRPC" : "GRPC") +
        ", grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}, cds_config: {ads: {}}, lds_config: {ads: {}}}}";
    options.concurrency = 1;
    auto loaded = load(options);
    for (const auto& error : loaded ? std::vector<ConfigError>() : loaded.error()) ADD_FAILURE() << error.to_string();
    if (!loaded) return;
    loaded_ = std::move(*loaded);
    client_ = std::make_unique<XdsClient>(XdsSurroundings{.bootstrap = *loaded_.bootstrap,
                                                          .node = *loaded_.node,
                                                          .publisher = *loaded_.publisher,
                                                          .secrets = *loaded_.secrets,
                                                          .discovered = *loaded_.discovered_secrets,
                                                          .transport = transport_},
                                          1);
    client_->service(now_);
  }

  /// What was refused of it; empty: nothing.
  std::string say(XdsResponse response) {
    // Whatever is waited for in vain, secrets above all, is given up before the next is said: listeners are asked for then.
    now_ = now_ + Duration::seconds(20);
    client_->service(now_);
    client_->service(now_);
    (void)client_->take_reports();
    transport_.answer_by_type(std::move(response));
    client_->service(now_);
    client_->service(now_);
    std::string refused;
    const auto reports = client_->take_reports();
    is_heard_ = !reports.empty();
    for (const XdsReport& report : reports) refused += report.error;
    return refused;
  }

  /// Somebody had asked for what was said last.
  [[nodiscard]] bool is_heard() const { return is_heard_; }
  [[nodiscard]] std::shared_ptr<const config::Snapshot> snapshot() const { return loaded_.publisher->snapshot(); }

 private:
  static std::string management_cluster(const std::string& name) {
    return "{name: " + name +
           ", typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
           "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
           "{http2_protocol_options: {}}}}, load_assignment: {cluster_name: " +
           name + ", endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/" + name + "}}}}]}]}}";
  }

  ScriptedTransport transport_;
  Loaded loaded_;
  std::unique_ptr<XdsClient> client_;
  bool is_heard_ = false;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

}  // namespace millrace::agent::test
