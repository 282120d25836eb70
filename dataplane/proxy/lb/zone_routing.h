// Routing by zones: which zone of a cluster's endpoints a request goes to, so that it stays where this gateway is, as far as no
// endpoint gets more than its share for that. The cluster's zones are compared with those of the local cluster, whose gateways
// share the requests. As Envoy documents under "Zone aware routing"; for priority 0 only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/local_zones.h"
#include "dataplane/report/cells.h"

namespace millrace::proxy {

/// What a cluster's balancer needs for it, both outlive it; null: there is no local cluster, or this is it.
struct ZoneContext {
  const LocalZones* local = nullptr;
  report::ClusterStats* stats = nullptr;  ///< the cluster's
};

class ZoneRouting {
 public:
  /// `names`: the zones of `cluster`, that of the gateway first where it is among them.
  ZoneRouting(const config::Cluster& cluster, const ZoneContext& context, std::vector<config::LocalityName> names);

  /// Health or endpoints have changed, here or in the local cluster. `healthy`: the healthy endpoints of each zone.
  void recalculate(std::span<const std::size_t> healthy);
  /// Zones matter now. If not, all of them are one.
  [[nodiscard]] bool is_active() const { return route_ != Route::kAmongAll; }

  enum class Target : std::uint8_t {
    kAll,     ///< any zone's
    kZone,    ///< those of one zone
    kNobody,  ///< the local cluster is in panic, and the cluster is to fail then
  };
  struct Choice {
    Target target = Target::kAll;
    std::size_t zone = 0;
  };
  [[nodiscard]] Choice choose(Rng& rng) const;

 private:
  static constexpr std::uint32_t kWhole = 10'000;  // shares are in hundredths of a percent
  enum class Route : std::uint8_t { kAmongAll, kOwnZone, kShared };

  [[nodiscard]] bool may_route(std::span<const std::size_t> healthy) const;
  void share(std::span<const std::size_t> healthy);

  config::ZoneAware options_;
  std::uint32_t panic_threshold_;
  bool fail_in_panic_;
  ZoneContext context_;
  std::vector<config::LocalityName> names_;
  bool has_own_;
  Route route_ = Route::kAmongAll;
  bool local_in_panic_ = false;
  // Of kShared: what stays in the own zone, and what other zones can take beyond what their own gateways send them, each with
  // the sum of those before it.
  std::uint32_t own_share_ = 0;
  std::vector<std::uint32_t> capacity_;
};

}  // namespace millrace::proxy
