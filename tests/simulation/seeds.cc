#include "tests/simulation/seeds.h"

#include "tests/simulation/gateway_scenario.h"
#include "tests/simulation/stream_scenario.h"

namespace millrace::sim {

SeedResult run_seed(std::uint64_t seed, bool trace) {
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
