// A whole gateway between a host of clients and some origins, under faults: everything about a run is drawn from its seed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nic/packet.h"
#include "tests/simulation/findings.h"
#include "tests/simulation/gateway.h"
#include "tests/simulation/http_program.h"
#include "tests/simulation/link.h"

namespace millrace::sim {

struct GatewayScenario {
  std::uint64_t seed = 0;
  bool v6 = false;
  std::size_t origins = 1;
  std::vector<LinkConfig> links;  ///< of the clients, then of each origin: the same both ways
  std::vector<RequestPlan> requests;
  struct Client {
    std::vector<std::uint64_t> requests;
    Duration start = {};
    Duration read_pause = {};
  };
  std::vector<Client> clients;
  nic::TxOffloads tx = {};  ///< of every port
  std::uint16_t workers = 1;
  Spread spread = Spread::kOneQueue;
  std::size_t packets = 8'192;
  std::shared_ptr<const config::RetryPolicy> retry = {};  ///< null: none
  bool hedged = false;
  bool mirrored = false;
  bool dead_endpoint = false;  ///< one more, where nobody listens
  bool limited = false;        ///< `breakers` are small
  config::CircuitBreakers breakers = {};
  std::optional<config::OutlierDetection> outlier_detection = {};
  std::shared_ptr<const config::HealthCheck> health_check = {};
  bool mix_up_answers = false;  ///< a fault for tests of the oracle
  /// For tests of the oracle: what it believes of the configuration, so that a gateway that keeps to the true one is wrong.
  std::shared_ptr<const config::RetryPolicy> believed_retry = {};
  std::optional<config::CircuitBreakers> believed_breakers = {};
  std::optional<config::OutlierDetection> believed_detection = {};

  enum class Fault : std::uint8_t { kPause, kCrash, kHog, kRefuse };
  struct Event {
    Duration at;
    Fault fault = Fault::kPause;
    std::size_t node = 0;  ///< 0: a worker of the gateway, 1: the clients' host, 2 and on: origins. The gateway does not crash
    Duration time = {};
    std::size_t left = 0;  ///< kHog, of the gateway: packets left
  };
  std::vector<Event> events;

  [[nodiscard]] static GatewayScenario draw(std::uint64_t seed);
  [[nodiscard]] bool may_break() const;
  [[nodiscard]] bool has(Fault fault) const;
  [[nodiscard]] bool has_high_priority() const;
  [[nodiscard]] bool limits_tries() const { return retry != nullptr && retry->per_try_timeout > Duration(); }
  [[nodiscard]] std::string describe() const;
};

struct GatewayOutcome {
  Findings findings;
  std::uint64_t frames = 0;
  std::size_t answered = 0;
  std::size_t errors = 0;  ///< 5xx, broken or abandoned
  Duration time;
};

[[nodiscard]] GatewayOutcome run(const GatewayScenario& scenario, bool trace = false);

}  // namespace millrace::sim
