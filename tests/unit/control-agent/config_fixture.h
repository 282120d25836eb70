// Configurations as text for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "control-agent/bootstrap_loader.h"
#include "control-agent/loader.h"

namespace millrace::agent::test {

/// A bootstrap with one listener; the parts that a test is about are given as flow-style YAML.
struct BootstrapText {
  std::string manager;          ///< further fields of the connection manager, each as ", name: value"
  std::string network_filters;  ///< before the connection manager, each as "{...}, "
  std::string filters;          ///< HTTP filters before the router, each as "{...}, "
  std::string match = "prefix: /";
  std::string action = "route: {cluster: origin}";
  std::string route;     ///< further fields of the route
  std::string host;      ///< of the virtual host
  std::string table;     ///< of the route configuration
  std::string listener;  ///< of the listener
  std::string chain;     ///< of its filter chain, which is the first
  std::string chains;    ///< further filter chains, each as ", {...}"
  std::string cluster;   ///< of the cluster
  std::string endpoints = "[{lb_endpoints: [{endpoint: {address: {socket_address: {address: 198.18.0.1, port_value: 8080}}}}]}]";
  std::string resources;  ///< of static_resources
  std::string top;        ///< of the bootstrap

  [[nodiscard]] std::string chain_fields() const { return chain.empty() ? "" : chain.substr(2) + ", "; }
  [[nodiscard]] std::string text() const {
    const std::string api = "type.googleapis.com/envoy.extensions.filters.";
    return "{node: {id: node-1, cluster: edge}" + top +
           ", static_resources: {listeners: [{name: http, address: {socket_address: {address: 198.18.0.2, port_value: 80}}" +
           listener + ", filter_chains: [{" + chain_fields() + "filters: [" + network_filters +
           "{name: hcm, typed_config: {\"@type\": " + api +
           "network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: ingress" + manager + ", http_filters: [" +
           filters + "{name: router, typed_config: {\"@type\": " + api + "http.router.v3.Router}}], route_config: {name: routes" +
           table + ", virtual_hosts: [{name: everything, domains: [\"*\"]" + host + ", routes: [{match: {" + match + "}, " +
           action + route + "}]}]}}}]}" + chains + "]}], clusters: [{name: origin" + cluster +
           ", load_assignment: {cluster_name: origin, endpoints: " + endpoints + "}}]" + resources + "}}";
  }
};

inline Result<Loaded, std::vector<ConfigError>> load_text(const BootstrapText& bootstrap) {
  LoadOptions options;
  options.config_yaml = bootstrap.text();
  options.concurrency = 2;
  return load(options);
}

/// The snapshot of a configuration that is right.
inline std::shared_ptr<const config::Snapshot> snapshot_of(const BootstrapText& bootstrap) {
  auto loaded = load_text(bootstrap);
  if (loaded) return loaded->snapshot;
  for (const auto& error : loaded.error()) ADD_FAILURE() << error.to_string();
  return nullptr;
}

inline const config::HttpConnectionManager& manager_of(const std::shared_ptr<const config::Snapshot>& snapshot) {
  return *snapshot->listeners.at(0)->chains[0].http();
}
inline const config::Route& route_of(const std::shared_ptr<const config::Snapshot>& snapshot) {
  return manager_of(snapshot).routes->virtual_hosts.at(0).routes.at(0);
}

/// The errors, each as "last.parts.of.path: reason", of a configuration that is wrong.
inline std::vector<std::string> errors_of(const BootstrapText& bootstrap) {
  std::vector<std::string> out;
  const auto loaded = load_text(bootstrap);
  if (loaded) return out;
  for (const auto& error : loaded.error()) {
    const auto cut = error.path.rfind("typed_config.");
    const std::string path = cut == std::string::npos ? error.path : error.path.substr(cut + 13);
    out.push_back(path + ": " + error.reason);
  }
  return out;
}

}  // namespace millrace::agent::test
