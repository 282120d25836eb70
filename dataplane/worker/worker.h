// One worker: everything that one core owns, and the turn of its loop. Sans-I/O but for its ports (nic/port.h): the clock is an
// argument, so that a thread on real ports and a simulator on virtual time run the same code.
//
// A turn: receive bursts, and what other workers received for this one -> ip -> tcp -> sockets of the host -> timers -> (events)
// -> records opened -> (events) -> what the proxy has put off -> records sealed -> tcp output -> transmit bursts -> a part of
// what the agent asks to see.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/model/dataplane.h"
#include "config/model/snapshot_slot.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/host/kernel.h"
#include "dataplane/host/transport.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/report/worker_report.h"
#include "dataplane/secure/tls_layer.h"
#include "dataplane/stream/chain.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/capture_taps.h"
#include "dataplane/worker/control.h"
#include "dataplane/worker/inspector.h"
#include "dataplane/worker/listener_set.h"
#include "dataplane/worker/packet_io.h"
#include "dataplane/worker/published_counters.h"
#include "dataplane/worker/transports.h"

namespace millrace::worker {

struct WorkerConfig {
  Team team = {};
  std::vector<PortBinding> ports;  ///< in the order of `interfaces`
  std::vector<ip::InterfaceConfig> interfaces;
  std::vector<ip::RouteConfig> routes;
  tcp::TcpConfig tcp;
  std::uint64_t seed = 0;                        ///< of the worker's Rng
  std::array<std::uint8_t, 16> secret{};         ///< key of ISNs and hash tables, from the operating system
  std::int64_t wall_offset_nanoseconds = 0;      ///< wall clock minus monotonic clock
  std::string hostname;                          ///< for %HOSTNAME% in access logs
  Duration drain_time = Duration::seconds(600);  ///< of listeners that a new configuration changes or leaves out
  bool drain_gradually = false;                  ///< their clients leave over that time, not with their next responses
  config::TlsSettings tls = {};
  /// Of a device, of `tls`, given what works in software for what it does not do. Empty: there is none.
  std::function<std::unique_ptr<tls::RecordEngine>(std::unique_ptr<tls::RecordEngine> software)> device_engine;
  secure::HandshakeRunner* handshakes = nullptr;  ///< null: the worker runs them itself
  host::Kernel* kernel = nullptr;                 ///< null: loopback addresses and Unix sockets are out of reach
};

class alignas(64) Worker {
 public:
  Worker(const WorkerConfig& config, nic::PacketPool& packets, const config::SnapshotSlot& snapshots, Control& control,
         report::WorkerReport& report, Instant now);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// One turn. Returns whether there was anything to do; `now` never runs backwards.
  bool turn(Instant now);

  /// When the next turn is due if nothing arrives before; never() when nothing is planned.
  [[nodiscard]] Instant next_due() const;

  /// Announces our addresses to the neighbours (gratuitous ARP, unsolicited NA). Once, before the first turn.
  void announce(Instant now);

  /// Ends every connection at once (RST) and transmits that. The last call before destruction.
  void stop(Instant now);

  [[nodiscard]] const tcp::Stack& tcp() const { return tcp_; }

  void set_wall_offset(std::int64_t nanoseconds) {
    proxy_.set_wall_offset(nanoseconds);
    taps_.set_wall_offset(nanoseconds);
  }

 private:
  void follow_control(Instant now);
  void adopt_snapshot(Instant now);
  void follow_overload(Instant now);
  void register_counters();

  const config::SnapshotSlot& snapshots_;
  Control& control_;
  report::WorkerReport& report_;
  nic::PacketPool& packets_;
  const std::string hostname_;
  const bool leads_;  // of its team: tells what all share

  Rng rng_;
  TimerWheel timers_;
  stream::ChainPool chains_;
  ip::IpLayer ip_;
  tcp::Stack tcp_;
  std::optional<host::Transport> host_;  // none: without a kernel
  Transports transports_;
  const std::unique_ptr<tls::RecordEngine> record_engine_;
  secure::InlineHandshakeRunner own_handshakes_;
  secure::TlsLayer tls_;
  proxy::Proxy proxy_;
  ListenerSet listeners_;
  CaptureTaps taps_;
  PacketIo io_;
  Inspector inspector_;
  PublishedCounters published_;

  std::uint64_t snapshot_version_ = 0;
  config::Snapshot::Clusters clusters_;  // of the snapshot
  config::Snapshot::Clusters checking_;
  std::shared_ptr<const config::Overload> overload_;  // of the snapshot; null: nothing is watched
  bool stops_accepting_ = false;
  Lifecycle lifecycle_ = Lifecycle::kServing;
  Instant last_turn_;
};

}  // namespace millrace::worker
