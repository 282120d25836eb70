// What discovery tells the admin pages, as plain data: resources for /config_dump, numbers for /stats.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace millrace::agent {

struct DnsStats;
struct SessionStats;
struct Subscription;
struct SubscriptionStats;
struct World;

/// A message that nobody changes any more.
using ConstMessage = std::shared_ptr<const google::protobuf::Message>;

/// The last update of a resource, where it was refused: envoy.admin.v3.UpdateFailureState.
struct RefusedUpdate {
  std::string version;  ///< version_info of the response that brought it
  std::chrono::system_clock::time_point attempted{};
  std::string details;   ///< why
  ConstMessage content;  ///< null: it could not be read
};

enum class ResourceState : std::uint8_t {
  kActive,
  kWarming,   ///< waits for what it needs; what has the same name and is active serves until then
  kDraining,  ///< of a listener: serves the connections that it has
};

/// A resource that is not of the bootstrap.
struct DynamicResource {
  std::string name;
  std::string version;  ///< version_info of the response that brought it
  std::chrono::system_clock::time_point updated{};
  ConstMessage content;  ///< null: there is none, only `refused`
  ResourceState state = ResourceState::kActive;
  std::vector<std::string> waits_for = {};  ///< of one that is warming
  std::optional<RefusedUpdate> refused = {};
};

/// Each list by name. The versions are those of the last responses that were accepted; empty: there was none.
struct DynamicResources {
  std::string clusters_version = {};
  std::vector<DynamicResource> clusters = {};
  std::string listeners_version = {};
  std::vector<DynamicResource> listeners = {};
  std::vector<DynamicResource> routes = {};
  std::vector<DynamicResource> endpoints = {};
  std::vector<DynamicResource> secrets = {};
};

/// A number under Envoy's name for it.
struct DiscoveryStat {
  std::string prefix;  ///< "cluster_manager.cds."
  std::string family;  ///< of Prometheus, likewise: "envoy_cluster_manager_cds_"
  std::vector<std::pair<std::string, std::string>> labels;
  std::string name;
  std::int64_t value = 0;
  bool gauge = false;                    ///< else a counter
  std::optional<std::string> text = {};  ///< instead of both
};

using SubscriptionTable = std::map<Subscription, SubscriptionStats>;
using DnsTable = std::map<std::string, DnsStats>;  ///< by cluster

[[nodiscard]] DynamicResources dynamic_resources(const World& world, const SubscriptionTable& subscriptions);
/// Of subscriptions, of names, and of the cluster and listener managers.
[[nodiscard]] std::vector<DiscoveryStat> discovery_stats(const World& world, const SubscriptionTable& subscriptions,
                                                         const DnsTable& dns);

/// Of the streams to control planes, by name; Envoy has one set of numbers for all: connected_state is 1 when all are.
[[nodiscard]] std::vector<DiscoveryStat> control_plane_stats(const std::map<std::string, SessionStats>& streams);

}  // namespace millrace::agent
