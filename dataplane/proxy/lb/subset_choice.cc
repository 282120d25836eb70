#include "dataplane/proxy/lb/subset_choice.h"

namespace millrace::proxy {
namespace {

LocalityUse locality_use(const config::Cluster& cluster) {
  if (!cluster.subsets->locality_weight_aware) return LocalityUse::kNone;
  return cluster.subsets->scale_locality_weight ? LocalityUse::kScaled : LocalityUse::kAsConfigured;
}

}  // namespace

SubsetChoice::SubsetChoice(const config::Cluster& cluster, std::span<const std::uint32_t> all, const ZoneContext& zones)
    : subsets_(cluster.subsets.get()),
      all_(cluster, all, cluster.hash_tables, locality_use(cluster), zones),
      default_(cluster, subsets_->default_subset.endpoints, subsets_->default_subset.hash_tables, locality_use(cluster), zones) {
  views_.reserve(subsets_->subsets.size());
  for (const config::Subset& subset : subsets_->subsets)
    views_.emplace_back(cluster, subset.endpoints, subset.hash_tables, locality_use(cluster), zones);
}

void SubsetChoice::refresh(std::span<const HostHealth> health, Rng& rng) {
  all_.refresh(health, rng);
  default_.refresh(health, rng);
  for (HostView& view : views_) view.refresh(health, rng);
}

}  // namespace millrace::proxy
