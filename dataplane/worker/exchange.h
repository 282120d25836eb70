// Between workers: what one received and another owns. A ring from each worker to each other; a worker that may sleep is woken by
// whoever puts something into its rings.
//
//   put() ... put() -> publish(), once a burst            take(), once a turn
//
// This is the slow way. Where a device steers by the same rule (PortInfo::rss), nearly nothing comes this way.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/base/spsc_ring.h"
#include "dataplane/ip/ip_layer.h"
#include "nic/packet.h"

namespace millrace::worker {

/// A copy of a frame that every worker's internet layer has to know of (ip/link_control.h).
struct Overheard {
  nic::Packet frame;
};
using Parcel = std::variant<std::monostate, ip::Datagram, ip::TransportError, Overheard>;

class Exchange {
 public:
  /// Outlives the workers' threads, and goes before the pools of what may lie in the rings.
  explicit Exchange(std::size_t workers);

  [[nodiscard]] std::size_t workers() const { return members_.size(); }
  /// Called by the thread of another worker when `worker` sleeps and there is something for it. Before the workers run.
  void set_waker(std::size_t worker, std::function<void()> wake) { members_[worker].wake = std::move(wake); }

  /// False, with the parcel untouched, when the ring is full. `from`'s thread.
  [[nodiscard]] bool put(std::size_t from, std::size_t to, Parcel&& parcel);
  /// Everything that `from` has put may be taken now.
  void publish(std::size_t from);

  /// Calls deliver(Parcel&&) for what has come, at most about `most` times; returns how often. `to`'s thread.
  template <typename Deliver>
  std::size_t take(std::size_t to, std::size_t most, Deliver&& deliver) {
    std::size_t taken = 0;
    for (std::size_t from = 0; from < members_.size(); ++from) {
      if (from == to) continue;
      SpscRing<Parcel>& ring = this->ring(from, to);
      const std::size_t share = taken + std::max<std::size_t>(most / members_.size(), 1);
      for (Parcel* parcel = ring.front(); parcel != nullptr && taken < share; parcel = ring.front(), ++taken) {
        deliver(std::move(*parcel));
        ring.drop_front();
      }
    }
    return taken;
  }

  /// Before `worker` sleeps: false when something has come, then it must not. Otherwise it is woken from now on, until wake_up().
  [[nodiscard]] bool may_sleep(std::size_t worker);
  /// `worker` is awake again.
  void wake_up(std::size_t worker) { members_[worker].asleep.store(false, std::memory_order_relaxed); }

 private:
  struct alignas(64) Member {
    std::atomic<bool> asleep{false};
    std::function<void()> wake;
    std::vector<std::unique_ptr<SpscRing<Parcel>>> to;  // each other worker; none to itself
  };
  [[nodiscard]] SpscRing<Parcel>& ring(std::size_t from, std::size_t to) { return *members_[from].to[to]; }

  std::vector<Member> members_;
};

}  // namespace millrace::worker
