// The local cluster, the one that this gateway is one of, by zone: what routing by zones compares the endpoints of other clusters
// with. One object per worker; only assign() allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/proxy/lb/priority_load.h"

namespace millrace::proxy {

class LocalZones {
 public:
  /// From now on those of `cluster`, which has one priority; null: nothing is known of it. `own`: where this gateway is.
  void assign(std::shared_ptr<const config::Cluster> cluster, const config::LocalityName& own);
  /// Follows the health of its endpoints. A number that changes whenever anything here may have.
  [[nodiscard]] std::uint32_t follow();

  /// This is the local cluster, which has none to compare with.
  [[nodiscard]] bool is(const config::Cluster& cluster) const { return cluster_ != nullptr && cluster_->cell == cluster.cell; }
  [[nodiscard]] const config::LocalityName& own() const { return own_; }
  /// Healthy or not, some of its endpoints are where this gateway is.
  [[nodiscard]] bool has_own() const { return has_own_; }
  /// Zones that have endpoints, healthy or not.
  [[nodiscard]] std::size_t zones() const { return zones_.size(); }
  /// The healthy endpoints of one zone.
  [[nodiscard]] std::size_t healthy_in(const config::LocalityName& zone) const;
  /// What there is of all zones.
  [[nodiscard]] const PriorityHosts& hosts() const { return hosts_; }

 private:
  struct Zone {
    config::LocalityName name;
    std::size_t healthy = 0;
  };
  void count();

  std::shared_ptr<const config::Cluster> cluster_;
  config::LocalityName own_;
  std::vector<Zone> zones_;
  std::vector<std::size_t> by_endpoint_;  // its zone
  PriorityHosts hosts_;
  std::uint32_t health_version_ = 0;  // of the cluster's cell, that the counts know
  std::uint32_t version_ = 0;
  bool has_own_ = false;
};

}  // namespace millrace::proxy
