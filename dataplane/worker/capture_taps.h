// Where frames are copied from on their way between a worker and its ports, for the captures that run. A frame to be sent is
// seen as the port gets it: with checksums, and cut into segments, as far as that is not left to the port.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/limits.h"
#include "dataplane/base/time.h"
#include "dataplane/worker/mailbox.h"
#include "nic/packet.h"

namespace millrace::worker {

class CaptureTaps {
 public:
  explicit CaptureTaps(std::int64_t wall_offset_nanoseconds);

  /// Frames pass by unseen while this is false: all that captures cost when there are none.
  [[nodiscard]] bool active() const { return count_ > 0; }
  /// False when limits::kCaptures run. `capture` stays until remove().
  [[nodiscard]] bool add(Capture& capture);
  void remove(const Capture& capture);
  [[nodiscard]] bool has(const Capture& capture) const;

  void on_received(std::size_t port, std::span<const nic::Packet> frames, Instant now);
  /// Before they are given to the port, which may take only some of them: those are seen again, and copied once.
  void on_transmit(std::size_t port, std::span<const nic::Packet> frames, Instant now);
  void on_transmitted(std::size_t port, std::size_t offered, std::size_t taken);

  /// What waited for the port is gone.
  void on_discarded(std::size_t port) { seen_[port] = 0; }

  void set_wall_offset(std::int64_t nanoseconds) { wall_offset_ = nanoseconds; }
  [[nodiscard]] const std::uint64_t& dropped() const { return dropped_; }  ///< frames that found no room in a ring

 private:
  void copy(std::size_t port, const nic::Packet& frame, Instant now);
  [[nodiscard]] std::span<const std::uint8_t> first_bytes(const nic::Packet& frame);

  std::array<Capture*, limits::kCaptures> captures_{};
  std::size_t count_ = 0;
  std::array<std::size_t, limits::kMaxPorts> seen_{};  // of each port's frames to be sent: copied, but not taken yet
  std::int64_t wall_offset_;
  std::uint64_t dropped_ = 0;
  std::unique_ptr<std::uint8_t[]> joined_;  // the bytes of a frame that lies in pieces
};

}  // namespace millrace::worker
