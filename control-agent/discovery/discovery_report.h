// What discovery tells the admin pages, as plain data: resources for /config_dump, numbers for /stats.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace millrace::agent {

struct DnsStats;
struct Subscription;
struct SubscriptionStats;
struct World;

/// A resource that is not of the bootstrap.
struct DynamicResource {
  std::string name;
  std::string version;  ///< version_info of the response that brought it
  std::chrono::system_clock::time_point updated{};
  nlohmann::ordered_json content = {};
};

/// Each list by name. The versions are those of the last responses that were accepted; empty: there was none.
struct DynamicResources {
  std::string clusters_version = {};
  std::vector<DynamicResource> clusters = {};
  std::string listeners_version = {};
  std::vector<DynamicResource> listeners = {};
  std::vector<DynamicResource> routes = {};
  std::vector<DynamicResource> endpoints = {};
};

/// A number under Envoy's name for it.
struct DiscoveryStat {
  std::string prefix;  ///< "cluster_manager.cds."
  std::string family;  ///< of Prometheus, likewise: "envoy_cluster_manager_cds_"
  std::vector<std::pair<std::string, std::string>> labels;
  std::string name;
  std::int64_t value = 0;
  bool gauge = false;  ///< else a counter
};

using SubscriptionTable = std::map<Subscription, SubscriptionStats>;
using DnsTable = std::map<std::string, DnsStats>;  ///< by cluster

[[nodiscard]] DynamicResources dynamic_resources(const World& world, const SubscriptionTable& subscriptions);
/// Of subscriptions, of names, and of the cluster and listener managers.
[[nodiscard]] std::vector<DiscoveryStat> discovery_stats(const World& world, const SubscriptionTable& subscriptions,
                                                         const DnsTable& dns);

}  // namespace millrace::agent
