// One direction of a simulated link: what becomes of a frame that is put on it. Rate and queue (tail drop), delay, MTU, and the
// faults: loss (independent and in bursts, by the model of Gilbert and Elliott), reordering, duplication, corruption, partitions.
// Everything is integer arithmetic on one seeded Rng: the same seed gives the same fates whatever the compiler does.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace::sim {

/// Probabilities are in parts of a million. A default link is perfect: no delay, no bound.
struct LinkConfig {
  std::uint64_t bits_per_second = 0;  ///< 0: frames take no time
  Duration delay = {};                ///< propagation, one way
  std::uint32_t queue_bytes = 0;      ///< what may wait behind the rate; 0: no bound
  std::uint16_t mtu = 2'000;          ///< larger IP packets vanish ...
  bool tells_mtu = false;             ///< ... or a router before the link says so (ICMP)

  std::uint32_t loss_ppm = 0;
  std::uint32_t burst_enter_ppm = 0;                     ///< per frame: the good state ends (Gilbert-Elliott)
  std::uint32_t burst_leave_ppm = 0;                     ///< per frame: the bad state ends
  std::uint32_t burst_loss_ppm = 0;                      ///< loss in the bad state
  Duration burst_longest = Duration::milliseconds(500);  ///< else retransmissions, which are rare, would meet one bad state
  std::uint32_t reorder_ppm = 0;                         ///< frames that come late by up to reorder_delay, others pass them
  Duration reorder_delay = {};
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t corrupt_ppm = 0;
  struct Window {
    Instant from;
    Instant to;
  };
  std::vector<Window> partitions = {};  ///< nothing passes in these
};

enum class Fate : std::uint8_t { kDelivered, kDuplicated, kLost, kBurstLost, kQueueFull, kTooBig, kPartitioned };
inline constexpr std::size_t kFates = 7;
[[nodiscard]] const char* to_text(Fate fate);

class Link {
 public:
  Link(const LinkConfig& config, std::uint64_t seed) : config_(config), rng_(seed) {}

  struct Outcome {
    Fate fate = Fate::kDelivered;
    bool corrupted = false;       ///< the caller flips bits: corrupt()
    Instant arrival = {};         ///< of the frame
    Instant second_arrival = {};  ///< of its copy, when duplicated
  };
  /// Decides about a frame of `size` bytes, Ethernet header included, that is put on the link at `now`.
  [[nodiscard]] Outcome put(std::size_t size, Instant now);
  /// Flips some bits of one 16-bit word behind the Ethernet header, so that the Internet checksum over that word always sees
  /// it. ARP is left alone: nothing but the Ethernet checksum protects it, which on a real link catches all of this.
  void corrupt(std::span<std::uint8_t> frame);

  /// Changes what happens from now on; what is on its way stays.
  void configure(const LinkConfig& config) { config_ = config; }
  [[nodiscard]] const LinkConfig& config() const { return config_; }
  [[nodiscard]] std::uint64_t count(Fate fate) const { return counts_[static_cast<std::size_t>(fate)]; }
  [[nodiscard]] std::uint64_t corrupted() const { return corrupted_; }

 private:
  [[nodiscard]] bool chance(std::uint32_t ppm) { return ppm != 0 && rng_.chance(ppm, 1'000'000); }
  [[nodiscard]] Fate fate_of(std::size_t size, Instant now);
  [[nodiscard]] Duration time_of(std::uint64_t bytes) const;
  [[nodiscard]] Duration lateness();

  LinkConfig config_;
  Rng rng_;
  bool bad_state_ = false;
  Instant bad_since_;
  Instant busy_until_;  // when the last frame that was taken has left the queue
  std::array<std::uint64_t, kFates> counts_{};
  std::uint64_t corrupted_ = 0;
};

}  // namespace millrace::sim
