// What the path takes, found out without its help (RFC 4821): when full segments time out again and again while smaller ones may
// pass, the size is lowered; later, larger ones are tried, one segment at a time. Some networks drop what is too large and say
// nothing (black holes), or their ICMP messages do not reach us.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "dataplane/base/time.h"
#include "dataplane/tcp/seq_num.h"

namespace millrace::tcp {

class MtuSearch {
 public:
  /// `mss` is what the two ends agreed upon, `least` what every path takes (RFC 1122, 8200).
  void start(std::uint32_t mss, std::uint32_t least) {
    ceiling_ = high_ = mss;
    least_ = std::min(mss, least);
  }

  /// The `timeouts`-th timeout in a row of segments of `mss` bytes: the size to go on with, if it is to change.
  [[nodiscard]] std::optional<std::uint32_t> on_timeout(std::uint32_t timeouts, std::uint32_t mss, Instant now) {
    if (timeouts < kTimeouts || mss <= least_) return std::nullopt;
    next_at_ = now + kSoon;  // it may have been an outage: the old size is the first to be tried
    probing_ = false;
    return timeouts < kTimeouts + 2 && kBase < mss ? std::max(least_, kBase) : least_;
  }
  /// The path said what it takes: larger ones are not tried for a while.
  void on_told(std::uint32_t mss, Instant now) {
    high_ = mss;
    probing_ = false;
    next_at_ = now + kLater;
  }

  /// The size of a probe that is due, more than `mss`; 0: none.
  [[nodiscard]] std::uint32_t candidate(std::uint32_t mss, Instant now) {
    if (now < next_at_ || probing_ || mss >= ceiling_) return 0;
    if (high_ <= mss + kPrecision) high_ = ceiling_;  // a new search
    return failed_ ? (mss + high_ + 1) / 2 : high_;
  }
  void on_sent(SeqNum begin, SeqNum end) {
    probing_ = true;
    begin_ = begin;
    end_ = end;
  }
  [[nodiscard]] bool probing() const { return probing_; }
  [[nodiscard]] SeqNum begin() const { return begin_; }
  [[nodiscard]] SeqNum end() const { return end_; }
  /// The probe arrived: returns the size that is now known to pass.
  [[nodiscard]] std::uint32_t on_arrived(Instant now) {
    const std::uint32_t size = (end_ - begin_).count();
    probing_ = false;
    settle(size, now);
    return size;
  }
  void on_lost(std::uint32_t mss, Instant now) {
    probing_ = false;
    failed_ = true;
    high_ = (end_ - begin_).count() - 1;
    settle(mss, now);
  }

 private:
  static constexpr std::uint32_t kTimeouts = 3;
  static constexpr std::uint32_t kBase = 1'024;  // RFC 4821 7.2
  static constexpr std::uint32_t kPrecision = 32;
  static constexpr Duration kSoon = Duration::seconds(1);
  static constexpr Duration kLater = Duration::seconds(600);  // RFC 1191 6.3, 8201 4

  void settle(std::uint32_t mss, Instant now) {
    const bool found = high_ <= mss + kPrecision;
    next_at_ = now + (found ? kLater : kSoon);
    if (found) failed_ = false;
  }

  Instant next_at_ = Instant::never();
  SeqNum begin_;
  SeqNum end_;
  std::uint32_t ceiling_ = 0;
  std::uint32_t high_ = 0;  // more is known not to pass
  std::uint32_t least_ = 0;
  bool probing_ = false;
  bool failed_ = false;  // in this search
};

}  // namespace millrace::tcp
