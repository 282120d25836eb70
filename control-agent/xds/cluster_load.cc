#include "control-agent/xds/cluster_load.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace millrace::agent {

namespace endpoint_api = envoy::config::endpoint::v3;

namespace {

std::string drop_category(const WorldCluster& cluster) {
  const auto& assignment =
      cluster.assignment != nullptr ? cluster.assignment->message() : cluster.source->message().load_assignment();
  const auto& drops = assignment.policy().drop_overloads();
  return drops.empty() ? std::string() : drops[0].category();
}

std::uint64_t in_progress(const report::EndpointCell& cell) {
  std::int64_t sum = 0;
  for (const report::EndpointStats& stats : cell.per_worker) sum += stats.rq_active.value();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(sum, 0));
}

void set_address(const SocketAddress& address, const std::string& pipe, envoy::config::core::v3::Address& out) {
  if (!pipe.empty()) {
    out.mutable_pipe()->set_path(pipe);
    return;
  }
  out.mutable_socket_address()->set_address(address.ip.to_string());
  out.mutable_socket_address()->set_port_value(address.port);
}

void set_duration(Duration duration, google::protobuf::Duration& out) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  out.set_seconds(duration.to_nanoseconds() / kSecond);
  out.set_nanos(static_cast<std::int32_t>(duration.to_nanoseconds() % kSecond));
}

/// Of a locality or of an endpoint.
template <typename Stats>
bool is_loaded(const Stats& stats) {
  return stats.total_issued_requests() + stats.total_successful_requests() + stats.total_error_requests() +
             stats.total_requests_in_progress() >
         0;
}

}  // namespace

ClusterLoad::ClusterLoad(const WorldCluster& cluster, Instant now)
    : name_(cluster.cluster->name), cell_(cluster.cluster->cell), told_drops_(read(*cell_)), since_(now) {
  follow(cluster);
}

void ClusterLoad::follow(const WorldCluster& cluster) {
  if (cluster_ == cluster.cluster) return;
  service_name_ = cluster.source->message().eds_cluster_config().service_name();
  if (std::string category = drop_category(cluster); !category.empty()) drop_category_ = std::move(category);
  leave();
  cluster_ = cluster.cluster;
  for (const config::Endpoint& endpoint : cluster_->endpoints) {
    const auto [at, is_new] = endpoints_.try_emplace(endpoint.cell->id, Tracked{.cell = endpoint.cell, .told = {}});
    Tracked& tracked = at->second;
    if (is_new) tracked.told = read(*endpoint.cell);
    tracked.place = {.priority = endpoint.priority, .locality = config::locality_of(*cluster_, endpoint)};
    tracked.address = endpoint.address;
    tracked.pipe = endpoint.extras().pipe;
    tracked.is_member = true;
  }
}

void ClusterLoad::leave() {
  cluster_ = nullptr;
  for (auto& [id, endpoint] : endpoints_) endpoint.is_member = false;
}

endpoint_api::ClusterStats ClusterLoad::take(bool by_endpoint, Instant now) {
  endpoint_api::ClusterStats out;
  out.set_cluster_name(name_);
  out.set_cluster_service_name(service_name_);
  std::map<Place, endpoint_api::UpstreamLocalityStats> localities;
  // What has left is followed until it had nothing to do for a whole interval: workers may not have heard of it yet.
  for (auto at = endpoints_.begin(); at != endpoints_.end();) {
    Tracked& endpoint = at->second;
    const bool has_load = take_endpoint(endpoint, by_endpoint, localities[endpoint.place]);
    at = has_load || endpoint.is_member ? std::next(at) : endpoints_.erase(at);
  }
  for (auto& [place, stats] : localities) {
    if (!is_loaded(stats)) continue;
    stats.set_priority(place.priority);
    auto& locality = *stats.mutable_locality();
    locality.set_region(place.locality.region);
    locality.set_zone(place.locality.zone);
    locality.set_sub_zone(place.locality.sub_zone);
    *out.add_upstream_locality_stats() = std::move(stats);
  }
  const Drops drops = read(*cell_);
  const std::uint64_t overload = drops.overload - told_drops_.overload;
  out.set_total_dropped_requests(overload + drops.breakers - told_drops_.breakers);
  if (overload > 0) {
    auto& dropped = *out.add_dropped_requests();
    dropped.set_category(drop_category_);
    dropped.set_dropped_count(overload);
  }
  told_drops_ = drops;
  set_duration(now - since_, *out.mutable_load_report_interval());
  since_ = now;
  return out;
}

bool ClusterLoad::take_endpoint(Tracked& endpoint, bool by_endpoint, endpoint_api::UpstreamLocalityStats& locality) {
  const Counts counts = read(*endpoint.cell);
  endpoint_api::UpstreamEndpointStats own;
  own.set_total_successful_requests(counts.succeeded - endpoint.told.succeeded);
  own.set_total_error_requests(counts.failed - endpoint.told.failed);
  own.set_total_issued_requests(counts.issued - endpoint.told.issued);
  own.set_total_requests_in_progress(in_progress(*endpoint.cell));
  endpoint.told = counts;
  if (!is_loaded(own)) return false;
  locality.set_total_successful_requests(locality.total_successful_requests() + own.total_successful_requests());
  locality.set_total_error_requests(locality.total_error_requests() + own.total_error_requests());
  locality.set_total_issued_requests(locality.total_issued_requests() + own.total_issued_requests());
  locality.set_total_requests_in_progress(locality.total_requests_in_progress() + own.total_requests_in_progress());
  if (by_endpoint) {
    set_address(endpoint.address, endpoint.pipe, *own.mutable_address());
    *locality.add_upstream_endpoint_stats() = std::move(own);
  }
  return true;
}

ClusterLoad::Counts ClusterLoad::read(const report::EndpointCell& cell) {
  Counts out;
  for (const report::EndpointStats& stats : cell.per_worker) {
    out.succeeded += stats.rq_success.value();
    out.failed += stats.rq_error.value();
    out.issued += stats.rq_total.value();
  }
  return out;
}

ClusterLoad::Drops ClusterLoad::read(const report::ClusterCell& cell) {
  Drops out;
  for (const report::ClusterStats& stats : cell.per_worker) {
    out.overload += stats.upstream_rq_drop_overload.value();
    out.breakers += stats.upstream_rq_pending_overflow.value();
  }
  return out;
}

}  // namespace millrace::agent
