// Which endpoint of a cluster gets the next request. One object per cluster and worker; its constructor allocates, nothing else
// does. Health is what the control plane says and what report::EndpointCell::faults adds; refresh() looks at it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/rng.h"
#include "dataplane/proxy/lb/host_facts.h"
#include "dataplane/proxy/lb/host_view.h"
#include "dataplane/proxy/lb/subset_choice.h"

namespace millrace::proxy {

class LoadBalancer {
 public:
  /// `cluster` outlives it.
  LoadBalancer(const config::Cluster& cluster, Rng& rng, const ZoneContext& zones = {});

  /// The health of endpoints has changed, or the local cluster.
  void refresh(Rng& rng);

  template <HostFacts Facts>
  [[nodiscard]] HostChoice choose(const ChoiceContext& context, Rng& rng, const Facts& facts) {
    return subsets_ ? subsets_->choose(context, rng, facts) : all_.choose(context, rng, facts);
  }

  [[nodiscard]] std::span<const HostHealth> health() const { return health_; }
  /// What there is of each priority, whatever subsets there are.
  [[nodiscard]] std::span<const PriorityHosts> counts() const { return subsets_ ? subsets_->counts() : all_.counts(); }

 private:
  const config::Cluster* cluster_;
  std::vector<HostHealth> health_;  // as cluster_->endpoints
  HostView all_;                    // empty where there are subsets
  std::optional<SubsetChoice> subsets_;
};

}  // namespace millrace::proxy
