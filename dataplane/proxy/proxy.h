// The proxy of one worker: listener -> filter chain -> HTTP connection manager -> route -> cluster -> endpoint -> pooled
// connection, and the response streamed back. Sans-I/O: time is an argument, transports come through stream::Connector and
// stream::Acceptor. Events of transports and timers only take note; the work happens in end_of_turn(), in one place.
// dataplane/proxy/README.md tells a request's way and who stops whom. One core only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "config/model/snapshot.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/report/worker_report.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::secure {
class TlsLayer;
}

namespace millrace::proxy {

/// Bounds of one worker. Reaching one is answered and counted, never fatal.
struct ProxyLimits {
  std::size_t downstream_connections = limits::kTcpMaxConnections;  ///< more are reset (downstream_cx_overflow)
  std::size_t upstream_connections = limits::kTcpMaxConnections;    ///< over all clusters
  std::size_t streams = limits::kTcpMaxConnections;                 ///< requests in progress
  std::size_t small_chunks = 262'144;                               ///< of 4 KiB: what requests allocate from
  std::size_t large_chunks = 4'096;                                 ///< of 128 KiB
  std::size_t coding_bytes = std::size_t{256} << 20;                ///< for brotli and zstd
  std::size_t initial_objects = 64;                                 ///< of each kind, allocated at start
  /// What a connection may buffer at the most in each direction, whatever per_connection_buffer_limit_bytes says.
  std::size_t connection_buffer_bytes = std::size_t{1} << 30;
};

struct ProxyContext {
  std::uint32_t worker_index;  ///< which per-worker block of the cells is ours
  TimerWheel& timers;
  stream::ChainPool& chains;
  Rng& rng;
  stream::Connector& connector;
  secure::TlsLayer& tls;
  report::LogRing& log;
  report::WorkerReport& report;
  std::int64_t wall_offset_nanoseconds;  ///< wall clock minus `now`
  ProxyLimits limits = {};
  std::string_view hostname = {};                ///< %HOSTNAME%; outlives the proxy
  Duration drain_time = Duration::seconds(600);  ///< what a listener that changed or is gone has accepted has so long to end
  bool drain_gradually = false;  ///< its clients are asked to leave over all of that time, not with their next responses
};

/// What is there at this moment; all zero when the proxy is idle, but for pooled connections.
struct ProxyCounts {
  std::size_t downstream_connections = 0;
  std::size_t requests = 0;              ///< from the first byte of a request to the last of its response
  std::size_t upstream_connections = 0;  ///< connecting, in use and idle
  std::size_t chunks = 0;                ///< of arenas
  std::size_t coding_bytes = 0;          ///< what brotli and zstd hold
};

struct Runtime;

class Proxy {
 public:
  explicit Proxy(const ProxyContext& context);
  /// All transports must be gone: call force_close_all() first.
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  /// Takes over a configuration. Clusters and listeners that did not change keep their connections; connections of listeners
  /// that changed or are gone are drained, and reset after the drain time; what requests in progress use stays until they end.
  void apply(std::shared_ptr<const config::Snapshot> snapshot, Instant now);

  /// Who accepts the connections of a listener of the snapshot applied last. Valid until that listener (by name) is missing
  /// from two snapshots in a row; until it is missing the same object serves every version of it.
  [[nodiscard]] stream::Acceptor& acceptor_for(const config::Listener& listener);

  /// Everything that events put off: reads, decodes, routes, encodes, writes, destroys. The worker calls it every turn, after
  /// received segments and timers and before transports transmit; also after apply(), start_drain() and force_close_all().
  void end_of_turn(Instant now);

  /// Ends keep-alive: connections without a request are closed, others after the response (Connection: close). Connections that
  /// are passed through go on until they end by themselves, or by force_close_all(). New connections are still served, one
  /// request each; the worker closes the listeners. Idempotent.
  void start_drain(Instant now);
  /// Whoever asks whether this gateway is well hears that it is not (filter envoy.filters.http.health_check), and keep-alive ends
  /// with each response, as long as that is so.
  void set_fails_health_checks(bool fails);
  /// Resets every connection, both sides, and counts and logs what was in progress. Endpoints are not probed any more.
  void force_close_all(Instant now);

  /// Events have put off work since end_of_turn(): it should be called again soon.
  [[nodiscard]] bool has_work() const;
  /// No downstream connection and no request in progress.
  [[nodiscard]] bool idle() const;
  [[nodiscard]] ProxyCounts counts() const;
  void set_wall_offset(std::int64_t nanoseconds);

 private:
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace millrace::proxy
