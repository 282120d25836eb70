#include "dataplane/base/timer_wheel.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr std::uint64_t kSlotMask = 0xff;

// A deadline belongs to the first tick that does not lie before it, so that no timer fires early.
std::uint64_t tick_of(Instant deadline) {
  const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(deadline.to_nanoseconds(), 0));
  return (nanoseconds + (std::uint64_t{1} << TimerWheel::kTickShift) - 1) >> TimerWheel::kTickShift;
}

}  // namespace

TimerWheel::TimerWheel(Instant start)
    : tick_(static_cast<std::uint64_t>(start.to_nanoseconds()) >> kTickShift), earliest_(tick_ + 1) {}

void TimerWheel::arm(Timer& timer, Instant deadline) {
  timer.disarm();
  if (deadline.is_never()) return;
  timer.deadline_ = deadline;
  timer.tick_ = std::max(tick_of(deadline), earliest_);
  place(timer);
}

// Level n holds timers whose tick differs from ours in digit n (base 256) and in none above; the top level is a ring and holds
// all that differ above it, too.
void TimerWheel::place(Timer& timer) {
  const std::uint64_t tick = timer.tick_;
  int level = 0;
  while (level < kLevels - 1 && (tick >> (kSlotBits * (level + 1))) != (tick_ >> (kSlotBits * (level + 1)))) ++level;
  std::uint64_t slot = (tick >> (kSlotBits * level)) & kSlotMask;
  if (level == kLevels - 1 && (tick >> (kSlotBits * level)) - (tick_ >> (kSlotBits * level)) >= kSlots) {
    slot = ((tick_ >> (kSlotBits * level)) - 1) & kSlotMask;  // beyond the horizon: looked at again once a round
  }
  levels_[static_cast<std::size_t>(level)][slot].push_back(timer);
}

void TimerWheel::cascade(int level) {
  Slot waiting;
  waiting.splice_back(levels_[static_cast<std::size_t>(level)][(tick_ >> (kSlotBits * level)) & kSlotMask]);
  while (Timer* timer = waiting.pop_front()) {
    if (timer->tick_ <= tick_) {
      levels_[0][tick_ & kSlotMask].push_back(*timer);
    } else {
      place(*timer);
    }
  }
}

std::size_t TimerWheel::advance(Instant now) {
  const std::uint64_t target = static_cast<std::uint64_t>(now.to_nanoseconds()) >> kTickShift;
  std::size_t fired = 0;
  earliest_ = std::max(target, tick_) + 1;
  while (tick_ < target) {
    // Skip stretches in which nothing is armed: an idle wheel costs nothing per tick that passed.
    const Instant next = next_expiry();
    const std::uint64_t next_tick = next.is_never() ? target : tick_of(next);
    if (next_tick > target) {
      tick_ = target;
      break;
    }
    tick_ = std::max(next_tick, tick_ + 1);
    for (int level = kLevels - 1; level > 0; --level) {
      if ((tick_ & ((std::uint64_t{1} << (kSlotBits * level)) - 1)) == 0) cascade(level);
    }
    Slot due;
    due.splice_back(levels_[0][tick_ & kSlotMask]);
    while (Timer* timer = due.pop_front()) {
      ++fired;
      timer->callback_(timer->context_, now);
    }
  }
  return fired;
}

Instant TimerWheel::next_expiry() const {
  for (int level = 0; level < kLevels; ++level) {
    const std::uint64_t digit = tick_ >> (kSlotBits * level);
    // Above level 0 the current slot is empty (it was cascaded); the slots before it belong to the next round.
    for (std::uint64_t i = 1; i < kSlots; ++i) {
      auto& slot = const_cast<Slot&>(levels_[static_cast<std::size_t>(level)][(digit + i) & kSlotMask]);
      if (!slot.empty()) {
        return Instant::from_nanoseconds(static_cast<std::int64_t>(((digit + i) << (kSlotBits * level)) << kTickShift));
      }
      if (((digit + i) & kSlotMask) == kSlotMask && level < kLevels - 1) break;  // the rest is on the next level
    }
  }
  return Instant::never();
}

}  // namespace millrace
