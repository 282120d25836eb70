// Runs simulations for a time or over a range of seeds, and ends with status 1 when an oracle complained.
//   simulate --seeds A..B | --hours N   [--trace]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "tests/simulation/seeds.h"

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
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  for (std::uint64_t seed = options.first; seed <= options.last; ++seed) {
    if (options.hours > 0 && std::chrono::duration<double, std::ratio<3600>>(Clock::now() - start).count() >= options.hours)
      break;
    const Clock::time_point began = Clock::now();
    const millrace::sim::SeedResult result = millrace::sim::run_seed(seed, options.trace);
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    ++runs;
    frames += result.frames;
    good += result.good;
    bad += result.bad;
    if (seconds > 2)
      std::printf("slow: %.1f s, %llu frames: %s\n", seconds, static_cast<unsigned long long>(result.frames),
                  result.scenario.c_str());
    if (result.findings.empty()) continue;
    ++failed;
    std::printf("FAILED MR_SEED=%llu\n%s\n%s", static_cast<unsigned long long>(seed), result.scenario.c_str(),
                result.findings.render().c_str());
    std::fflush(stdout);
  }
  std::printf("%llu runs, %llu failed; %llu frames, %llu ends or requests good, %llu broken\n",
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(failed),
              static_cast<unsigned long long>(frames), static_cast<unsigned long long>(good),
              static_cast<unsigned long long>(bad));
  return failed == 0 ? 0 : 1;
}
