// Slow start: how long each endpoint has been in the cluster, or healthy again after its health checks failed, and which part of
// its weight it gets for that.
#pragma once

#include <cstdint>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/time.h"

namespace millrace::proxy {

/// The part of its weight that an endpoint of that age gets: (age / window) ^ (1 / aggression), at least min_weight, at most 1.
[[nodiscard]] double slow_start_part(const config::SlowStart& slow_start, Duration age);

class HostAges {
 public:
  /// Those that were not there before, told apart by their cells, are new. Allocates.
  void follow_endpoints(const config::Cluster& cluster, Instant now);
  /// Those whose health checks have succeeded again are new since then, whenever that is noticed. `cluster` as in the call
  /// before.
  void follow_health(const config::Cluster& cluster, Instant now);

  [[nodiscard]] bool is_enabled() const { return slow_start_.is_enabled(); }
  [[nodiscard]] bool some_are_new(Instant now) const { return is_enabled() && now < newest_ + slow_start_.window; }
  /// Of the endpoint with that index.
  [[nodiscard]] double part(std::uint32_t endpoint, Instant now) const {
    return slow_start_part(slow_start_, now - hosts_[endpoint].since);
  }

 private:
  struct Host {
    const report::EndpointCell* cell = nullptr;
    Instant since;
  };

  config::SlowStart slow_start_;
  std::vector<Host> hosts_;  // as Cluster::endpoints
  Instant newest_;
};

}  // namespace millrace::proxy
