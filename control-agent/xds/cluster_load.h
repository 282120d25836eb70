// What the endpoints of one cluster have done since it was told last, by their localities: differences of the counters in their
// cells, which outlive every configuration, so that endpoints that leave still tell what they did. Pure. Source:
// envoy.config.endpoint.v3.ClusterStats.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "config/model/cluster.h"
#include "control-agent/discovery/world.h"
#include "dataplane/base/time.h"
#include "envoy/config/endpoint/v3/load_report.pb.h"

namespace millrace::agent {

class ClusterLoad {
 public:
  /// Counts from here on.
  ClusterLoad(const WorldCluster& cluster, Instant now);

  /// The cluster has changed: endpoints that it has not any more are told until nothing happens there, those that come count
  /// from here on.
  void follow(const WorldCluster& cluster);
  /// The cluster is gone, and with it all of its endpoints.
  void leave();

  /// What has come since the last call, or since counting began; localities without load are left out. `by_endpoint`: also for
  /// each endpoint that has any.
  [[nodiscard]] envoy::config::endpoint::v3::ClusterStats take(bool by_endpoint, Instant now);
  /// The cluster is gone and all of it told.
  [[nodiscard]] bool is_over() const { return cluster_ == nullptr && endpoints_.empty(); }

 private:
  struct Counts {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;
    std::uint64_t issued = 0;
  };
  struct Drops {
    std::uint64_t overload = 0;  // by drop_overloads
    std::uint64_t breakers = 0;  // by circuit breakers
  };
  /// Where load is added up.
  struct Place {
    std::uint32_t priority = 0;
    config::LocalityName locality;
    auto operator<=>(const Place&) const = default;
  };
  struct Tracked {
    std::shared_ptr<const report::EndpointCell> cell;
    Counts told;
    Place place = {};
    SocketAddress address = {};
    std::string pipe = {};  // instead of the address, where it is not empty
    bool is_member = true;  // else it has left
  };

  [[nodiscard]] static Counts read(const report::EndpointCell& cell);
  [[nodiscard]] static Drops read(const report::ClusterCell& cell);
  /// Adds it to its locality's; false: there is nothing to tell.
  static bool take_endpoint(Tracked& endpoint, bool by_endpoint, envoy::config::endpoint::v3::UpstreamLocalityStats& locality);

  std::string name_;
  std::string service_name_;                        // EDS's; empty: the cluster's
  std::string drop_category_;                       // of drop_overloads, as long as nothing else is known the last
  std::shared_ptr<const config::Cluster> cluster_;  // followed last; null: it is gone
  std::shared_ptr<const report::ClusterCell> cell_;
  Drops told_drops_;
  std::map<std::uint32_t, Tracked> endpoints_;  // by the number of their cell
  Instant since_;
};

}  // namespace millrace::agent
