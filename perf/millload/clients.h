// The clients: a number of connections that send requests, one after the other or at given times, and check every response.
// Sans-I/O: over any stack; time is an argument.
//
// Closed loop: each connection sends its next request when a response is complete. Open loop: requests are due at a fixed rate,
// whatever becomes of the others; one that finds no free connection waits, and its latency counts from when it was due: a system
// that stalls cannot hide that by being asked less (coordinated omission).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/stream/byte_stream.h"
#include "perf/millload/failures.h"
#include "perf/millload/latency_histogram.h"
#include "perf/millload/messages.h"
#include "perf/millload/pattern.h"

namespace millrace::perf {

struct LoadConfig {
  std::vector<SocketAddress> targets;  ///< at least one; connections take them in turn
  std::size_t connections = 64;
  std::size_t pipeline = 1;                   ///< requests under way on a connection at a time, at most kMostPipelined
  std::uint64_t requests_per_connection = 0;  ///< 0: as many as come
  double rate = 0;                            ///< requests per second; 0: closed loop
  std::size_t request_bytes = 0;
  std::size_t response_bytes = 64;
  Duration ramp = {};  ///< over which connections are opened
  bool once = false;   ///< a connection that has ended is not opened again
};

/// What was observed between two calls of Clients::observe().
struct Observed {
  std::uint64_t requests = 0;  ///< with a right response
  std::uint64_t connects = 0;
  std::uint64_t refused = 0;     ///< connections that ended before they were open, or with requests under way
  LatencyHistogram latency;      ///< from when the request was due until its response was complete
  LatencyHistogram undisturbed;  ///< without those under way while the generator itself stood still
};

class Clients {
 public:
  static constexpr std::size_t kMostPipelined = 64;

  Clients(stream::Connector& connector, stream::ChainPool& chains, const Pattern& pattern, Failures& failures,
          const LoadConfig& config);
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  /// Opens connections, and sends what is due. Once a turn, not from inside an event.
  void pace(Instant now);
  /// No more requests, no more connections: those that are open are closed.
  void stop(Instant now);
  /// The machine took the core away until `now`: what was under way says nothing of the gateway.
  void disturbed(Instant now) { disturbed_ = now; }

  /// Starts to observe anew; `into` is written from now on, null: nothing is.
  void observe(Observed* into) { observed_ = into; }

  [[nodiscard]] std::size_t open() const { return open_; }            ///< connections
  [[nodiscard]] std::size_t waiting() const { return due_.size(); }   ///< requests of an open loop without a connection
  [[nodiscard]] std::uint64_t requests() const { return requests_; }  ///< answered, since the start
  /// As many as there are to be have been opened; short ones may be closed again.
  [[nodiscard]] bool all_open() const { return opened_ >= config_.connections; }
  /// As many as there are to be have ended, however they did.
  [[nodiscard]] bool all_ended() const { return ended_ >= config_.connections; }

 private:
  class Connection;

  void open_connections(Instant now);
  void send_due(Instant now);
  void count_response(Instant due, Instant now);
  void count_refused() {
    if (observed_ != nullptr) ++observed_->refused;
  }

  stream::Connector& connector_;
  stream::ChainPool& chains_;
  const Pattern& pattern_;
  Failures& failures_;
  const LoadConfig config_;
  HeadReader heads_;
  std::vector<std::string> hosts_;  // of config_.targets
  std::vector<std::unique_ptr<Connection>> connections_;
  IntrusiveList<Connection> closed_;  // to be opened (again)
  std::size_t active_ = 0;            // the others
  IntrusiveList<Connection> idle_;    // open loop: without a request; least recently used first
  std::deque<Instant> due_;
  Duration interval_;  // of an open loop's requests
  Instant next_due_ = Instant::never();
  Instant started_ = Instant::never();
  Instant disturbed_;
  Observed* observed_ = nullptr;
  std::size_t open_ = 0;
  std::uint64_t opened_ = 0;   // since the start
  std::uint64_t ended_ = 0;    // likewise
  std::uint64_t numbers_ = 0;  // of exchanges
  std::uint64_t requests_ = 0;
  bool stopped_ = false;
};

}  // namespace millrace::perf
