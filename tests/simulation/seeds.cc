#include "tests/simulation/seeds.h"

#include <sys/time.h>
#include <unistd.h>
#include <csignal>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/simulation/gateway_scenario.h"
#include "tests/simulation/stream_scenario.h"

namespace millrace::sim {
namespace {

constexpr time_t kLongestSeconds = 60;
std::array<char, 64> stuck{};  // written before the alarm is set: its handler may only write it out

void on_stuck(int) {
  const std::string_view text(stuck.data());
  (void)!write(STDERR_FILENO, text.data(), text.size());
  std::abort();
}

void set_alarm(time_t seconds) {
  const itimerval timer{.it_interval = {}, .it_value = {.tv_sec = seconds, .tv_usec = 0}};
  setitimer(ITIMER_VIRTUAL, &timer, nullptr);
}

class Watchdog {
 public:
  explicit Watchdog(std::uint64_t seed) {
    std::snprintf(stuck.data(), stuck.size(), "stuck in MR_SEED=%llu\n", static_cast<unsigned long long>(seed));
    std::signal(SIGVTALRM, on_stuck);
    set_alarm(kLongestSeconds);
  }
  ~Watchdog() { set_alarm(0); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
};

}  // namespace

SeedResult run_seed(std::uint64_t seed, bool trace) {
  const Watchdog watchdog(seed);
  if (seed % 3 == 2) {
    const GatewayScenario scenario = GatewayScenario::draw(seed);
    const GatewayOutcome outcome = run(scenario, trace);
    return {scenario.describe(), outcome.findings, outcome.frames, outcome.answered, outcome.errors};
  }
  const StreamScenario scenario = StreamScenario::draw(seed);
  const StreamOutcome outcome = run(scenario, trace);
  return {scenario.describe(), outcome.findings, outcome.frames, outcome.graceful, outcome.broken};
}

}  // namespace millrace::sim
