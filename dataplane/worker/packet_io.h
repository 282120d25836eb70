// Moves packets between ports, other workers and a stack: bursts in, bursts out. What others own of what came in goes to them by
// the exchange; what they send from here goes out as everything else does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/flow_steering.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/time.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/exchange.h"
#include "nic/packet.h"
#include "nic/port.h"

namespace millrace::worker {

class CaptureTaps;

/// A port as one worker uses it.
struct PortBinding {
  nic::Port* port = nullptr;
  std::optional<std::uint16_t> receive_queue = 0;  ///< none: others receive from it
  std::uint16_t transmit_queue = 0;
  /// Which worker receives by the first queue: it speaks for the port's addresses.
  [[nodiscard]] bool speaks() const { return receive_queue == 0; }
};

/// The part of `worker` of `workers` in the port with number `index`: a queue pair for each, or else each queue to another
/// worker, and those of the next port to the next ones.
[[nodiscard]] PortBinding bind_port(nic::Port& port, std::size_t index, std::size_t worker, std::size_t workers);

/// The workers that share ports. Alone: no exchange.
struct Team {
  const FlowSteering* steering = nullptr;
  Exchange* exchange = nullptr;
  std::uint16_t index = 0;  ///< of this worker
};

/// One per worker, on its thread.
class PacketIo {
 public:
  struct Counters {
    std::uint64_t frames_received = 0;
    std::uint64_t frames_sent = 0;
    std::uint64_t handed_over = 0;  ///< to the workers that own them
    std::uint64_t taken_over = 0;
    std::uint64_t hand_over_dropped = 0;  ///< the other's ring was full, or there was no buffer for a copy
    std::uint64_t overheard = 0;          ///< copies of other workers' frames
  };

  /// Everything outlives this object.
  PacketIo(std::vector<PortBinding> ports, ip::IpLayer& ip, tcp::Stack& tcp, nic::PacketPool& packets, CaptureTaps* taps,
           const Team& team);

  /// A bounded number of bursts from each queue and of what others handed over, up to the stack. True when there was any.
  bool receive(Instant now);
  /// As much of what waits as the ports take. True when they took any.
  bool transmit(Instant now);
  /// Tells the internet layer of links that went up or down.
  void follow_links(Instant now);
  /// Frames wait for a port that took no more.
  [[nodiscard]] bool waits() const { return waits_; }

  [[nodiscard]] const std::vector<PortBinding>& ports() const { return ports_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  bool receive_from(std::size_t port, Instant now);
  void handle_frame(nic::Packet frame, Instant now);
  void deliver(Parcel&& parcel, Instant now);
  [[nodiscard]] std::optional<std::uint16_t> other_owner(const ip::IpLayer::Received& received) const;
  void hand_over(std::uint16_t to, Parcel&& parcel);
  void tell_all(const nic::Packet& frame);

  std::vector<PortBinding> ports_;
  ip::IpLayer& ip_;
  tcp::Stack& tcp_;
  nic::PacketPool& packets_;
  CaptureTaps* taps_;
  const Team team_;
  bool waits_ = false;
  Counters counters_;
  std::array<nic::Packet, limits::kRxBurstPackets> burst_;
};

}  // namespace millrace::worker
