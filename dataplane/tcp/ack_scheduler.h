// When we acknowledge: at once for every second full segment and for what arrives out of order, else after 40 ms or with the next
// segment that we send anyway (RFC 9293 3.8.6.3, RFC 5681 4.2).
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace::tcp {

class AckScheduler {
 public:
  static constexpr Duration kDelay = Duration::milliseconds(40);
  static constexpr std::uint32_t kMaxDuplicates = 8;  ///< owed at a time: a burst of strays does not become a burst of ACKs

  void on_in_order(std::size_t bytes, std::uint32_t mss, Instant now) {
    waiting_bytes_ += static_cast<std::uint32_t>(bytes);
    if (waiting_bytes_ >= 2 * mss) due_now_ = true;
    if (deadline_.is_never()) deadline_ = now + kDelay;
  }
  /// One duplicate ACK for each: the peer counts them.
  void on_out_of_order() {
    due_now_ = true;
    if (duplicates_ < kMaxDuplicates) ++duplicates_;
  }
  void request_now() { due_now_ = true; }
  [[nodiscard]] bool due(Instant now) const { return due_now_ || deadline_ <= now; }
  [[nodiscard]] Instant deadline() const { return due_now_ ? Instant() : deadline_; }
  /// A segment with the current rcv_nxt goes out; `pure` when it carries nothing else (only those count as duplicates).
  void on_sent(bool pure) {
    if (pure && duplicates_ > 1) {
      --duplicates_;
      return;
    }
    duplicates_ = waiting_bytes_ = 0;
    due_now_ = false;
    deadline_ = Instant::never();
  }

 private:
  Instant deadline_ = Instant::never();
  std::uint32_t waiting_bytes_ = 0;
  std::uint32_t duplicates_ = 0;
  bool due_now_ = false;
};

}  // namespace millrace::tcp
