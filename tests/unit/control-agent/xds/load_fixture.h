// Worlds of clusters whose endpoints a test gives load to.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control-agent/cell_registry.h"
#include "control-agent/discovery/world.h"

namespace millrace::agent::test {

/// Counters as two workers write them.
class LoadedWorld {
 public:
  struct Place {
    std::string address;  ///< of IP version 4, on port 80; or a path
    std::string zone = {};
    std::uint32_t priority = 0;
  };

  /// Adds or replaces a cluster.
  void set(const std::string& name, const std::vector<Place>& endpoints, const ClusterMessage& message = {}) {
    auto cluster = std::make_shared<config::Cluster>();
    cluster->name = name;
    cluster->cell = cells_.clusters.get(name);
    for (const Place& place : endpoints) {
      config::Endpoint endpoint;
      endpoint.address = address_of(place.address);
      if (endpoint.address.is_pipe()) endpoint.own_extras().pipe = place.address;
      endpoint.priority = place.priority;
      endpoint.locality = static_cast<std::uint32_t>(cluster->localities.size());
      cluster->localities.push_back({{.region = "here", .zone = place.zone, .sub_zone = {}}, place.priority});
      endpoint.cell = cells_.endpoints.get({.cluster = cluster->cell->id, .address = endpoint.address});
      cluster->endpoints.push_back(std::move(endpoint));
    }
    auto entry = std::make_shared<WorldCluster>();
    entry->source = std::make_shared<const Resource<ClusterMessage>>(message, ResourceOrigin());
    entry->cluster = std::move(cluster);
    world_.clusters.set(name, std::move(entry));
  }
  void remove(const std::string& name) { world_.clusters.erase(name); }

  /// Requests that begin and end there.
  void serve(const std::string& cluster, const std::string& address, int good, int bad = 0, std::size_t worker = 0) {
    begin(cluster, address, good + bad, worker);
    end(cluster, address, good, bad, worker);
  }
  void begin(const std::string& cluster, const std::string& address, int count, std::size_t worker = 0) {
    auto& stats = stats_of(cluster, address, worker);
    stats.rq_total.add(static_cast<std::uint64_t>(count));
    stats.rq_active.add(count);
  }
  void end(const std::string& cluster, const std::string& address, int good, int bad, std::size_t worker = 0) {
    auto& stats = stats_of(cluster, address, worker);
    stats.rq_success.add(static_cast<std::uint64_t>(good));
    stats.rq_error.add(static_cast<std::uint64_t>(bad));
    stats.rq_active.subtract(good + bad);
  }
  report::ClusterStats& cluster_stats(const std::string& cluster, std::size_t worker = 0) {
    return cells_.clusters.get(cluster)->per_worker[worker];
  }

  [[nodiscard]] const World& world() const { return world_; }
  [[nodiscard]] const WorldCluster& cluster(const std::string& name) const { return *world_.find_cluster(name); }

 private:
  report::EndpointStats& stats_of(const std::string& cluster, const std::string& address, std::size_t worker) {
    return cells_.endpoints.get({.cluster = cells_.clusters.get(cluster)->id, .address = address_of(address)})
        ->per_worker[worker];
  }
  static SocketAddress address_of(const std::string& text) {
    return text.starts_with("/") ? SocketAddress::of_pipe(text) : SocketAddress{.ip = *IpAddress::parse(text), .port = 80};
  }

  CellRegistry cells_{2};
  World world_;
};

/// "zone/priority good+bad of issued, n open"; each endpoint of its own behind it.
inline std::string to_text(const envoy::config::endpoint::v3::UpstreamLocalityStats& stats) {
  const auto numbers = [](const auto& from) {
    return std::to_string(from.total_successful_requests()) + "+" + std::to_string(from.total_error_requests()) + " of " +
           std::to_string(from.total_issued_requests()) + ", " + std::to_string(from.total_requests_in_progress()) + " open";
  };
  std::string out = stats.locality().zone() + "/" + std::to_string(stats.priority()) + " " + numbers(stats);
  for (const auto& endpoint : stats.upstream_endpoint_stats()) {
    const auto& address = endpoint.address();
    out += "; " + (address.has_pipe() ? address.pipe().path() : address.socket_address().address()) + " " + numbers(endpoint);
  }
  return out;
}
inline std::vector<std::string> to_texts(const envoy::config::endpoint::v3::ClusterStats& stats) {
  std::vector<std::string> out;
  for (const auto& locality : stats.upstream_locality_stats()) out.push_back(to_text(locality));
  return out;
}

}  // namespace millrace::agent::test
