// What a configuration consists of, by type and name: clusters, listeners, route configurations, the endpoints of clusters,
// the configurations of filters and layers of the runtime, as their sources gave them (the bootstrap, files, later a control
// plane). A value: a copy shares the messages, which never change, and which are kept as bytes: of most nothing is asked once
// they are translated, and as objects they take six times as much.
#pragma once

#include <google/protobuf/message.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>

#include "config/model/shared_map.h"
#include "control-agent/diagnostics.h"
#include "control-agent/discovery/name_resolver.h"
#include "control-agent/discovery/shared_name.h"
#include "control-agent/runtime_values.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/scoped_route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/runtime/v3/rtds.pb.h"

namespace millrace::agent {

/// In the order in which changes that come together are looked at: what is pointed to before what points there.
enum class ResourceType : std::uint8_t { kRuntime, kSecret, kCluster, kAssignment, kExtension, kListener, kScope, kRoutes };

using ClusterMessage = envoy::config::cluster::v3::Cluster;
using ListenerMessage = envoy::config::listener::v3::Listener;
using RouteMessage = envoy::config::route::v3::RouteConfiguration;
using ScopeMessage = envoy::config::route::v3::ScopedRouteConfiguration;
using AssignmentMessage = envoy::config::endpoint::v3::ClusterLoadAssignment;
using ExtensionMessage = envoy::config::core::v3::TypedExtensionConfig;
using RuntimeMessage = envoy::service::runtime::v3::Runtime;
using SecretMessage = envoy::extensions::transport_sockets::tls::v3::Secret;

/// Equal messages have equal hashes.
[[nodiscard]] std::uint64_t hash_of(const google::protobuf::Message& message);
/// Equal messages give equal bytes.
[[nodiscard]] std::string bytes_of(const google::protobuf::Message& message);
[[nodiscard]] std::uint64_t hash_of_bytes(const std::string& bytes);

/// The name by which a resource is found.
[[nodiscard]] inline const std::string& name_of(const AssignmentMessage& message) { return message.cluster_name(); }
template <typename Message>
[[nodiscard]] const std::string& name_of(const Message& message) {
  return message.name();
}

/// Where a resource was found, for errors about it and for /config_dump. Those of one response may share it.
struct ResourceOrigin {
  /// Of the message: "static_resources.clusters[0]", "resources[2]"; empty: it has none but its type and name.
  std::string path = {};
  std::shared_ptr<const SourceMap> places = {};  ///< of the file that it stands in; null: none is known
  std::string source = {};                       ///< its file; empty: the bootstrap, or a control plane
  std::string version = {};                      ///< version_info of the response that brought it; empty for the bootstrap's
  std::chrono::system_clock::time_point updated{};
  bool is_static = false;  ///< of the bootstrap: no update removes or replaces it
};

/// How errors name a resource that stands in no file: Cluster "web".
template <typename Message>
[[nodiscard]] std::string resource_path(const std::string& name) {
  return Message::descriptor()->name() + " \"" + name + "\"";
}

template <typename Message>
class Resource {
 public:
  /// `named`: name_of(), from whoever has it already.
  Resource(const Message& message, SharedName named, std::shared_ptr<const ResourceOrigin> origin)
      : Resource(bytes_of(message), std::move(named), std::move(origin)) {}
  Resource(const Message& message, ResourceOrigin origin)
      : Resource(message, name_of(message), std::make_shared<const ResourceOrigin>(std::move(origin))) {}

  const SharedName name;  ///< name_of()
  const std::uint64_t content_hash;

  /// Reads it: not for what is done at each change with all that there are.
  [[nodiscard]] Message message() const {
    Message out;
    out.ParsePartialFromString(bytes_);
    return out;
  }
  [[nodiscard]] const ResourceOrigin& origin() const { return *origin_; }
  /// How errors name it.
  [[nodiscard]] std::string path() const { return origin_->path.empty() ? resource_path<Message>(name) : origin_->path; }

 private:
  Resource(const std::string& bytes, SharedName given, std::shared_ptr<const ResourceOrigin> origin)
      : name(std::move(given)), content_hash(hash_of_bytes(bytes)), bytes_(bytes), origin_(std::move(origin)) {}

  const std::string bytes_;
  const std::shared_ptr<const ResourceOrigin> origin_;
};

/// What it says, as nobody changes it any more.
template <typename Message>
[[nodiscard]] std::shared_ptr<const Message> as_message(const Resource<Message>& resource) {
  return std::make_shared<const Message>(resource.message());
}

template <typename Message>
using ResourcePtr = std::shared_ptr<const Resource<Message>>;

/// Both are missing, or say the same.
template <typename Message>
[[nodiscard]] bool same_content(const ResourcePtr<Message>& a, const ResourcePtr<Message>& b) {
  return a == b || (a != nullptr && b != nullptr && a->content_hash == b->content_hash);
}

/// Names of clusters and of listeners are unique in the gateway; those of other resources are within their source.
struct ResourceKey {
  SharedName source;  ///< source_key() of where it comes from
  SharedName name;
  auto operator<=>(const ResourceKey&) const = default;

  struct Hash {
    std::size_t operator()(const ResourceKey& key) const {
      return SharedName::Hash{}(key.name) + 31 * SharedName::Hash{}(key.source);
    }
  };
};

/// By name or by key; copies share what stays the same.
template <typename Message>
using NamedResources = config::SharedMap<SharedName, ResourcePtr<Message>, SharedName::Hash>;
template <typename Message>
using KeyedResources = config::SharedMap<ResourceKey, ResourcePtr<Message>, ResourceKey::Hash>;

/// A null pointer where one could be: there is none, and whoever needs it goes on without. What is not in a table has not come
/// yet.
struct Resources {
  NamedResources<ClusterMessage> clusters;
  NamedResources<ListenerMessage> listeners;
  KeyedResources<RouteMessage> routes;
  KeyedResources<AssignmentMessage> assignments;
  KeyedResources<ExtensionMessage> extensions;
  KeyedResources<ScopeMessage> scopes;                      ///< all that there are of each source that listeners name
  std::set<std::string> known_scopes;                       ///< sources that have said which there are
  KeyedResources<RuntimeMessage> runtimes;                  ///< layers
  std::shared_ptr<const RuntimeEntries> runtime_overrides;  ///< the administrator's; null: there are none
  config::SharedMap<std::string, std::shared_ptr<const ResolvedNames>> resolved;  ///< by cluster
};

/// Null: there is none.
template <typename Table, typename Key>
[[nodiscard]] auto find_resource(const Table& table, const Key& key) {
  const auto* found = table.find(key);
  return found == nullptr ? std::remove_cvref_t<decltype(*found)>() : *found;
}

/// A file that resources are read from.
struct PathSource {
  std::string path;
  std::string watched_directory;  ///< empty: the path itself is watched
  auto operator<=>(const PathSource&) const = default;
};

/// Empty path: the source is no file.
[[nodiscard]] PathSource path_source(const envoy::config::core::v3::ConfigSource& source);

/// What tells sources apart: a file's path; empty for the stream that carries all types (ads); else one word for each
/// api_config_source.
[[nodiscard]] std::string source_key(const envoy::config::core::v3::ConfigSource& source);
/// Is it a control plane's key, not a file's?
[[nodiscard]] bool is_control_plane(const std::string& source_key);

/// Where the endpoints of clusters of type EDS come from. Clusters that say the same share one.
struct AssignmentSource {
  envoy::config::core::v3::ConfigSource config;
  SharedName key;   ///< source_key()
  PathSource path;  ///< path_source()
};

/// Where the connection managers of a listener have their routes from.
using RouteSources = std::map<ResourceKey, envoy::config::core::v3::ConfigSource>;
[[nodiscard]] RouteSources route_sources(const ListenerMessage& listener);

}  // namespace millrace::agent
