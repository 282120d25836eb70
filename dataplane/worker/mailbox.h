// What threads of the agent ask of a worker and the worker answers on its own core. The asker waits for a bounded time, the
// worker never: it looks once a turn, one relaxed load when nobody asks.
//
//   asker:  letter (room for the answer included) -> post() -> wait_until(kDone) | abandon()
//   worker: for_each() -> serve, over as many turns as it takes -> finish()
//
// A letter is the asker's until it is posted, the worker's until it is done, then the asker's again. The mailbox keeps it alive
// in between, so that an asker may go away at any time; the worker only borrows it and frees nothing.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/report/capture.h"
#include "dataplane/report/connection_info.h"

namespace millrace::worker {

/// Which connections are there? Done when all were looked at. The copies are taken in several turns while packets come and go:
/// each entry is true for one moment, all together for none; what lasts over the whole walk is seen exactly once
/// (tcp::Stack::walk).
struct ConnectionQuery {
  ConnectionQuery(const report::ConnectionFilter& wanted, std::size_t limit) : filter(wanted), found(limit) {}

  const report::ConnectionFilter filter;
  std::vector<report::ConnectionInfo> found;  ///< as many as the answer may have
  std::size_t count = 0;                      ///< of them are filled in
  std::uint64_t left_out = 0;                 ///< matched, but there was no room
  std::size_t position = 0;                   // of the walk
};

/// Copies frames to the ring until it is abandoned. Done before that when the worker has no place for another.
struct Capture {
  explicit Capture(report::CaptureOrder wanted, std::size_t ring_bytes = limits::kCaptureRingBytes)
      : order(std::move(wanted)), ring(ring_bytes) {}

  const report::CaptureOrder order;
  report::CaptureRing ring;
};

using Request = std::variant<ConnectionQuery, Capture>;

class Letter {
 public:
  enum class State : std::uint8_t { kPosted, kTaken, kDone };

  template <typename T, typename... Args>
  explicit Letter(std::in_place_type_t<T> type, Args&&... args) : request(type, std::forward<Args>(args)...) {}

  [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }
  /// Asker: waits until the letter is at least in `state`; false when that takes longer than `limit`.
  [[nodiscard]] bool wait_for(State state, std::chrono::milliseconds limit) const;
  /// Asker: the answer does not matter any more; the worker ends it in its next turn.
  void abandon() { abandoned_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool abandoned() const { return abandoned_.load(std::memory_order_relaxed); }

  Request request;

 private:
  friend class Mailbox;
  std::atomic<State> state_{State::kPosted};
  std::atomic<bool> abandoned_{false};
};

class Mailbox {
 public:
  /// Any thread. False when there are limits::kMailboxLetters already: the worker is stuck, or many ask at once.
  [[nodiscard]] bool post(std::shared_ptr<Letter> letter);

  /// Worker: there is a letter that is not done.
  [[nodiscard]] bool has_letters() const { return letters_.load(std::memory_order_relaxed) > 0; }
  /// Worker: calls serve(Letter&) for each letter; a letter for which it returns true is done and may be gone afterwards.
  template <typename Serve>
  void for_each(Serve&& serve) {
    for (std::atomic<Letter*>& slot : slots_) {
      Letter* letter = slot.load(std::memory_order_acquire);
      if (letter == nullptr) continue;
      if (letter->state_.load(std::memory_order_relaxed) == Letter::State::kPosted) {
        letter->state_.store(Letter::State::kTaken, std::memory_order_release);
      }
      if (!serve(*letter)) continue;
      letter->state_.store(Letter::State::kDone, std::memory_order_release);
      letters_.fetch_sub(1, std::memory_order_relaxed);
      slot.store(nullptr, std::memory_order_release);
    }
  }

 private:
  std::atomic<std::uint32_t> letters_{0};
  std::array<std::atomic<Letter*>, limits::kMailboxLetters> slots_{};  // null: free, or done
  std::mutex askers_;
  std::array<std::shared_ptr<Letter>, limits::kMailboxLetters> kept_;  // askers_: what stands, or stood, in slots_
};

}  // namespace millrace::worker
