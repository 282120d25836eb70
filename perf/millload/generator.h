// Clients and an origin on one stack over open ports, in one thread: the poll loop, and the course of a measurement.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/model/dataplane.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/packet_io.h"
#include "nic/port.h"
#include "perf/millload/clients.h"
#include "perf/millload/failures.h"
#include "perf/millload/origin.h"
#include "perf/millload/pattern.h"
#include "perf/millload/tls_sides.h"
#include "tls/record_engine.h"

namespace millrace::perf {

struct Course {
  Duration patience = Duration::seconds(30);  ///< for ports to come up; then for all connections to open, the ramp included
  Duration warm_up = Duration::seconds(1);
  Duration duration = Duration::seconds(5);
  Duration later;  ///< behind it, observed apart, such as while something else goes on; zero: nothing is
};

struct GeneratorConfig {
  config::Dataplane machine;  ///< its ports' addresses and routes, TCP, and whether the loop rests when it has nothing to do
  std::optional<SocketAddress> origin;
  OriginConfig origin_config;
  LoadConfig load;
  TlsSides tls;
  Course course;
  std::uint64_t seed = 1;
  std::size_t packet_buffers = 0;  ///< of the pool: bounds what is kept of chains
};

/// What the loop itself did while it observed.
struct LoopFigures {
  double seconds = 0;
  double busy_share = 0;  ///< of the time: turns that had something to do
  double tsc_hertz = 0;
  std::uint64_t gaps = 0;  ///< times in which it stood still for more than 10 us, by the machine's doing
  Duration longest_gap;
  std::uint64_t packets_received = 0;
  std::uint64_t packets_sent = 0;
};

class Generator {
 public:
  /// Told as a measurement goes on; null functions are not called.
  struct Watch {
    std::function<void()> begins;  ///< to be observed
    std::function<void()> ends;
    std::function<void(const Clients&, double seconds)> each_second;  ///< since the start
  };

  /// `ports` are the machine's, open, in its order; they and the pool outlive this object.
  Generator(std::span<nic::Port* const> ports, nic::PacketPool& pool, const GeneratorConfig& config);

  /// The whole course, on the calling thread. False when it could not be gone through: error() says why.
  bool run(Observed& observed, const Watch& watch);
  /// What was observed in Course::later.
  [[nodiscard]] const Observed& later() const { return *later_; }

  [[nodiscard]] const LoopFigures& loop() const { return figures_; }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  bool measure(Observed& observed, const Watch& watch);
  bool warm_up(const Watch& watch);
  void leave();
  template <typename Done>
  bool turn_until(const Watch& watch, Instant limit, Done&& done);
  bool turn(Instant now);
  [[nodiscard]] static Instant rest();
  void look_for_gap(Duration took, Instant now);
  bool wait_for_links();

  std::vector<nic::Port*> ports_;
  const Course course_;
  const bool once_;   // not for a time, but until all connections are over
  const bool rests_;  // when there is nothing to do
  TimerWheel timers_;
  Rng rng_;
  stream::ChainPool chains_;
  ip::IpLayer ip_;
  tcp::Stack tcp_;
  worker::PacketIo io_;
  const std::unique_ptr<tls::RecordEngine> record_engine_;
  secure::InlineHandshakeRunner handshakes_;
  secure::TlsLayer tls_;
  Pattern pattern_;
  Failures failures_;
  Origin origin_;
  TlsAcceptor acceptor_;
  TlsConnector connector_;
  Clients clients_;
  tcp::Listener* listener_ = nullptr;  // the origin's

  LoopFigures figures_;
  const std::unique_ptr<Observed> later_ = std::make_unique<Observed>();
  std::uint64_t busy_cycles_ = 0;
  std::uint64_t packets_in_turn_ = 0;
  Instant started_;
  Instant next_report_;
  std::string error_;
};

}  // namespace millrace::perf
