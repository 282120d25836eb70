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

namespace millrace::config {

/// A file (or "/dev/stdout", "/dev/stderr") that access log lines go to.
struct LogSink {
  std::string path;
};

struct Snapshot {
  std::uint64_t version = 0;
  std::vector<std::shared_ptr<const Listener>> listeners;
  RouteTable::ByText<std::shared_ptr<const Cluster>> clusters;
  std::vector<LogSink> log_sinks;
  std::shared_ptr<const Overload> overload;               ///< null: nothing is watched
  std::vector<std::pair<std::string, std::string>> node;  ///< reserved names of the bootstrap's node: "id", "cluster"

  std::string local_cluster;  ///< the cluster that this gateway is one of; empty: none
  LocalityName locality;      ///< where this gateway is

  [[nodiscard]] const Cluster* find_cluster(std::string_view name) const {
    const auto at = clusters.find(name);
    return at == clusters.end() ? nullptr : at->second.get();
  }
};

}  // namespace millrace::config
