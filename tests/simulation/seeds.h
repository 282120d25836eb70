// From a seed to a judged run: every third one is a gateway, the others are streams from stack to stack.
#pragma once

#include <cstdint>
#include <string>

#include "tests/simulation/findings.h"

namespace millrace::sim {

struct SeedResult {
  std::string scenario;  ///< for people
  Findings findings;
  std::uint64_t frames = 0;
  std::uint64_t good = 0;  ///< ends told of a graceful end, or requests answered
  std::uint64_t bad = 0;   ///< those that broke, as they may
};

/// A run that takes more than a minute of processor time goes round in circles: the program says which seed it was and aborts.
[[nodiscard]] SeedResult run_seed(std::uint64_t seed, bool trace = false);

}  // namespace millrace::sim
