// NewReno's windows (RFC 5681): half of what was in flight at a loss, one segment more in a round trip.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/tcp/congestion/path_view.h"

namespace millrace::tcp {

class NewReno {
 public:
  [[nodiscard]] std::uint32_t on_congestion(const PathView& path) {
    counted_ = 0;
    return std::max(path.flight / 2, 2 * path.mss);
  }
  [[nodiscard]] std::uint32_t grow(const PathView& path, std::uint32_t acked) {
    counted_ += acked;
    if (counted_ < path.cwnd) return 0;
    counted_ -= path.cwnd;
    counted_ = std::min(counted_, path.cwnd);
    return path.mss;
  }
  void on_timeout() { counted_ = 0; }
  void on_idle(Duration) {}

 private:
  std::uint32_t counted_ = 0;  // bytes acknowledged since the window last grew
};

}  // namespace millrace::tcp
