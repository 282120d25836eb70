// One worker's share of a count that all workers together must keep below a limit. A worker takes units from the shared total in
// small lots and keeps what it does not use at the moment, so that what comes and goes all the time writes no shared line.
//
//   shared total:  |--- used by A ---|- kept by A -|-- used by B --|- kept by B -|   <= limit, but for what was forced
//
// The total never exceeds the limit (but see force()), so the gateway never does. It may be reached early: while the other
// workers keep up to slack() units each. All slack together is at most an eighth of the limit; limits below kExactBelow units for
// each worker are exact, since there a lot is one unit and nothing is kept. config::kUnlimited takes nothing of the total. The
// lease is one worker's; the total is everybody's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "config/model/circuit_breakers.h"
#include "dataplane/report/breakers.h"

namespace millrace::proxy {

class Lease {
 public:
  /// Limits below so many units for each worker are exact.
  static constexpr std::uint32_t kExactBelow = 16;
  static constexpr std::uint32_t kLargestLot = 64;

  /// `total` outlives the lease. Unlimited until set_limit().
  explicit Lease(report::SharedCount& total) : total_(total) {}
  /// Nothing may be in use.
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  /// `workers` share the total. What is in use stays in use, even where that is more than the limit now.
  void set_limit(std::uint32_t limit, std::size_t workers);

  /// One unit; false when the limit is reached.
  [[nodiscard]] bool take() { return take_below(limit_); }
  /// The same, for a limit of the moment. It is kept only where set_limit() was told one that is exact.
  [[nodiscard]] bool take_below(std::uint32_t limit) {
    if (used_ >= held_ && !refill(limit)) return false;
    ++used_;
    return true;
  }
  /// One unit, whatever the limit says.
  void force();
  /// Gives one unit back.
  void release() {
    --used_;
    if (held_ - used_ > keep_) give_back();
  }

  [[nodiscard]] std::uint32_t used() const { return used_; }
  /// What it may keep unused at most.
  [[nodiscard]] std::uint32_t slack() const { return keep_; }

 private:
  [[nodiscard]] bool refill(std::uint32_t limit);
  void give_back();

  report::SharedCount& total_;
  std::uint32_t limit_ = config::kUnlimited;
  std::uint32_t lot_ = 1;
  std::uint32_t used_ = 0;
  std::uint32_t held_ = config::kUnlimited;  // of the total, used_ included; unlimited: nothing is
  std::uint32_t keep_ = config::kUnlimited;
};

}  // namespace millrace::proxy
