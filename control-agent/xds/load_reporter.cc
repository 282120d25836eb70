#include "control-agent/xds/load_reporter.h"

#include <algorithm>
#include <utility>

#include "control-agent/xds/back_off.h"
#include "dataplane/base/assert.h"

namespace millrace::agent {

namespace load_stats = envoy::service::load_stats::v3;

namespace {

// A server that asks more often, or says nothing of how often, would keep both of us busy for nothing.
constexpr Duration kShortestInterval = Duration::milliseconds(100);

}  // namespace

LoadReporter::LoadReporter(XdsServerGroup group, const envoy::config::core::v3::Node& node, XdsTransport& transport,
                           std::uint64_t seed)
    : group_(std::move(group)), node_(node), transport_(transport), rng_(seed) {
  MR_ASSERT(!group_.servers.empty());
  node_.add_client_features("envoy.lrs.supports_send_all_clusters");
}

LoadReporter::~LoadReporter() {
  if (stream_) transport_.close(*stream_);
}

void LoadReporter::on_order(const load_stats::LoadStatsResponse& order, const World& world, Instant now) {
  ++stats_.requests;
  failures_ = 0;
  follow(world, now);
  all_clusters_ = order.send_all_clusters();
  names_.clear();
  if (!all_clusters_) names_.insert(order.clusters().begin(), order.clusters().end());
  interval_ = std::max(to_duration(order.load_reporting_interval()), kShortestInterval);
  by_endpoint_ = order.report_endpoint_granularity();
  std::erase_if(loads_, [this](const auto& load) { return !is_wanted(load.first); });
  const auto begin = [&](const std::string& name, const WorldCluster& cluster) { loads_.try_emplace(name, cluster, now); };
  if (all_clusters_) {
    for (const auto& [name, cluster] : world.clusters) begin(name, *cluster);
  } else {
    for (const std::string& name : names_) {
      if (const WorldCluster* cluster = world.find_cluster(name); cluster != nullptr) begin(name, *cluster);
    }
  }
  // One that speaks more often than it wants to hear gets its reports all the same.
  report_at_ = ordered_ ? std::min(report_at_, now + interval_) : now + interval_;
  ordered_ = true;
}

void LoadReporter::on_closed(Instant now) {
  stream_.reset();
  report_at_ = Instant::never();
  ++stats_.errors;
  // One that has served us is tried first again, the others stand in for it in their order.
  server_ = ordered_ ? 0 : (server_ + 1) % group_.servers.size();
  ordered_ = false;
  open_at_ = now + jittered_back_off(group_.retry_base, group_.retry_max, ++failures_, rng_);
}

void LoadReporter::service(const World& world, Instant now) {
  follow(world, now);
  if (!stream_ && now >= open_at_) open();
  if (stream_ && now >= report_at_) {
    report(now);
    report_at_ = now + interval_;
  }
}

void LoadReporter::open() {
  if (stats_.responses > 0) ++stats_.retries;
  stream_ = transport_.open_load_reports(server());
  node_sent_ = false;
  send({});
}

void LoadReporter::follow(const World& world, Instant now) {
  using Cluster = std::shared_ptr<const WorldCluster>;
  const auto change = [&](const std::string& name, const Cluster*, const Cluster* after) {
    const auto load = loads_.find(name);
    if (load == loads_.end()) {
      if (after != nullptr && is_wanted(name)) loads_.try_emplace(name, **after, now);
    } else if (after != nullptr) {
      load->second.follow(**after);
    } else {
      load->second.leave();
    }
  };
  decltype(World::clusters)::for_each_change(followed_, world.clusters, change);
  followed_ = world.clusters;
}

void LoadReporter::report(Instant now) {
  load_stats::LoadStatsRequest request;
  for (auto& [name, load] : loads_) *request.add_cluster_stats() = load.take(by_endpoint_, now);
  std::erase_if(loads_, [](const auto& load) { return load.second.is_over(); });
  send(std::move(request));
}

void LoadReporter::send(load_stats::LoadStatsRequest request) {
  if (!node_sent_ || !group_.node_on_first_message_only) *request.mutable_node() = node_;
  node_sent_ = true;
  ++stats_.responses;
  transport_.send(*stream_, std::make_unique<load_stats::LoadStatsRequest>(std::move(request)));
}

}  // namespace millrace::agent
