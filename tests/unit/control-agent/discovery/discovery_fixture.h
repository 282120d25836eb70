// A gateway's configuration whose clusters, listeners, routes and endpoints stand in files, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "control-agent/bootstrap_loader.h"
#include "control-agent/discovery/file_discovery.h"
#include "control-agent/discovery/snapshot_publisher.h"

namespace millrace::agent::test {

inline std::string endpoints_text(const std::string& name, const std::vector<std::string>& addresses) {
  std::string text = "cluster_name: " + name + ", endpoints: [{lb_endpoints: [";
  for (const std::string& address : addresses)
    text += "{endpoint: {address: {socket_address: {address: " + address + ", port_value: 8080}}}}, ";
  return text + "]}]";
}

inline std::string static_cluster_text(const std::string& name, const std::string& address = "198.18.0.1") {
  return "name: " + name + ", load_assignment: {" + endpoints_text(name, {address}) + "}";
}

inline std::string eds_cluster_text(const std::string& name, const std::filesystem::path& file) {
  return "name: " + name + ", type: EDS, eds_cluster_config: {eds_config: {path_config_source: {path: " + file.string() + "}}}";
}

inline std::string routes_text(const std::string& name, const std::string& cluster) {
  return "name: " + name +
         ", virtual_hosts: [{name: all, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: " + cluster + "}}]}]";
}

/// `routes`: a field of the connection manager.
inline std::string listener_text(const std::string& name, int port, const std::string& routes) {
  const std::string api = "type.googleapis.com/envoy.extensions.filters.";
  return "name: " + name + ", address: {socket_address: {address: 198.18.0.2, port_value: " + std::to_string(port) +
         "}}, filter_chains: [{filters: [{name: hcm, typed_config: {\"@type\": " + api +
         "network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: " + name + ", " + routes +
         ", http_filters: [{name: router, typed_config: {\"@type\": " + api + "http.router.v3.Router}}]}}]}]";
}

inline std::string rds_text(const std::string& name, const std::filesystem::path& file) {
  return "rds: {route_config_name: " + name + ", config_source: {path_config_source: {path: " + file.string() + "}}}";
}

inline constexpr const char* kClusterType = "envoy.config.cluster.v3.Cluster";
inline constexpr const char* kListenerType = "envoy.config.listener.v3.Listener";
inline constexpr const char* kExtensionType = "envoy.config.core.v3.TypedExtensionConfig";
inline constexpr const char* kRoutesType = "envoy.config.route.v3.RouteConfiguration";
inline constexpr const char* kAssignmentType = "envoy.config.endpoint.v3.ClusterLoadAssignment";

class DiscoveryTest : public ::testing::Test {
 protected:
  DiscoveryTest() : directory_(std::filesystem::temp_directory_path() / ("millrace-discovery-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(directory_);
  }
  ~DiscoveryTest() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return directory_ / name; }

  /// Moves a DiscoveryResponse into place. Each resource in the braces of its message.
  void place(const std::string& name, const char* type, const std::vector<std::string>& resources,
             const std::string& version = "1") const {
    std::string text = "version_info: \"" + version + "\"\nresources:\n";
    for (const std::string& resource : resources)
      text += "- {\"@type\": type.googleapis.com/" + std::string(type) + ", " + resource + "}\n";
    place_text(name, text);
  }
  void place_text(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / "new") << text;
    std::filesystem::rename(directory_ / "new", directory_ / name);
  }

  /// `dynamic` and `statics`: fields of dynamic_resources and static_resources.
  [[nodiscard]] Loaded load_good(const std::string& dynamic, const std::string& statics = "") const {
    LoadOptions options;
    options.config_yaml = "{static_resources: {" + statics + "}, dynamic_resources: {" + dynamic + "}}";
    options.concurrency = 2;
    auto loaded = load(options);
    if (loaded) return std::move(*loaded);
    for (const auto& error : loaded.error()) ADD_FAILURE() << error.to_string();
    return {};
  }

  [[nodiscard]] std::string cds() const { return "cds_config: {path_config_source: {path: " + file("cds.yaml").string() + "}}"; }
  [[nodiscard]] std::string lds() const { return "lds_config: {path_config_source: {path: " + file("lds.yaml").string() + "}}"; }

  std::filesystem::path directory_;
};

}  // namespace millrace::agent::test
