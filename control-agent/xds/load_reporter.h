// Tells a management server how much load clusters had: one stream of the load reporting service, opened again whenever it ends.
// The server says which clusters it wants to hear of, and how often. Pure: orders, the world and time come from outside. Sources:
// envoy.service.load_stats.v3.LoadReportingService, envoy.config.endpoint.v3.ClusterStats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "control-agent/discovery/world.h"
#include "control-agent/xds/cluster_load.h"
#include "control-agent/xds/server_plan.h"
#include "control-agent/xds/transport.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "envoy/config/core/v3/base.pb.h"

namespace millrace::agent {

/// Under Envoy's names ("load_reporter."), which see it with the server's eyes: what it asks is a request.
struct LoadReporterStats {
  std::uint64_t requests = 0;   ///< LoadStatsResponses that came
  std::uint64_t responses = 0;  ///< LoadStatsRequests that were sent
  std::uint64_t errors = 0;     ///< streams that ended
  std::uint64_t retries = 0;    ///< streams that were opened again
};

class LoadReporter {
 public:
  /// `node`: what is said of us, besides that all clusters can be told. `transport` must outlive this.
  LoadReporter(XdsServerGroup group, const envoy::config::core::v3::Node& node, XdsTransport& transport, std::uint64_t seed);
  ~LoadReporter();
  LoadReporter(const LoadReporter&) = delete;
  LoadReporter& operator=(const LoadReporter&) = delete;

  [[nodiscard]] bool owns(XdsStreamId stream) const { return stream_ == stream; }
  /// What the server wants to hear from now on. Clusters that it heard of before go on from their last report, whatever stream
  /// that was on.
  void on_order(const envoy::service::load_stats::v3::LoadStatsResponse& order, const World& world, Instant now);
  void on_closed(Instant now);

  /// Opens the stream and reports when the time has come. To be called after next_timeout() and when the world has changed.
  void service(const World& world, Instant now);
  [[nodiscard]] Instant next_timeout() const { return stream_ ? report_at_ : open_at_; }

  [[nodiscard]] const LoadReporterStats& stats() const { return stats_; }
  [[nodiscard]] const XdsServer& server() const { return group_.servers[server_]; }

 private:
  void open();
  void follow(const World& world, Instant now);
  void report(Instant now);
  void send(envoy::service::load_stats::v3::LoadStatsRequest request);
  [[nodiscard]] bool is_wanted(const std::string& cluster) const { return all_clusters_ || names_.contains(cluster); }

  const XdsServerGroup group_;
  envoy::config::core::v3::Node node_;
  XdsTransport& transport_;
  Rng rng_;
  std::optional<XdsStreamId> stream_;
  std::size_t server_ = 0;
  Instant open_at_ = {};
  std::uint32_t failures_ = 0;  // in a row
  bool node_sent_ = false;
  bool ordered_ = false;  // on this stream

  // The last order:
  bool all_clusters_ = false;
  std::set<std::string> names_;
  Duration interval_ = {};
  bool by_endpoint_ = false;

  Instant report_at_ = Instant::never();
  decltype(World::clusters) followed_;
  std::map<std::string, ClusterLoad> loads_;
  LoadReporterStats stats_;
};

}  // namespace millrace::agent
