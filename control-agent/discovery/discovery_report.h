// What discovery tells the admin pages, as plain data: resources for /config_dump, numbers for /stats.
#pragma once

#include <chrono>
#include <compare>
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
struct LastGoodStats;
struct LoadReporterStats;
struct SessionStats;
struct Subscription;
struct SubscriptionStats;
struct World;

enum class ResourceType : std::uint8_t;

/// A message that nobody changes any more.
using ConstMessage = std::shared_ptr<const google::protobuf::Message>;

/// The last update of a resource, where it was refused: envoy.admin.v3.UpdateFailureState.
struct RefusedUpdate {
  std::string version;  ///< version_info of the response that brought it
  std::chrono::system_clock::time_point attempted{};
  std::string details;   ///< why
  ConstMessage content;  ///< null: it could not be read
};

/// Of which resource an update was refused.
struct RefusedKey {
  ResourceType type;
  std::string source;  ///< as ResourceKey::source
  std::string name;
  auto operator<=>(const RefusedKey&) const = default;
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

/// The scopes of a connection manager that are discovered.
struct ScopesOfListener {
  std::string name;  ///< of its scoped_routes
  std::vector<DynamicResource> scopes;
};

/// A resource that somebody names and that is not there.
struct MissingResource {
  ResourceType type;
  std::string name;
  bool is_waited_for = true;  ///< else it is known not to exist
};

/// Each list by name. The versions are those of the last responses that were accepted; empty: there was none.
struct DynamicResources {
  std::string clusters_version = {};
  std::vector<DynamicResource> clusters = {};
  std::string listeners_version = {};
  std::vector<DynamicResource> listeners = {};
  std::vector<DynamicResource> routes = {};
  std::vector<DynamicResource> endpoints = {};
  std::vector<DynamicResource> extensions = {};
  std::vector<ScopesOfListener> scopes = {};
  std::vector<DynamicResource> secrets = {};
  std::vector<MissingResource> missing = {};  ///< endpoints and routes
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
using RefusedTable = std::map<RefusedKey, RefusedUpdate>;

/// `secrets`: those of control planes, which are no part of the world. What was refused stands at what is in use under its name,
/// else alone.
[[nodiscard]] DynamicResources dynamic_resources(const World& world, const SubscriptionTable& subscriptions,
                                                 std::vector<DynamicResource> secrets, const RefusedTable& refused);
/// Of subscriptions, of names, and of the cluster and listener managers.
[[nodiscard]] std::vector<DiscoveryStat> discovery_stats(const World& world, const SubscriptionTable& subscriptions,
                                                         const DnsTable& dns);

/// Of the streams to control planes, by name; Envoy has one set of numbers for all: connected_state is 1 when all are.
[[nodiscard]] std::vector<DiscoveryStat> control_plane_stats(const std::map<std::string, SessionStats>& streams);
[[nodiscard]] std::vector<DiscoveryStat> load_reporter_stats(const LoadReporterStats& stats);

/// server.dynamic_unknown_fields
[[nodiscard]] std::vector<DiscoveryStat> unknown_field_stats(std::uint64_t dynamic);

/// Of the last good configuration on disk.
[[nodiscard]] std::vector<DiscoveryStat> last_good_stats(const LastGoodStats& stats);

}  // namespace millrace::agent
