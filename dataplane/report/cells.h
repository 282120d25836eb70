// Cells: what outlives a configuration snapshot, per listener, network filter, cluster and endpoint. Made by the agent, keyed
// by name and address; a block per worker, so that workers never write the same line; any thread may read and add up. Of clusters
// and endpoints there may be very many that nobody uses: what they have beyond a few words is made at its first use.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/shared_byte_rate.h"
#include "dataplane/base/shared_token_bucket.h"
#include "dataplane/report/breakers.h"
#include "dataplane/report/counter.h"
#include "dataplane/report/health_record.h"
#include "dataplane/report/histogram.h"
#include "dataplane/report/lazy.h"
#include "dataplane/report/outlier_record.h"
#include "dataplane/report/stats.def"
#include "dataplane/report/worker_blocks.h"

namespace millrace::report {

#define MR_DECLARE_COUNTER(name) Counter name;
#define MR_DECLARE_GAUGE(name) Gauge name;
#define MR_DECLARE_HISTOGRAM(name) Histogram name;
struct TlsStats {
  MR_TLS_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) ListenerStats {
  MR_LISTENER_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  TlsStats tls;
};
struct alignas(64) InspectorStats {
  MR_TLS_INSPECTOR_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  MR_HTTP_INSPECTOR_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct ProxyVersionStats {
  MR_PROXY_VERSION_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) ProxyProtocolStats {
  MR_PROXY_PROTOCOL_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  ProxyVersionStats v1;
  ProxyVersionStats v2;
};
struct alignas(64) ConnectionLimitStats {
  MR_CONNECTION_LIMIT_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) NetworkRateLimitStats {
  MR_NETWORK_RATE_LIMIT_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) TcpStats {
  MR_TCP_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
#define MR_DECLARE_FILTER(member, Config, LIST)                                   \
  struct Config##Stats {                                                          \
    MR_##LIST##_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM) \
  };
MR_HTTP_FILTERS(MR_DECLARE_FILTER)
#undef MR_DECLARE_FILTER
struct alignas(64) HttpStats {
  MR_HTTP_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
#define MR_DECLARE_BLOCK(member, Config, LIST) Config##Stats member;
  MR_HTTP_FILTERS(MR_DECLARE_BLOCK)
#undef MR_DECLARE_BLOCK
};
struct alignas(64) LocalRateLimitStats {
  MR_LOCAL_RATE_LIMIT_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct BandwidthStats {
  MR_BANDWIDTH_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) BandwidthLimitStats {
  BandwidthStats request;
  BandwidthStats response;
};
struct CompressionStats {
  MR_COMPRESSION_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) CompressorStats {
  MR_COMPRESSOR_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  CompressionStats request;
  CompressionStats response;
};
struct DecompressionStats {
  MR_DECOMPRESSION_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) DecompressorStats {
  DecompressionStats request;
  DecompressionStats response;
};
struct alignas(64) RbacStats {
  MR_RBAC_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  MR_RBAC_SHADOW_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct OutlierStats {
  MR_OUTLIER_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct HealthCheckStats {
  MR_HEALTH_CHECK_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
};
struct alignas(64) ClusterStats {
  MR_CLUSTER_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  TlsStats tls;
  OutlierStats outlier;
  HealthCheckStats health_check;
  std::array<BreakerUse, kBreakerPriorities> breakers;
};
struct alignas(64) EndpointStats {
  MR_ENDPOINT_STATS(MR_DECLARE_COUNTER, MR_DECLARE_GAUGE, MR_DECLARE_HISTOGRAM)
  OutlierResults external_results;  ///< what it answered; failures of ours, too, where they are not split
  OutlierResults local_results;     ///< whether it could be asked
};
#undef MR_DECLARE_COUNTER
#undef MR_DECLARE_GAUGE
#undef MR_DECLARE_HISTOGRAM

/// What the workers have of something together, of which there may be so many and no more. On a line of its own.
class alignas(64) SharedTotal {
 public:
  /// Takes one more; false: there are `most` already.
  [[nodiscard]] bool take(std::uint64_t most) {
    if (taken_.fetch_add(1, std::memory_order_relaxed) < most) return true;
    taken_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  void release() { taken_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return taken_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> taken_{0};
};

/// `id` is small and stable for the life of the process: workers index their pools by it. `Blocks`: of statistics, by worker.
template <typename Stats, typename Blocks = std::vector<Stats>>
struct Cell {
  Cell(std::uint32_t cell_id, std::string cell_name, std::size_t workers)
      : id(cell_id), name(std::move(cell_name)), per_worker(workers) {}

  const std::uint32_t id;
  const std::string name;
  Blocks per_worker;
};

/// Named by address, as in Envoy: "0.0.0.0_80".
struct ListenerCell : Cell<ListenerStats> {
  using Cell::Cell;
  SharedTotal connections;  ///< of all workers, where they are limited
};
using ProxyProtocolCell = Cell<ProxyProtocolStats>;        ///< named by stat_prefix
using ConnectionLimitCell = Cell<ConnectionLimitStats>;    ///< named by stat_prefix
using NetworkRateLimitCell = Cell<NetworkRateLimitStats>;  ///< named by stat_prefix
using InspectorCell = Cell<InspectorStats>;  ///< one for all listeners: the counters of Envoy's listener filters name none
using HttpCell = Cell<HttpStats>;            ///< named by stat_prefix
using TcpCell = Cell<TcpStats>;              ///< named by stat_prefix
using RbacCell = Cell<RbacStats>;            ///< named by what stands before its counters: "http.ingress.rbac."

using CompressorCell = Cell<CompressorStats>;          ///< named by what stands before its statistics, "|", and before responses'
using DecompressorCell = Cell<DecompressorStats>;      ///< named by what stands before its statistics
using LocalRateLimitCell = Cell<LocalRateLimitStats>;  ///< named by stat_prefix

using BandwidthLimitCell = Cell<BandwidthLimitStats>;  ///< named by stat_prefix

/// Connections of a filter chain whose number is limited, of all workers. Named by the filter's place in the configuration.
struct ConnectionTotalCell {
  ConnectionTotalCell(std::uint32_t cell_id, std::string cell_name, std::size_t) : id(cell_id), name(std::move(cell_name)) {}

  const std::uint32_t id;
  const std::string name;
  SharedTotal connections;
};

/// What is left in a token bucket, for all workers. Named by its place in the configuration and its limits, so that a bucket goes
/// on as it was where nothing of it has changed.
struct TokenBucketCell {
  TokenBucketCell(std::uint32_t cell_id, std::string cell_name, std::size_t) : id(cell_id), name(std::move(cell_name)) {}

  const std::uint32_t id;
  const std::string name;
  alignas(64) SharedTokenBucket bucket;
};

/// What may pass now under a limit of bandwidth, for all workers. Named as TokenBucketCell.
struct ByteRateCell {
  ByteRateCell(std::uint32_t cell_id, std::string cell_name, std::size_t) : id(cell_id), name(std::move(cell_name)) {}

  const std::uint32_t id;
  const std::string name;
  alignas(64) SharedByteRate rate;
};

/// What a cluster's workers share besides its counters.
struct ClusterCell : Cell<ClusterStats, WorkerBlocks<ClusterStats>> {
  using Cell::Cell;
  /// Counts changes of its endpoints' faults: a worker that sees another value than last time looks at them again.
  std::atomic<std::uint32_t> health_version{0};
  Counter membership_change;  ///< worker 0's, for all: it is counted of clusters that nobody uses, too
  Lazy<std::array<BreakerTotals, kBreakerPriorities>> breakers;  ///< by config::RoutingPriority
  Lazy<OutlierShared> outlier;
};

/// What has been found of an endpoint, whatever the control plane says. Bits: an endpoint may have several.
enum class EndpointFault : std::uint32_t {
  kFailedHealthCheck = 1,     ///< active health checks fail, or have not succeeded yet
  kEjected = 2,               ///< by outlier detection
  kDegraded = 4,              ///< it says so in answer to health checks; no reason to avoid it by itself
  kAwaitsHealthCheck = 8,     ///< not checked yet, and not counted until then: ignore_new_hosts_until_first_hc
  kFailedAtOnce = 16,         ///< it has said that it goes: x-envoy-immediate-health-check-fail; not counted
  kHealthCheckTimedOut = 32,  ///< the last check of one that fails them
};

/// What an endpoint's cell is found by again.
struct EndpointKey {
  std::uint32_t cluster = 0;  ///< of its cluster's cell
  SocketAddress address = {};
  constexpr bool operator==(const EndpointKey&) const = default;
};

struct EndpointCell {
  EndpointCell(std::uint32_t cell_id, const EndpointKey& cell_key, std::size_t workers)
      : id(cell_id), key(cell_key), per_worker(workers) {}
  /// One that is in no table.
  EndpointCell(std::uint32_t cell_id, std::size_t workers) : EndpointCell(cell_id, {}, workers) {}

  [[nodiscard]] bool has(EndpointFault fault) const {
    return (faults.load(std::memory_order_relaxed) & static_cast<std::uint32_t>(fault)) != 0;
  }
  /// Any thread. Returns whether that changed anything; all workers of `cluster` hear of it.
  bool set(EndpointFault fault, bool present, ClusterCell& cluster) {
    const auto bit = static_cast<std::uint32_t>(fault);
    const std::uint32_t before = present ? faults.fetch_or(bit) : faults.fetch_and(~bit);
    const bool changed = ((before & bit) != 0) != present;
    if (changed) cluster.health_version.fetch_add(1, std::memory_order_release);
    return changed;
  }

  const std::uint32_t id;
  std::atomic<std::uint32_t> faults{0};
  const EndpointKey key;
  WorkerBlocks<EndpointStats> per_worker;
  Lazy<SharedCount> connections;  ///< of all workers, where per_host_thresholds limit them
  Lazy<OutlierRecord> outlier;
  Lazy<HealthRecord> health;
};

}  // namespace millrace::report
