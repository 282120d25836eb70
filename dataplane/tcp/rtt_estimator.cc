#include "dataplane/tcp/rtt_estimator.h"

#include <algorithm>

namespace millrace::tcp {

void RttEstimator::sample(Duration rtt) {
  rtt = std::max(rtt, Duration());
  if (!has_sample_) {
    has_sample_ = true;
    srtt_ = rtt;
    rttvar_ = rtt / 2;
    return;
  }
  const Duration error = rtt > srtt_ ? rtt - srtt_ : srtt_ - rtt;
  rttvar_ = (rttvar_ * 3 + error) / 4;
  srtt_ = (srtt_ * 7 + rtt) / 8;
}

void RttEstimator::back_off() {
  if (backoff_ < 16) ++backoff_;
}

Duration RttEstimator::rto() const {
  Duration base = kInitialRto;
  if (has_sample_) base = std::max(kMinRto, srtt_ + std::max(kGranularity, rttvar_ * 4));
  return std::min(kMaxRto, base * (std::int64_t{1} << backoff_));
}

}  // namespace millrace::tcp
