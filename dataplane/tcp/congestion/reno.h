// NewReno congestion control: slow start, congestion avoidance, fast recovery with partial acknowledgements (RFC 5681, 6582),
// initial window of ten segments (RFC 6928), byte counting with L = 2 (RFC 3465). Decides how much may be in flight, not what is
// sent.
#pragma once

#include <cstdint>

namespace millrace::tcp {

class Reno {
 public:
  explicit Reno(std::uint32_t mss);

  /// `acked` new bytes outside of recovery, while the window, not the application, was the limit.
  void on_ack(std::uint32_t acked);
  void enter_recovery(std::uint32_t flight);
  /// One more duplicate acknowledgement during recovery: a segment has left the network.
  void on_recovery_duplicate() { cwnd_ += mss_; }
  void on_partial_ack(std::uint32_t acked);
  void leave_recovery(std::uint32_t flight);
  /// `first` is false when the same data times out again: ssthresh then stays.
  void on_timeout(std::uint32_t flight, bool first);
  /// Nothing was sent for a whole RTO (RFC 5681 4.1).
  void on_idle();
  void set_mss(std::uint32_t mss);

  [[nodiscard]] std::uint32_t cwnd() const { return cwnd_; }          ///< bytes
  [[nodiscard]] std::uint32_t ssthresh() const { return ssthresh_; }  ///< bytes

 private:
  [[nodiscard]] std::uint32_t initial_window() const;
  [[nodiscard]] std::uint32_t halved(std::uint32_t flight) const;

  std::uint32_t mss_;
  std::uint32_t cwnd_;
  std::uint32_t ssthresh_ = 0x7fff'ffff;
  std::uint32_t counted_ = 0;  // bytes acknowledged in congestion avoidance, below cwnd_
};

}  // namespace millrace::tcp
