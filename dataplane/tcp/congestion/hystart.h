// HyStart++ (RFC 9406): leaves slow start when round trips begin to take longer, before the queue overflows; conservatively, so
// that a jump by chance does not end it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/tcp/seq_num.h"

namespace millrace::tcp {

class HyStart {
 public:
  /// A round-trip sample in slow start. Rounds end when `una` passes what was `nxt` at their start. True when slow start is over.
  [[nodiscard]] bool on_sample(Duration rtt, SeqNum una, SeqNum nxt) {
    if (!started_ || round_end_ <= una) {
      if (started_ && in_css_ && ++css_rounds_ >= kCssRounds) return true;
      last_round_min_ = started_ ? round_min_ : Duration::infinite();
      round_min_ = Duration::infinite();
      samples_ = 0;
      round_end_ = nxt;
      started_ = true;
    }
    round_min_ = std::min(round_min_, rtt);
    if (samples_ < kSamples) ++samples_;
    if (samples_ < kSamples || last_round_min_.is_infinite()) return false;
    if (in_css_) {
      if (round_min_ < css_baseline_) in_css_ = false;  // it was chance: full speed again
    } else if (round_min_ >= last_round_min_ + std::clamp(last_round_min_ / 8, kMinThreshold, kMaxThreshold)) {
      css_baseline_ = round_min_;
      in_css_ = true;
      css_rounds_ = 0;
    }
    return false;
  }
  /// What slow start grows by is divided by this.
  [[nodiscard]] std::uint32_t divisor() const { return in_css_ ? 4 : 1; }
  void restart() { *this = HyStart(); }

 private:
  static constexpr std::uint32_t kSamples = 8;
  static constexpr std::uint32_t kCssRounds = 5;
  static constexpr Duration kMinThreshold = Duration::milliseconds(4);
  static constexpr Duration kMaxThreshold = Duration::milliseconds(16);

  Duration round_min_ = Duration::infinite();
  Duration last_round_min_ = Duration::infinite();
  Duration css_baseline_ = Duration::infinite();
  SeqNum round_end_;
  std::uint8_t samples_ = 0;
  std::uint8_t css_rounds_ = 0;
  bool started_ = false;
  bool in_css_ = false;
};

}  // namespace millrace::tcp
