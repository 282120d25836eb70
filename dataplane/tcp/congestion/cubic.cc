#include "dataplane/tcp/congestion/cubic.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

// C = 0.4 segments/s^3, beta = 0.7 (RFC 9438 5).
constexpr std::uint32_t kBetaPercent = 70;
constexpr std::int64_t kLongestMilliseconds = 1'000'000;  // its cube fits

std::uint32_t cube_root(std::uint64_t value) {
  std::uint64_t low = 0;
  std::uint64_t high = 2'000'000;  // its cube is above any value that comes here
  while (low < high) {
    const std::uint64_t middle = (low + high + 1) / 2;
    if (middle * middle * middle <= value) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return static_cast<std::uint32_t>(low);
}

}  // namespace

std::uint32_t Cubic::on_congestion(const PathView& path) {
  epoch_ = Instant::never();
  prior_cwnd_ = path.cwnd;
  // Fast convergence (4.7): a window that fell short of the last one makes room for newcomers.
  w_max_ = path.cwnd < w_max_ ? static_cast<std::uint32_t>(std::uint64_t{path.cwnd} * (100 + kBetaPercent) / 200) : path.cwnd;
  const std::uint64_t reduced = std::uint64_t{std::min(path.flight, path.cwnd)} * kBetaPercent / 100;
  return std::max(static_cast<std::uint32_t>(reduced), 2 * path.mss);
}

void Cubic::start_epoch(const PathView& path) {
  epoch_ = path.now;
  reno_ = path.cwnd;
  reno_rest_ = rest_ = 0;
  if (w_max_ <= path.cwnd) {
    origin_ = path.cwnd;
    k_milliseconds_ = 0;
  } else {
    origin_ = w_max_;
    // K = cbrt((W_max - cwnd) / C), windows in segments: milliseconds^3 are 1e9 s^3, and 1/C is 2.5.
    k_milliseconds_ = cube_root(std::uint64_t{w_max_ - path.cwnd} * 2'500'000'000 / path.mss);
  }
}

// W_cubic(t) = C * (t - K)^3 + W_max.
std::int64_t Cubic::window_at(Duration time, std::uint32_t mss) const {
  const std::int64_t t = std::clamp(time.to_milliseconds() - k_milliseconds_, -kLongestMilliseconds, kLongestMilliseconds);
  return std::int64_t{origin_} + t * t * t / 2'500 * mss / 1'000'000;
}

std::uint32_t Cubic::grow(const PathView& path, std::uint32_t acked) {
  if (epoch_.is_never()) start_epoch(path);
  // Where Reno would be (4.3): alpha = 3 * (1 - beta) / (1 + beta) = 9/17 segments a round trip, 1 from the old window on.
  const std::uint64_t segments = reno_ < prior_cwnd_ ? 9 : 17;
  const std::uint64_t reno_growth =
      (std::uint64_t{acked} * path.mss * segments << 16) / (std::uint64_t{path.cwnd} * 17) + reno_rest_;
  reno_ += static_cast<std::uint32_t>(reno_growth >> 16);
  reno_rest_ = static_cast<std::uint32_t>(reno_growth & 0xffff);

  const std::int64_t wanted = window_at(path.now - epoch_ + path.srtt, path.mss);
  const std::int64_t target = std::clamp<std::int64_t>(wanted, path.cwnd, std::int64_t{path.cwnd} * 3 / 2);
  if (reno_ > path.cwnd && target < reno_) return reno_ - path.cwnd;
  const std::uint64_t growth = (static_cast<std::uint64_t>(target - path.cwnd) * acked << 16) / path.cwnd + rest_;
  rest_ = static_cast<std::uint32_t>(growth & 0xffff);
  return static_cast<std::uint32_t>(growth >> 16);
}

}  // namespace millrace::tcp
