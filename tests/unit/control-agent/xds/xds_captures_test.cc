// What real control planes have said (tests/data/xds), said again to the client: every response is taken, or what is refused of
// it stands here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

const fs::path kCaptures = fs::path(MILLRACE_SOURCE_DIR) / "tests/data/xds";

std::string management_cluster(const std::string& name) {
  return "{name: " + name +
         ", typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
         "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: "
         "{http2_protocol_options: {}}}}, load_assignment: {cluster_name: " +
         name + ", endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/" + name + "}}}}]}]}}";
}

class XdsCaptures : public testing::TestWithParam<std::string> {
 protected:
  void start(bool is_delta) {
    LoadOptions options;
    options.config_yaml =
        "{node: {id: node-1, cluster: edge}, static_resources: {clusters: [" + management_cluster("xds-grpc") + ", " +
        management_cluster("sds-grpc") + ", " + management_cluster("xds_cluster") +
        "]}, dynamic_resources: {ads_config: {api_type: " + (is_delta ? "DELTA_GRPC" : "GRPC") +
        ", grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}, cds_config: {ads: {}}, lds_config: {ads: {}}}}";
    options.concurrency = 1;
    auto loaded = load(options);
    for (const auto& error : loaded ? std::vector<ConfigError>() : loaded.error()) ADD_FAILURE() << error.to_string();
    ASSERT_TRUE(loaded);
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

  /// Says all of a conversation; what was refused, a line each.
  std::vector<std::string> play(const std::string& name) {
    const bool is_delta = name.ends_with("-delta");
    start(is_delta);
    std::set<fs::path> files;
    for (const auto& entry : fs::directory_iterator(kCaptures / name)) {
      if (entry.path().extension() == ".pb") files.insert(entry.path());
    }
    EXPECT_FALSE(files.empty());
    std::vector<std::string> refused;
    for (const fs::path& file : files) {
      std::ifstream in(file, std::ios::binary);
      const std::string bytes{std::istreambuf_iterator<char>(in), {}};
      if (is_delta) {
        envoy::service::discovery::v3::DeltaDiscoveryResponse response;
        EXPECT_TRUE(response.ParseFromString(bytes)) << file;
        transport_.answer(take_response(std::move(response)));
      } else {
        envoy::service::discovery::v3::DiscoveryResponse response;
        EXPECT_TRUE(response.ParseFromString(bytes)) << file;
        transport_.answer(take_response(std::move(response)));
      }
      client_->service(now_);
      client_->service(now_);
      for (const XdsReport& report : client_->take_reports()) {
        if (!report.error.empty()) refused.push_back(file.filename().string() + ": " + report.error);
      }
    }
    return refused;
  }

  test::ScriptedTransport transport_;
  Loaded loaded_;
  std::unique_ptr<XdsClient> client_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

TEST_P(XdsCaptures, AreTaken) { EXPECT_THAT(play(GetParam()), IsEmpty()); }

INSTANTIATE_TEST_SUITE_P(Conversations, XdsCaptures,
                         testing::Values("go-control-plane-sotw", "go-control-plane-delta", "go-control-plane-ads-sotw",
                                         "go-control-plane-by-type-sotw", "go-control-plane-example-delta", "istiod-gateway-sotw",
                                         "istiod-gateway-delta", "istiod-sidecar-sotw", "istiod-sidecar-delta",
                                         "istiod-plain-gateway-sotw", "istiod-plain-gateway-delta", "istiod-plain-sidecar-sotw",
                                         "istiod-plain-sidecar-delta", "istiod-update-gateway-delta", "pilot-agent-xds-delta"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace millrace::agent
