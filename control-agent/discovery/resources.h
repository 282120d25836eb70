// What a configuration consists of, by type and name: clusters, listeners, route configurations and the endpoints of clusters, as
// their sources gave them (the bootstrap, files, later a control plane). A value: a copy shares the messages, which never change.
#pragma once

#include <google/protobuf/message.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "control-agent/diagnostics.h"
#include "control-agent/discovery/name_resolver.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

namespace millrace::agent {

using ClusterMessage = envoy::config::cluster::v3::Cluster;
using ListenerMessage = envoy::config::listener::v3::Listener;
using RouteMessage = envoy::config::route::v3::RouteConfiguration;
using AssignmentMessage = envoy::config::endpoint::v3::ClusterLoadAssignment;

/// Equal messages have equal hashes.
[[nodiscard]] std::uint64_t hash_of(const google::protobuf::Message& message);

/// Where a resource was found, for errors about it and for /config_dump.
struct ResourceOrigin {
  std::string path = {};                         ///< of the message: "static_resources.clusters[0]", "resources[2]"
  std::shared_ptr<const SourceMap> places = {};  ///< of the file that it stands in; null: none is known
  std::string source = {};                       ///< its file; empty: the bootstrap, or a control plane
  std::string version = {};                      ///< version_info of the response that brought it; empty for the bootstrap's
  std::chrono::system_clock::time_point updated{};
  bool is_static = false;  ///< of the bootstrap: no update removes or replaces it
};

template <typename Message>
struct Resource {
  Resource(Message given, ResourceOrigin from)
      : message(std::move(given)), origin(std::move(from)), content_hash(hash_of(message)) {}

  const Message message;
  const ResourceOrigin origin;
  const std::uint64_t content_hash;
};

template <typename Message>
using ResourcePtr = std::shared_ptr<const Resource<Message>>;

/// Both are missing, or say the same.
template <typename Message>
[[nodiscard]] bool same_content(const ResourcePtr<Message>& a, const ResourcePtr<Message>& b) {
  return a == b || (a != nullptr && b != nullptr && a->content_hash == b->content_hash);
}

/// Names of clusters and of listeners are unique in the gateway; those of other resources are within their source.
struct ResourceKey {
  std::string source;  ///< source_key() of where it comes from
  std::string name;
  auto operator<=>(const ResourceKey&) const = default;
};

struct Resources {
  std::map<std::string, ResourcePtr<ClusterMessage>> clusters;
  std::map<std::string, ResourcePtr<ListenerMessage>> listeners;
  std::map<ResourceKey, ResourcePtr<RouteMessage>> routes;
  std::map<ResourceKey, ResourcePtr<AssignmentMessage>> assignments;
  std::map<std::string, std::shared_ptr<const ResolvedNames>> resolved;  ///< by cluster
};

/// Null: there is none.
template <typename Key, typename Message>
[[nodiscard]] ResourcePtr<Message> find_resource(const std::map<Key, ResourcePtr<Message>>& table, const Key& key) {
  const auto at = table.find(key);
  return at == table.end() ? nullptr : at->second;
}

/// A file that resources are read from.
struct PathSource {
  std::string path;
  std::string watched_directory;  ///< empty: the path itself is watched
  auto operator<=>(const PathSource&) const = default;
};

/// Empty path: the source is no file.
[[nodiscard]] PathSource path_source(const envoy::config::core::v3::ConfigSource& source);

/// What tells sources apart: a file's path; empty for a control plane.
[[nodiscard]] inline std::string source_key(const envoy::config::core::v3::ConfigSource& source) {
  return path_source(source).path;
}

/// Where the endpoints of a cluster of type EDS are found.
[[nodiscard]] ResourceKey assignment_key(const ClusterMessage& cluster);

/// The files that the connection managers of a listener have their routes from, and the names that they ask for.
[[nodiscard]] std::map<PathSource, std::set<std::string>> route_sources(const ListenerMessage& listener);

}  // namespace millrace::agent
