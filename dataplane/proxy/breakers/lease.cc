#include "dataplane/proxy/breakers/lease.h"

#include <algorithm>

#include "dataplane/base/assert.h"

namespace millrace::proxy {

using config::kUnlimited;

Lease::~Lease() {
  MR_ASSERT(used_ == 0);
  if (held_ != kUnlimited) total_.taken.fetch_sub(held_, std::memory_order_relaxed);
}

void Lease::set_limit(std::uint32_t limit, std::size_t workers) {
  limit_ = limit;
  const std::uint32_t before = held_ == kUnlimited ? 0 : held_;
  if (limit == kUnlimited) {
    total_.taken.fetch_sub(before, std::memory_order_relaxed);
    held_ = keep_ = kUnlimited;
    return;
  }
  const auto share = limit / static_cast<std::uint32_t>(workers * kExactBelow);
  lot_ = std::min(1 + share, kLargestLot);
  keep_ = 2 * (lot_ - 1);
  held_ = used_;
  total_.taken.fetch_add(held_ - before, std::memory_order_relaxed);  // which may be less: it wraps
}

// The count says nothing about any other memory, so nothing has to be ordered by it.
bool Lease::refill(std::uint32_t limit) {
  std::uint32_t taken = total_.taken.load(std::memory_order_relaxed);
  std::uint32_t lot = 0;
  do {
    if (taken >= limit) return false;
    lot = std::min(lot_, limit - taken);
  } while (!total_.taken.compare_exchange_weak(taken, taken + lot, std::memory_order_relaxed));
  held_ += lot;
  return true;
}

void Lease::force() {
  if (used_ >= held_) {
    total_.taken.fetch_add(1, std::memory_order_relaxed);
    ++held_;
  }
  ++used_;
}

// A lot less, and not all of it: who goes to and fro at the edge of a lot must not write the total each time.
void Lease::give_back() {
  held_ -= lot_;
  total_.taken.fetch_sub(lot_, std::memory_order_relaxed);
}

}  // namespace millrace::proxy
