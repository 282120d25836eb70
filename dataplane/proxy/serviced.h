// Work put off to the end of the turn. Events of transports and timers only take note and wake their connection; the queue then
// services each that was woken, once or more, one at a time. So no codec is ever entered from inside another one's event, and a
// burst of segments costs a connection one service.
//
// All of one stage come before those of the next: on its way a request takes more code than the first-level instruction cache
// holds, and what one has brought there is what the others of its stage need.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/time.h"

namespace millrace::proxy {

struct ReadyTag;

/// A connection or a request that can be woken.
class Serviced : public ListNode<ReadyTag> {
 public:
  /// In the order of service: answers are taken, passed on, and new requests read; then those requests are acted upon.
  enum class Stage : std::uint8_t { kUpstream, kDownstream, kRequest };
  static constexpr std::size_t kStages = 3;

  explicit Serviced(Stage stage) : stage_(stage) {}
  [[nodiscard]] Stage stage() const { return stage_; }
  /// Does what there is to do. May wake itself again when something is left that a next pass could do.
  virtual void service(Instant now) = 0;

 protected:
  ~Serviced() = default;

 private:
  const Stage stage_;
};

class ReadyQueue {
 public:
  void wake(Serviced& item) {
    if (!static_cast<ListNode<ReadyTag>&>(item).is_linked()) woken_[static_cast<std::size_t>(item.stage())].push_back(item);
  }

  [[nodiscard]] bool empty() const {
    return std::ranges::all_of(woken_, [](const auto& stage) { return stage.empty(); });
  }
  /// Until nobody is woken any more.
  void run(Instant now) {
    for (bool any = true; any;) {
      any = false;
      for (auto& stage : woken_) {
        now_serviced_.splice_back(stage);  // who is woken meanwhile waits for the next pass: the other stages come first
        while (Serviced* item = now_serviced_.pop_front()) {
          item->service(now);
          any = true;
        }
      }
    }
  }

 private:
  std::array<IntrusiveList<Serviced, ReadyTag>, Serviced::kStages> woken_;
  IntrusiveList<Serviced, ReadyTag> now_serviced_;
};

}  // namespace millrace::proxy
