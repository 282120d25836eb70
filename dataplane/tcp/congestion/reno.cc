#include "dataplane/tcp/congestion/reno.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

constexpr std::uint32_t kMaxCwnd = 1u << 30;

}  // namespace

Reno::Reno(std::uint32_t mss) : mss_(mss), cwnd_(initial_window()) {}

std::uint32_t Reno::initial_window() const { return std::min(10 * mss_, std::max(2 * mss_, 14'600u)); }

std::uint32_t Reno::halved(std::uint32_t flight) const { return std::max(flight / 2, 2 * mss_); }

void Reno::on_ack(std::uint32_t acked) {
  if (cwnd_ < ssthresh_) {
    cwnd_ = std::min(kMaxCwnd, cwnd_ + std::min(acked, 2 * mss_));
    return;
  }
  counted_ += acked;
  if (counted_ >= cwnd_) {
    counted_ -= cwnd_;
    cwnd_ = std::min(kMaxCwnd, cwnd_ + mss_);
  }
}

void Reno::enter_recovery(std::uint32_t flight) {
  ssthresh_ = halved(flight);
  cwnd_ = ssthresh_ + 3 * mss_;
  counted_ = 0;
}

void Reno::on_partial_ack(std::uint32_t acked) {
  cwnd_ -= std::min(cwnd_, acked);
  if (acked >= mss_) cwnd_ += mss_;
  cwnd_ = std::max(cwnd_, mss_);
}

void Reno::leave_recovery(std::uint32_t flight) { cwnd_ = std::min(ssthresh_, std::max(flight, mss_) + mss_); }

void Reno::on_timeout(std::uint32_t flight, bool first) {
  if (first) ssthresh_ = halved(flight);
  cwnd_ = mss_;
  counted_ = 0;
}

void Reno::on_idle() { cwnd_ = std::min(cwnd_, initial_window()); }

void Reno::set_mss(std::uint32_t mss) {
  mss_ = mss;
  cwnd_ = std::max(cwnd_, mss_);
}

}  // namespace millrace::tcp
