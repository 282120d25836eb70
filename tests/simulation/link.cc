#include "tests/simulation/link.h"

#include <algorithm>

namespace millrace::sim {
namespace {

constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

const char* to_text(Fate fate) {
  switch (fate) {
    case Fate::kDelivered: return "";
    case Fate::kDuplicated: return "duplicated";
    case Fate::kLost: return "lost";
    case Fate::kBurstLost: return "lost in a burst";
    case Fate::kQueueFull: return "queue full";
    case Fate::kTooBig: return "larger than the MTU";
    case Fate::kPartitioned: return "partition";
  }
  return "unknown";
}

Duration Link::time_of(std::uint64_t bytes) const {
  if (config_.bits_per_second == 0) return {};
  return Duration::nanoseconds(static_cast<std::int64_t>(bytes * 8 * kNanosecondsPerSecond / config_.bits_per_second));
}

Duration Link::lateness() {
  if (!chance(config_.reorder_ppm)) return {};
  const auto most = static_cast<std::uint32_t>(config_.reorder_delay.to_microseconds());
  return Duration::microseconds(most == 0 ? 0 : rng_.below(most));
}

Fate Link::fate_of(std::size_t size, Instant now) {
  const auto partitioned = [&](const LinkConfig::Window& window) { return window.from <= now && now < window.to; };
  if (std::ranges::any_of(config_.partitions, partitioned)) return Fate::kPartitioned;
  if (size > config_.mtu + kEthernetBytes) return Fate::kTooBig;
  if (config_.queue_bytes != 0 && busy_until_ > now && busy_until_ - now > time_of(config_.queue_bytes)) return Fate::kQueueFull;
  if (bad_state_ && now - bad_since_ > config_.burst_longest) bad_state_ = false;
  if (chance(bad_state_ ? config_.burst_leave_ppm : config_.burst_enter_ppm)) {
    bad_state_ = !bad_state_;
    bad_since_ = now;
  }
  if (bad_state_ && chance(config_.burst_loss_ppm)) return Fate::kBurstLost;
  if (chance(config_.loss_ppm)) return Fate::kLost;
  return chance(config_.duplicate_ppm) ? Fate::kDuplicated : Fate::kDelivered;
}

Link::Outcome Link::put(std::size_t size, Instant now) {
  Outcome outcome{.fate = fate_of(size, now)};
  ++counts_[static_cast<std::size_t>(outcome.fate)];
  if (outcome.fate == Fate::kPartitioned || outcome.fate == Fate::kTooBig || outcome.fate == Fate::kQueueFull) return outcome;
  busy_until_ = std::max(busy_until_, now) + time_of(size);  // what is lost behind the queue has taken its time too
  if (outcome.fate != Fate::kDelivered && outcome.fate != Fate::kDuplicated) return outcome;
  outcome.arrival = busy_until_ + config_.delay + lateness();
  if (outcome.fate == Fate::kDuplicated) outcome.second_arrival = busy_until_ + config_.delay + lateness();
  outcome.corrupted = chance(config_.corrupt_ppm);
  return outcome;
}

void Link::corrupt(std::span<std::uint8_t> frame) {
  const bool arp = frame[12] == 0x08 && frame[13] == 0x06;
  const auto words = static_cast<std::uint32_t>((frame.size() - kEthernetBytes) / 2);
  if (arp || words == 0) return;
  ++corrupted_;
  while (true) {
    std::uint8_t* word = &frame[kEthernetBytes + 2 * std::size_t{rng_.below(words)}];
    const std::uint32_t mask = 1 + rng_.below(0xffff);
    const std::uint32_t before = static_cast<std::uint32_t>(word[0]) << 8 | word[1];
    // The two zeros of a ones' complement sum are the same to it: that one change would be invisible.
    if (mask == 0xffff && (before == 0 || before == 0xffff)) continue;
    word[0] = static_cast<std::uint8_t>(word[0] ^ mask >> 8);
    word[1] = static_cast<std::uint8_t>(word[1] ^ (mask & 0xff));
    return;
  }
}

}  // namespace millrace::sim
