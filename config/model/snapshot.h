// The whole configuration as the workers see it: one immutable value, published by one pointer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/cluster.h"
#include "config/model/listener.h"
#include "config/model/overload.h"
#include "config/model/shared_map.h"

namespace millrace::config {

/// A file (or "/dev/stdout", "/dev/stderr") that access log lines go to.
struct LogSink {
  std::string path;
};

struct Snapshot {
  /// By name; from version to version those that stay the same are shared.
  using Clusters = SharedMap<std::string, std::shared_ptr<const Cluster>, RouteTable::TextHash>;

  std::uint64_t version = 0;
  std::vector<std::shared_ptr<const Listener>> listeners;
  Clusters clusters;
  /// That wait for the first health checks of their endpoints, and serve nobody until then. `clusters` may have one of the same
  /// name, which serves.
  Clusters checking;
  bool holds_listeners = false;  ///< `listeners` is empty for now: the gateway waits for its clusters
  std::vector<LogSink> log_sinks;
  std::shared_ptr<const Overload> overload;               ///< null: nothing is watched
  std::vector<std::pair<std::string, std::string>> node;  ///< reserved names of the bootstrap's node: "id", "cluster"

  std::string local_cluster;  ///< the cluster that this gateway is one of; empty: none
  LocalityName locality;      ///< where this gateway is

  [[nodiscard]] const Cluster* find_cluster(std::string_view name) const {
    const auto* found = clusters.find(name);
    return found == nullptr ? nullptr : found->get();
  }
};

}  // namespace millrace::config
