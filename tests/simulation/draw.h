// What scenarios are drawn with: everything about a run comes from its seed.
#pragma once

#include <string>

#include "nic/packet.h"
#include "tests/simulation/link.h"

namespace millrace::sim {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : rng_(seed) {}

  [[nodiscard]] bool one_in(std::uint32_t n) { return rng_.below(n) == 0; }
  [[nodiscard]] std::uint32_t between(std::uint32_t least, std::uint32_t most) { return least + rng_.below(most - least + 1); }
  /// Spread over the orders of magnitude, as sizes and delays are.
  [[nodiscard]] std::uint64_t sized(std::uint32_t least_bits, std::uint32_t most_bits) {
    const std::uint32_t bits = between(least_bits, most_bits);
    return (std::uint64_t{1} << bits) + (rng_.next() & ((std::uint64_t{1} << bits) - 1));
  }
  [[nodiscard]] Duration milliseconds(std::uint32_t least, std::uint32_t most) {
    return Duration::milliseconds(between(least, most));
  }
  /// Any link, faults included, but for partitions.
  [[nodiscard]] LinkConfig link();
  /// Of a port: none, or some that go together.
  [[nodiscard]] nic::TxOffloads offloads();

 private:
  Rng rng_;
};

[[nodiscard]] std::string describe(const LinkConfig& link);
[[nodiscard]] std::string describe(const nic::TxOffloads& tx);
/// Partitions that are relative to the start of a run, as the link takes them.
[[nodiscard]] LinkConfig starting_at(Instant start, LinkConfig link);

}  // namespace millrace::sim
