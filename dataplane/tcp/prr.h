// Proportional rate reduction (RFC 6937): spreads the reduction of a recovery over its round trip, and never sends more than
// what arrives calls for. Slow-start reduction bound where the pipe has run dry below ssthresh.
#pragma once

#include <algorithm>
#include <cstdint>

namespace millrace::tcp {

class Prr {
 public:
  void start(std::uint32_t flight) {
    flight_ = std::max(flight, 1u);
    delivered_ = sent_ = 0;
  }
  void on_sent(std::uint32_t bytes) { sent_ += bytes; }

  /// The window after an acknowledgement that says that `delivered` more bytes arrived; `progress`: snd_una moved, and no
  /// further loss was found.
  [[nodiscard]] std::uint32_t window(std::uint32_t delivered, std::uint32_t pipe, std::uint32_t ssthresh, std::uint32_t mss,
                                     bool progress) {
    delivered_ += delivered;
    std::uint64_t quota = 0;
    if (pipe > ssthresh) {
      const std::uint64_t due = (std::uint64_t{delivered_} * ssthresh + flight_ - 1) / flight_;
      quota = due > sent_ ? due - sent_ : 0;
    } else {
      std::uint64_t limit = std::max<std::uint64_t>(delivered_ > sent_ ? delivered_ - sent_ : 0u, delivered);
      if (progress) limit += mss;
      quota = std::min<std::uint64_t>(ssthresh - pipe, limit);
    }
    if (sent_ == 0 && quota < mss) quota = mss;  // the first retransmission always goes
    // Never less than a segment: with nothing in the network no acknowledgement would come to open it again.
    return std::max(pipe + static_cast<std::uint32_t>(quota), mss);
  }

 private:
  std::uint32_t flight_ = 1;     // RecoverFS
  std::uint32_t delivered_ = 0;  // in this recovery, as sent_
  std::uint32_t sent_ = 0;
};

}  // namespace millrace::tcp
