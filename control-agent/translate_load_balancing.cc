#include "control-agent/translate_load_balancing.h"

#include <cmath>

#include "control-agent/translate_common.h"
#include "control-agent/translate_subsets.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.pb.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb.h"
#include "envoy/extensions/load_balancing_policies/maglev/v3/maglev.pb.h"
#include "envoy/extensions/load_balancing_policies/random/v3/random.pb.h"
#include "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb.h"
#include "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb.h"
#include "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb.h"

namespace millrace::agent {

using envoy::config::cluster::v3::Cluster;
using envoy::config::cluster::v3::LoadBalancingPolicy;
namespace policies = envoy::extensions::load_balancing_policies;

namespace {

/// The two forms of a policy, lb_policy and extension, have the same fields; so what follows takes either.
class Translation {
 public:
  Translation(config::Cluster& out, Diagnostics& diagnostics) : out_(out), diagnostics_(diagnostics) {}

  [[nodiscard]] const BalancingPlan& plan() const { return plan_; }

  template <typename Config>
  void round_robin(const Config& config, const std::string& path) {
    out_.load_balancing = config::LoadBalancing::kRoundRobin;
    slow_start(config, path);
  }

  template <typename Config>
  void least_request(const Config& config, const std::string& path) {
    out_.load_balancing = config::LoadBalancing::kLeastRequest;
    if (config.has_choice_count()) out_.least_request_choices = config.choice_count().value();
    if (config.has_active_request_bias()) {
      out_.balancing.active_request_bias = config.active_request_bias().default_value();
      if (!(out_.balancing.active_request_bias >= 0))
        diagnostics_.error(join_path(path, "active_request_bias.default_value"), "must be 0 or more");
    }
    slow_start(config, path);
  }

  template <typename Config>
  void ring_hash(const Config& config, bool murmur, const std::string& path) {
    out_.load_balancing = config::LoadBalancing::kRingHash;
    plan_.ring.murmur = murmur;
    if (config.has_minimum_ring_size()) plan_.ring.minimum_size = config.minimum_ring_size().value();
    if (config.has_maximum_ring_size()) plan_.ring.maximum_size = config.maximum_ring_size().value();
    if (plan_.ring.minimum_size == 0) diagnostics_.error(join_path(path, "minimum_ring_size"), "must be at least 1");
    if (plan_.ring.minimum_size > plan_.ring.maximum_size) {
      diagnostics_.error(path, "minimum_ring_size (" + std::to_string(plan_.ring.minimum_size) +
                                   ") must not be greater than maximum_ring_size (" + std::to_string(plan_.ring.maximum_size) +
                                   ")");
    }
  }

  template <typename Config>
  void maglev(const Config& config, const std::string& path) {
    out_.load_balancing = config::LoadBalancing::kMaglev;
    if (!config.has_table_size()) return;
    plan_.maglev_size = config.table_size().value();
    if (!config::is_prime(plan_.maglev_size)) {
      diagnostics_.error(join_path(path, "table_size"),
                         "must be a prime number, is " + std::to_string(plan_.maglev_size) + "; the default is 65537");
    }
  }

  // What the hashing policies have in common.
  template <typename Config>
  void consistent_hashing(const Config& config) {
    plan_.by_hostname = config.use_hostname_for_hashing();
    out_.balancing.hash_balance_factor = config.hash_balance_factor().value();
  }

  // Zones matter without a word about them, too, where there is a local cluster.
  template <typename Config>
  void locality(const Config& config) {
    out_.balancing.locality_weighted = config.has_locality_weighted_lb_config();
    const auto& zones = config.zone_aware_lb_config();
    out_.balancing.fail_traffic_on_panic = zones.fail_traffic_on_panic();
    if (zones.has_routing_enabled())
      out_.balancing.zone_aware.routing_enabled = static_cast<std::uint32_t>(std::lround(zones.routing_enabled().value()));
    if (zones.has_min_cluster_size()) out_.balancing.zone_aware.min_cluster_size = zones.min_cluster_size().value();
  }

  // Nothing to say: the cluster knows.
  void provided(bool is_brought, const std::string& path) {
    is_provided_ = true;
    if (!is_brought)
      diagnostics_.error(
          path,
          "CLUSTER_PROVIDED is only for clusters that bring their own, as aggregates and ORIGINAL_DST do: use another policy");
  }
  [[nodiscard]] bool is_provided() const { return is_provided_; }

  template <typename Config>
  void subsets(const Config& config, const std::string& path) {
    plan_.subsets = translate_subsets(config, path, diagnostics_);
    plan_.list_as_any = config.list_as_any();
  }

 private:
  template <typename Config>
  void slow_start(const Config& config, const std::string& path) {
    if (!config.has_slow_start_config()) return;
    const auto& source = config.slow_start_config();
    const std::string at = join_path(path, "slow_start_config");
    config::SlowStart& slow = out_.balancing.slow_start;
    slow.window = translate_duration(source.slow_start_window(), join_path(at, "slow_start_window"), diagnostics_);
    if (source.has_aggression()) slow.aggression = source.aggression().default_value();
    if (!(slow.aggression > 0)) diagnostics_.error(join_path(at, "aggression.default_value"), "must be greater than 0");
    if (source.has_min_weight_percent()) slow.min_weight = source.min_weight_percent().value() / 100;
  }

  config::Cluster& out_;
  Diagnostics& diagnostics_;
  BalancingPlan plan_;
  bool is_provided_ = false;
};

// Instead of a policy over endpoints.
bool brings_policy(const Cluster& cluster) {
  return cluster.cluster_discovery_type_case() == Cluster::kClusterType || cluster.type() == Cluster::ORIGINAL_DST;
}

void translate_lb_policy(const Cluster& cluster, const std::string& path, Translation& to, Diagnostics& diagnostics) {
  to.locality(cluster.common_lb_config());
  to.subsets(cluster.lb_subset_config(), join_path(path, "lb_subset_config"));
  to.consistent_hashing(cluster.common_lb_config().consistent_hashing_lb_config());
  switch (cluster.lb_policy()) {
    case Cluster::ROUND_ROBIN: return to.round_robin(cluster.round_robin_lb_config(), join_path(path, "round_robin_lb_config"));
    case Cluster::LEAST_REQUEST:
      return to.least_request(cluster.least_request_lb_config(), join_path(path, "least_request_lb_config"));
    case Cluster::RING_HASH: {
      const auto& config = cluster.ring_hash_lb_config();
      return to.ring_hash(config, config.hash_function() == Cluster::RingHashLbConfig::MURMUR_HASH_2,
                          join_path(path, "ring_hash_lb_config"));
    }
    case Cluster::MAGLEV: return to.maglev(cluster.maglev_lb_config(), join_path(path, "maglev_lb_config"));
    case Cluster::CLUSTER_PROVIDED: return to.provided(brings_policy(cluster), join_path(path, "lb_policy"));
    case Cluster::LOAD_BALANCING_POLICY_CONFIG:
      return diagnostics.error(join_path(path, "load_balancing_policy"),
                               "must be set when lb_policy is "
                               "LOAD_BALANCING_POLICY_CONFIG");
    default: return;  // RANDOM
  }
}

// The first that is supported; the field table has refused a list without any.
void translate_extension(const LoadBalancingPolicy& list, const std::string& path, bool brings_policy, Translation& to,
                         config::Cluster& out) {
  const auto locality_weights = [&](const auto& config) {
    out.balancing.locality_weighted = config.has_locality_weighted_lb_config();
  };
  for (int i = 0; i < list.policies_size(); ++i) {
    const auto& any = list.policies(i).typed_extension_config().typed_config();
    const std::string at =
        join_path(index_path(join_path(path, "policies"), static_cast<std::size_t>(i)), "typed_extension_config.typed_config");
    if (any.Is<policies::cluster_provided::v3::ClusterProvided>()) return to.provided(brings_policy, at);
    if (const auto round_robin = unpack<policies::round_robin::v3::RoundRobin>(any)) {
      to.locality(round_robin->locality_lb_config());
      return to.round_robin(*round_robin, at);
    }
    if (const auto least = unpack<policies::least_request::v3::LeastRequest>(any)) {
      to.locality(least->locality_lb_config());
      out.balancing.full_scan =
          least->selection_method() == policies::least_request::v3::LeastRequest::FULL_SCAN || least->enable_full_scan().value();
      return to.least_request(*least, at);
    }
    if (const auto random = unpack<policies::random::v3::Random>(any)) {
      out.load_balancing = config::LoadBalancing::kRandom;
      return to.locality(random->locality_lb_config());
    }
    if (const auto ring = unpack<policies::ring_hash::v3::RingHash>(any)) {
      // The older fields of the message count where the newer one is missing.
      ring->has_consistent_hashing_lb_config() ? to.consistent_hashing(ring->consistent_hashing_lb_config())
                                               : to.consistent_hashing(*ring);
      locality_weights(*ring);
      return to.ring_hash(*ring, ring->hash_function() == policies::ring_hash::v3::RingHash::MURMUR_HASH_2, at);
    }
    if (const auto maglev = unpack<policies::maglev::v3::Maglev>(any)) {
      to.consistent_hashing(maglev->consistent_hashing_lb_config());
      locality_weights(*maglev);
      return to.maglev(*maglev, at);
    }
    if (const auto subset = unpack<SubsetPolicy>(any)) {
      to.subsets(*subset, at);
      return translate_extension(subset->subset_lb_policy(), join_path(at, "subset_lb_policy"), false, to, out);
    }
    if (const auto weighted = unpack<policies::wrr_locality::v3::WrrLocality>(any)) {
      translate_extension(weighted->endpoint_picking_policy(), join_path(at, "endpoint_picking_policy"), false, to, out);
      out.balancing.locality_weighted = true;
      return;
    }
  }
}

}  // namespace

BalancingPlan translate_load_balancing(const Cluster& cluster, const std::string& path, config::Cluster& out,
                                       Diagnostics& diagnostics) {
  Translation to(out, diagnostics);
  out.load_balancing = config::LoadBalancing::kRandom;
  if (cluster.has_load_balancing_policy()) {
    translate_extension(cluster.load_balancing_policy(), join_path(path, "load_balancing_policy"), brings_policy(cluster), to,
                        out);
  } else {
    translate_lb_policy(cluster, path, to, diagnostics);
  }
  if (brings_policy(cluster) && !to.is_provided()) {
    diagnostics.error(join_path(path, cluster.has_load_balancing_policy() ? "load_balancing_policy" : "lb_policy"),
                      "must be CLUSTER_PROVIDED in a cluster that brings its own, as aggregates and ORIGINAL_DST do");
  }
  const auto& common = cluster.common_lb_config();
  if (common.has_healthy_panic_threshold())
    out.balancing.panic_threshold = static_cast<std::uint32_t>(common.healthy_panic_threshold().value());
  return to.plan();
}

}  // namespace millrace::agent
