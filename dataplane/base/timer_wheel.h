// One hierarchical timer wheel per worker (Varghese and Lauck, scheme 6): arming, disarming and firing are O(1).
// A timer is a member of what it times, not an allocation. A timer never fires early; it fires at most one tick late.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/time.h"

namespace millrace {

class TimerWheel;

/// Fires once at its deadline. Destroying an armed timer disarms it. One core only.
class Timer : private ListNode<> {
 public:
  using Callback = void (*)(void* context, Instant now);

  Timer(Callback callback, void* context) : callback_(callback), context_(context) {}

  /// A timer that calls a member function: Timer::calling<&Connection::on_rto>(*this).
  template <auto Method, typename T>
  [[nodiscard]] static Timer calling(T& object) {
    return Timer([](void* context, Instant now) { (static_cast<T*>(context)->*Method)(now); }, &object);
  }

  [[nodiscard]] bool is_armed() const { return is_linked(); }
  /// Meaningful while armed.
  [[nodiscard]] Instant deadline() const { return deadline_; }
  void disarm() { unlink(); }

 private:
  friend class TimerWheel;
  template <typename, typename>
  friend class IntrusiveList;

  Instant deadline_;
  std::uint64_t tick_ = 0;  // in which it fires
  Callback callback_;
  void* context_;
};

class TimerWheel {
 public:
  /// The resolution: 2^18 ns, about 0.26 ms.
  static constexpr int kTickShift = 18;

  explicit TimerWheel(Instant start);

  /// Arms, or moves, `timer`. A deadline in the past fires on the next advance(); Instant::never() disarms.
  void arm(Timer& timer, Instant deadline);

  /// Fires what is due at `now`, which never runs backwards. Callbacks may arm and disarm any timer;
  /// what they arm for the past fires on the next call. Returns how many fired.
  std::size_t advance(Instant now);

  /// When advance() is next worth calling: at or before the earliest deadline, never() when nothing is armed.
  /// A bound, not exact: it may name the turn of an upper wheel.
  [[nodiscard]] Instant next_expiry() const;

 private:
  static constexpr int kSlotBits = 8;
  static constexpr int kLevels = 5;  // 40 bits of ticks: 9 years; later deadlines wait in the last slot
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
  using Slot = IntrusiveList<Timer>;

  void place(Timer& timer);
  void cascade(int level);

  std::uint64_t tick_;      // the tick up to which everything has fired
  std::uint64_t earliest_;  // what is armed now fires in this tick or later: one that this call of advance() does not reach
  std::array<std::array<Slot, kSlots>, kLevels> levels_;
};

}  // namespace millrace
