// Runs simulations for a time or over a range of seeds, and ends with status 1 when an oracle complained.
//   simulate --seeds A..B | --hours N   [--trace]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "tests/simulation/stream_scenario.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  double hours = 0;
  bool trace = false;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--trace") {
      options.trace = true;
    } else if (argument == "--hours" && i + 1 < argc) {
      options.hours = std::strtod(argv[++i], nullptr);
    } else if (argument == "--seeds" && i + 1 < argc) {
      unsigned long long first = 0;
      unsigned long long last = 0;
      if (std::sscanf(argv[++i], "%llu..%llu", &first, &last) != 2 || first > last) return false;
      options.first = first;
      options.last = last;
    } else {
      return false;
    }
  }
  return (options.hours > 0) != (options.last > 0);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: simulate --seeds A..B | --hours N   [--trace]\n");
    return 2;
  }
  const Clock::time_point start = Clock::now();
  if (options.hours > 0) {
    options.first = std::random_device{}();
    options.last = ~std::uint64_t{0};
  }
  std::uint64_t runs = 0;
  std::uint64_t failed = 0;
  std::uint64_t frames = 0;
  std::uint64_t graceful = 0;
  std::uint64_t broken = 0;
  for (std::uint64_t seed = options.first; seed <= options.last; ++seed) {
    if (options.hours > 0 && std::chrono::duration<double, std::ratio<3600>>(Clock::now() - start).count() >= options.hours)
      break;
    const auto scenario = millrace::sim::StreamScenario::draw(seed);
    const Clock::time_point began = Clock::now();
    const millrace::sim::StreamOutcome outcome = millrace::sim::run(scenario, options.trace);
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    ++runs;
    frames += outcome.frames;
    graceful += outcome.graceful;
    broken += outcome.broken;
    if (seconds > 2)
      std::printf("slow: %.1f s, %llu frames: %s\n", seconds, static_cast<unsigned long long>(outcome.frames),
                  scenario.describe().c_str());
    if (outcome.findings.empty()) continue;
    ++failed;
    std::printf("FAILED MR_SEED=%llu\n%s\n%s", static_cast<unsigned long long>(seed), scenario.describe().c_str(),
                outcome.findings.render().c_str());
    std::fflush(stdout);
  }
  std::printf("%llu runs, %llu failed; %llu frames, %llu ends graceful, %llu broken\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(failed), static_cast<unsigned long long>(frames),
              static_cast<unsigned long long>(graceful), static_cast<unsigned long long>(broken));
  return failed == 0 ? 0 : 1;
}
