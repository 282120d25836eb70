// CUBIC (RFC 9438): after a loss the window grows along a cubic curve of the time since then, flat where the loss was; never
// slower than Reno would. In integers, so that simulations repeat on every machine.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/tcp/congestion/path_view.h"

namespace millrace::tcp {

class Cubic {
 public:
  [[nodiscard]] std::uint32_t on_congestion(const PathView& path);
  [[nodiscard]] std::uint32_t grow(const PathView& path, std::uint32_t acked);
  void on_timeout() { epoch_ = Instant::never(); }
  /// Time in which nothing was sent does not count (4.2: the epoch moves on).
  void on_idle(Duration idle) {
    if (!epoch_.is_never()) epoch_ = epoch_ + idle;
  }

 private:
  void start_epoch(const PathView& path);
  [[nodiscard]] std::int64_t window_at(Duration time, std::uint32_t mss) const;

  Instant epoch_ = Instant::never();  // when the present congestion avoidance began
  std::uint32_t w_max_ = 0;           // bytes: the window at the last congestion, less with fast convergence
  std::uint32_t prior_cwnd_ = 0;      // bytes: the window at the last congestion
  std::uint32_t origin_ = 0;          // bytes: the plateau of the curve
  std::uint32_t k_milliseconds_ = 0;  // until the curve reaches it
  std::uint32_t reno_ = 0;            // bytes: where Reno would be (W_est)
  std::uint32_t reno_rest_ = 0;       // its growth below a byte, in 1/2^16
  std::uint32_t rest_ = 0;            // ours
};

}  // namespace millrace::tcp
