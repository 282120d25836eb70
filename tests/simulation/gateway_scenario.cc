#include "tests/simulation/gateway_scenario.h"

#include <algorithm>

#include "tests/simulation/audit.h"
#include "tests/simulation/breaker_oracle.h"
#include "tests/simulation/draw.h"
#include "tests/simulation/ejection_oracle.h"
#include "tests/simulation/gateway.h"
#include "tests/simulation/retry_oracle.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kUnplannedSlices = 3;
constexpr int kLooks = 3;
constexpr Duration kSlice = Duration::milliseconds(500);
constexpr Duration kLongestRun = Duration::seconds(4 * 3'600);
constexpr Duration kLongestDrain = Duration::seconds(3'600);
constexpr std::uint16_t kOriginPort = 8'000;
constexpr std::uint32_t kMany = 1'000;  // of what a limit never stops

RequestPlan draw_request(Draw& draw, std::uint32_t most_bits) {
  RequestPlan plan;
  if (!draw.one_in(3)) plan.request_bytes = draw.sized(1, most_bits);
  if (!draw.one_in(6)) plan.response_bytes = draw.sized(1, most_bits);
  plan.chunked_request = draw.one_in(4);
  plan.chunked_response = draw.one_in(4);
  plan.origin_closes = draw.one_in(10);
  plan.trickles = draw.one_in(10) && plan.response_bytes < 4'096;
  if (draw.one_in(4)) plan.origin_delay = draw.milliseconds(0, 3'000);
  if (draw.one_in(3)) plan.think = draw.milliseconds(0, 2'000);
  if (draw.one_in(20) && plan.response_bytes > 0) plan.abandon_at = plan.response_bytes / 2;
  return plan;
}

void draw_events(Draw& draw, GatewayScenario& scenario) {
  using Fault = GatewayScenario::Fault;
  const auto any_node = [&] { return draw.between(0, static_cast<std::uint32_t>(scenario.origins) + 1); };
  const auto any_host = [&] { return draw.between(1, static_cast<std::uint32_t>(scenario.origins) + 1); };
  if (draw.one_in(3)) {
    for (std::uint32_t i = draw.between(1, 8); i > 0; --i) {
      scenario.events.push_back({.at = draw.milliseconds(0, 5'000), .node = any_node(), .time = draw.milliseconds(1, 1'000)});
    }
  }
  if (draw.one_in(6)) scenario.events.push_back({.at = draw.milliseconds(10, 4'000), .fault = Fault::kCrash, .node = any_host()});
  if (draw.one_in(8)) {
    scenario.events.push_back({.at = draw.milliseconds(0, 3'000),
                               .fault = Fault::kHog,
                               .node = 0,
                               .time = draw.milliseconds(10, 5'000),
                               .left = draw.between(0, 64)});
  }
  if (draw.one_in(8)) {
    const Duration from = draw.milliseconds(0, 3'000);
    const Duration to = from + draw.milliseconds(100, 60'000);
    scenario.links[any_host() - 1].partitions.push_back({Instant() + from, Instant() + to});
  }
}

constexpr config::RetryCondition kRetryOn[] = {
    config::RetryCondition::k5xx,
    config::RetryCondition::kGatewayError,
    config::RetryCondition::kReset,
    config::RetryCondition::kResetBeforeRequest,
    config::RetryCondition::kConnectFailure,
    config::RetryCondition::kRefusedStream,
    config::RetryCondition::kRetriableStatusCodes,
};

// Some retry whatever fails, some what their conditions cover, and some nothing.
void draw_retry_policy(Draw& draw, GatewayScenario& scenario) {
  if (!draw.one_in(3)) return;
  auto policy = std::make_shared<config::RetryPolicy>();
  policy->num_retries = draw.between(1, 4);
  policy->avoid_previous_hosts = true;
  policy->host_selection_retries = 10;
  const bool whatever = draw.one_in(2);
  if (whatever) policy->conditions.add(config::RetryCondition::k5xx);
  for (const config::RetryCondition condition : kRetryOn) {
    if (!whatever && draw.one_in(4)) policy->conditions.add(condition);
  }
  policy->status_codes = {429};
  if (draw.one_in(2)) policy->status_codes.push_back(503);
  if (draw.one_in(3)) {
    policy->per_try_timeout = draw.milliseconds(200, 5'000);
    scenario.hedged = draw.one_in(2);
  }
  if (draw.one_in(2)) scenario.breakers.thresholds[0].max_retries = kMany;
  scenario.dead_endpoint = draw.one_in(3);
  scenario.retry = std::move(policy);
}

void draw_failure(Draw& draw, bool any_kind, RequestPlan& plan) {
  using Failure = RequestPlan::Failure;
  constexpr int kStatuses[] = {500, 503, 429};
  plan.failure = draw.one_in(2) ? Failure::kReset : Failure::kStatus;
  if (any_kind) plan.failure = static_cast<Failure>(draw.between(0, static_cast<std::uint32_t>(Failure::kHang)));
  if (plan.failure == Failure::kResetInBody && plan.response_bytes == 0) plan.failure = Failure::kResetInHead;
  plan.failure_status = kStatuses[draw.between(0, 2)];
  if (draw.one_in(2)) plan.failed_tries = draw.between(1, 3);
  plan.fails_early = draw.one_in(2);
}

// Failures that retries make up for must stay unseen, where it is certain that they do: few enough at a time, small enough to be
// kept, and without a limit on the time of a try, which hits good ones, too.
bool surely_hides_failures(const GatewayScenario& scenario, const RequestPlan& plan) {
  constexpr std::uint64_t kSurelyKept = 16'384;
  const std::uint32_t dead = scenario.dead_endpoint ? 1 : 0;
  if (plan.failed_tries + dead == 0) return !scenario.limits_tries();
  if (scenario.retry == nullptr || scenario.limits_tries() || plan.failed_tries + dead > scenario.retry->num_retries)
    return false;
  if (scenario.clients.size() > scenario.breakers.thresholds[0].max_retries || plan.request_bytes > kSurelyKept) return false;
  if (dead > 0 && plan.failed_tries >= scenario.origins) return false;  // all were tried, and any may be tried again
  return (plan.failed_tries == 0 || covers(*scenario.retry, plan)) &&
         (dead == 0 || covers_connect_failure(*scenario.retry, plan.failed_tries > 0));
}

void draw_failures(Draw& draw, GatewayScenario& scenario) {
  const bool fails = scenario.retry != nullptr || draw.one_in(4);
  const bool any_kind = draw.one_in(2);
  for (RequestPlan& plan : scenario.requests) {
    if (fails) draw_failure(draw, any_kind, plan);
    plan.may_fail = !surely_hides_failures(scenario, plan);
  }
}

bool origins_hang(const GatewayScenario& scenario) {
  return std::ranges::any_of(scenario.requests, [](const RequestPlan& plan) {
    return plan.failed_tries > 0 &&
           (plan.failure == RequestPlan::Failure::kHang || plan.failure == RequestPlan::Failure::kGarbage);
  });
}

config::BreakerThresholds draw_thresholds(Draw& draw) {
  config::BreakerThresholds limits;
  limits.max_connections = draw.between(1, 6);
  limits.max_pending_requests = draw.between(1, 6);
  limits.max_requests = draw.one_in(3) ? draw.between(50, 300) : draw.between(1, 6);
  limits.max_retries = draw.between(0, 3);
  if (draw.one_in(3)) limits.max_connection_pools = draw.between(1, 8);
  if (draw.one_in(2)) {
    limits.retry_budget =
        config::RetryBudget{.percent = static_cast<double>(draw.between(0, 100)), .min_concurrency = draw.between(0, 4)};
  }
  return limits;
}

// Small limits. What they refuse may be seen, and is told as such; a failure that they let nobody make up for may be seen, too,
// and where origins hang, so may waiting for too long.
void draw_limits(Draw& draw, GatewayScenario& scenario) {
  if (!draw.one_in(5)) return;
  scenario.limited = true;
  for (config::BreakerThresholds& limits : scenario.breakers.thresholds) limits = draw_thresholds(draw);
  if (draw.one_in(2)) {
    for (std::uint32_t& most : scenario.breakers.max_connections_per_endpoint) most = draw.between(1, 4);
  }
  const bool prioritised = draw.one_in(2);
  const bool hangs = origins_hang(scenario);
  const bool pools = std::ranges::any_of(scenario.breakers.thresholds, [](const config::BreakerThresholds& limits) {
    return limits.max_connection_pools != config::kUnlimited;  // what finds none is told that there is no endpoint
  });
  for (RequestPlan& plan : scenario.requests) {
    plan.high_priority = prioritised && draw.one_in(2);
    plan.may_overflow = true;
    plan.may_fail |= plan.failed_tries > 0 || scenario.dead_endpoint || hangs || pools;
  }
}

// An origin that nobody finds, in turns. What it was about is lost; other failures may be seen where it had to make up for them.
void draw_flaps(Draw& draw, GatewayScenario& scenario) {
  if (!draw.one_in(6)) return;
  const std::size_t origin = 1 + draw.between(1, static_cast<std::uint32_t>(scenario.origins));
  Duration at = draw.milliseconds(0, 2'000);
  for (std::uint32_t i = draw.between(1, 6); i > 0; --i) {
    const Duration down = draw.one_in(4) ? draw.milliseconds(2'000, 20'000) : draw.milliseconds(10, 2'000);
    scenario.events.push_back({.at = at, .fault = GatewayScenario::Fault::kRefuse, .node = origin, .time = down});
    at = at + down + draw.milliseconds(10, 2'000);
  }
  for (RequestPlan& plan : scenario.requests) plan.may_fail = true;
}

void draw_rates(Draw& draw, config::OutlierDetection& detection) {
  const auto enforcing = [&] { return draw.one_in(2) ? 100u : 0u; };
  auto& success = detection.success_rate;
  success.minimum_hosts = draw.between(1, 3);
  success.request_volume = draw.between(1, 5);
  success.stdev_factor = draw.between(0, 1'500);
  success.enforcing_percent = enforcing();
  success.enforcing_local_origin_percent = enforcing();
  auto& failures = detection.failure_percentage;
  failures.threshold = draw.between(10, 100);
  failures.minimum_hosts = draw.between(1, 3);
  failures.request_volume = draw.between(1, 5);
  failures.enforcing_percent = enforcing();
  failures.enforcing_local_origin_percent = enforcing();
}

// Endpoints that are soon ejected and soon return. Nobody sees that: of too few healthy ones all are used.
void draw_outlier_detection(Draw& draw, GatewayScenario& scenario) {
  const bool watched = draw.one_in(scenario.has(GatewayScenario::Fault::kRefuse) ? 2 : 5);
  if (watched) {
    config::OutlierDetection& detection = scenario.outlier_detection.emplace();
    for (config::ConsecutiveFailures* run :
         {&detection.consecutive_5xx, &detection.consecutive_gateway_failure, &detection.consecutive_local_origin_failure}) {
      run->count = draw.between(1, 4);
      run->enforcing_percent = draw.one_in(4) ? 0 : 100;
    }
    if (draw.one_in(2)) draw_rates(draw, detection);
    detection.interval = draw.milliseconds(100, 1'000);
    detection.base_ejection_time = draw.milliseconds(100, 2'000);
    detection.max_ejection_time = detection.base_ejection_time + draw.milliseconds(0, 5'000);
    detection.max_ejection_time_jitter = draw.milliseconds(0, 500);
    detection.max_ejection_percent = draw.between(0, 100);
    detection.always_eject_one_host = draw.one_in(2);
    detection.split_external_local_origin_errors = draw.one_in(3);
  }
}

// Of connections alone: origins know of no other requests than theirs. Of too few healthy endpoints all are used, but for those
// that do not count until their first check: before it requests fail.
void draw_health_checks(Draw& draw, GatewayScenario& scenario) {
  if (!draw.one_in(scenario.has(GatewayScenario::Fault::kRefuse) ? 2 : 4)) return;
  auto check = std::make_shared<config::HealthCheck>();
  check->timeout = draw.milliseconds(50, 2'000);
  check->interval = check->unhealthy_interval = draw.milliseconds(50, 3'000);
  check->unhealthy_edge_interval = check->healthy_edge_interval = draw.milliseconds(50, 1'000);
  check->no_traffic_interval = check->no_traffic_healthy_interval = draw.milliseconds(50, 1'000);
  check->initial_jitter = draw.milliseconds(0, 500);
  check->interval_jitter = draw.milliseconds(0, 500);
  check->unhealthy_threshold = draw.between(1, 3);
  check->healthy_threshold = draw.between(1, 3);
  check->exclude_new_endpoints = draw.one_in(2);
  check->check = config::TcpHealthCheck{};
  for (RequestPlan& plan : scenario.requests) plan.may_fail |= check->exclude_new_endpoints;
  scenario.health_check = std::move(check);
}

std::string describe_policy(const config::RetryPolicy& policy) {
  constexpr const char* kNames[] = {
      "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "refused-stream", "retriable-status-codes"};
  std::string text = std::to_string(policy.num_retries) + " retries on (";
  for (std::size_t i = 0; i < std::size(kRetryOn); ++i) {
    if (policy.conditions.has(kRetryOn[i])) text += std::string(kNames[i]) + " ";
  }
  for (const std::uint32_t status : policy.status_codes) text += std::to_string(status) + " ";
  text.back() = ')';
  if (policy.per_try_timeout > Duration())
    text += ", tries of " + std::to_string(policy.per_try_timeout.to_milliseconds()) + " ms";
  return text;
}

std::string describe_limits(const config::CircuitBreakers& breakers) {
  const auto number = [](std::uint32_t limit) { return limit == config::kUnlimited ? "all" : std::to_string(limit); };
  std::string text;
  for (std::size_t priority = 0; priority < config::kRoutingPriorities; ++priority) {
    const config::BreakerThresholds& limits = breakers.thresholds[priority];
    text += (priority == 0 ? "" : " and for high priority ") + number(limits.max_connections) + " connections, " +
            number(breakers.max_connections_per_endpoint[priority]) + " to each endpoint, " +
            number(limits.max_pending_requests) + " waiting, " + number(limits.max_requests) + " requests, " +
            number(limits.max_connection_pools) + " pools, ";
    text += limits.retry_budget ? std::to_string(static_cast<int>(limits.retry_budget->percent)) + " % or " +
                                      number(limits.retry_budget->min_concurrency) + " retries"
                                : number(limits.max_retries) + " retries";
  }
  return text;
}

// Network k lies between the gateway (.2) and one host (.1); 0 is the clients'.
IpPrefix address(const GatewayScenario& scenario, std::size_t network, int host) {
  if (scenario.v6) return *IpPrefix::parse("2001:db8:" + std::to_string(network + 1) + "::" + std::to_string(host) + "/64");
  return *IpPrefix::parse("198.18." + std::to_string(network) + "." + std::to_string(host) + "/24");
}

GatewayConfig gateway_config(const GatewayScenario& scenario) {
  GatewayConfig config;
  for (std::size_t network = 0; network <= scenario.origins; ++network) config.addresses.push_back(address(scenario, network, 2));
  for (std::size_t i = 1; i <= scenario.origins; ++i) config.endpoints.push_back({address(scenario, i, 1).address, kOriginPort});
  if (scenario.dead_endpoint) config.endpoints.push_back({address(scenario, 1, 1).address, kOriginPort + 1});
  config.retry = scenario.retry;
  config.counts_attempts = true;
  config.hedged = scenario.hedged;
  config.mirrored = scenario.mirrored;
  config.high_priority = scenario.has_high_priority();
  config.breakers = scenario.breakers;
  config.outlier_detection = scenario.outlier_detection;
  config.health_check = scenario.health_check;
  if (scenario.dead_endpoint) config.dead_endpoint = config.endpoints.back();
  const bool resets_may_be_lost = scenario.has(GatewayScenario::Fault::kRefuse);
  if (scenario.may_break() || scenario.limits_tries() || origins_hang(scenario) || resets_may_be_lost) {
    config.route_timeout = Duration::seconds(60);
    config.connect_timeout = Duration::seconds(5);
  }
  config.packets = scenario.packets;
  config.tx = scenario.tx;
  config.workers = scenario.workers;
  config.spread = scenario.spread;
  config.seed = scenario.seed;
  return config;
}

HostConfig host_config(const GatewayScenario& scenario, std::size_t network) {
  HostConfig config;
  config.name = network == 0 ? "clients" : "origin" + std::to_string(network);
  config.mac = {{2, 0, 0, 0, 2, static_cast<std::uint8_t>(network)}};
  config.addresses = {address(scenario, network, 1)};
  config.stack = small_stack();
  config.packets = scenario.packets;
  config.tx = scenario.tx;
  config.seed = scenario.seed * 16 + network;
  return config;
}

class GatewayRun {
 public:
  GatewayRun(const GatewayScenario& scenario, bool trace)
      : scenario_(scenario), network_(scenario.seed), start_(network_.now()), gateway_(network_, gateway_config(scenario)) {
    network_.set_trace(trace);
    watch_turns();
    table_.may_break = scenario.may_break();
    table_.retry = scenario.believed_retry != nullptr ? scenario.believed_retry : scenario.retry;
    table_.hedged = scenario.hedged;
    if (table_.may_break) table_.patience = Duration::seconds(400);
    for (const RequestPlan& plan : scenario.requests) table_.rows.push_back({.plan = plan});
    for (std::size_t network = 0; network <= scenario.origins; ++network) {
      hosts_.push_back(std::make_unique<Host>(network_, host_config(scenario, network)));
      const LinkConfig link = starting_at(start_, scenario.links[network]);
      network_.join(gateway_.port(network), hosts_.back()->port(), link, link);
      if (network == 0) continue;
      origins_.push_back(std::make_unique<HttpOrigin>(*hosts_.back(), table_, kOriginPort));
      if (scenario.mix_up_answers) origins_.back()->mix_up_answers();
    }
    const SocketAddress edge{address(scenario, 0, 2).address, 80};
    for (const GatewayScenario::Client& client : scenario.clients) {
      clients_.push_back(
          std::make_unique<HttpClient>(*hosts_[0], table_, edge, client.requests, client.read_pause, start_ + client.start));
    }
  }

  GatewayOutcome finish() {
    plan_actions();
    const Instant end = start_ + kLongestRun;
    std::size_t next = 0;
    while ((next < actions_.size() || !table_.over()) && network_.now() < end) {
      if (next < actions_.size() && actions_[next].first <= network_.now()) {
        actions_[next++].second();
        continue;
      }
      Instant until = std::min(end, network_.now() + kSlice);
      if (next < actions_.size()) until = std::min(until, actions_[next].first);
      network_.run_until(until, [&] { return next == actions_.size() && table_.over(); });
      audit_timers();
      gateway_.audit_ownership(table_.findings);
      gateway_.audit_health_checks(table_.findings);
      audit_absences();
    }
    return conclude();
  }

 private:
  void audit_absences() {
    for (std::size_t i = 0; i < origins_.size(); ++i) {
      if (!origins_[i]->refuses()) continue;
      const SocketAddress endpoint{address(scenario_, i + 1, 1).address, kOriginPort};
      gateway_.audit_absence(endpoint, network_.now() - origins_[i]->refuses_since(), lateness(), table_.findings);
    }
  }

  // By which workers may be late to do something.
  [[nodiscard]] Duration lateness() const {
    const bool paused =
        std::ranges::any_of(scenario_.events, [](const GatewayScenario::Event& event) { return event.node == 0; });
    return paused ? Duration::seconds(10) : Duration::milliseconds(20);
  }

  // What counts last no longer than from turn to turn.
  void watch_turns() {
    if (scenario_.limited) breakers_.emplace(gateway_.cluster(), scenario_.believed_breakers.value_or(scenario_.breakers));
    if (scenario_.outlier_detection) ejections_.emplace(gateway_.cluster(), ejection_config());
    if (!breakers_ && !ejections_) return;
    network_.set_turn_hook([this](const Node* node) {
      if (node != nullptr) {
        worker_has_turn_ = gateway_.is_worker(*node);
        if (worker_has_turn_ && breakers_) breakers_->before_turn();
        return;
      }
      if (!worker_has_turn_) return;
      if (breakers_) breakers_->after_turn(table_.findings);
      if (ejections_) ejections_->after_turn(network_.now(), table_.findings);
    });
  }

  [[nodiscard]] EjectionOracleConfig ejection_config() const {
    const bool other_failures = std::ranges::any_of(scenario_.requests, [](const RequestPlan& plan) {
      return plan.failed_tries > 0 && plan.failure == RequestPlan::Failure::kStatus && plan.failure_status == 500;
    });
    return {.detection = scenario_.believed_detection ? *scenario_.believed_detection : *scenario_.outlier_detection,
            .gateway_failures_only = !other_failures,
            .delay = lateness()};
  }

  Node& node(const GatewayScenario::Event& event) {
    if (event.node > 0) return *hosts_[event.node - 1];
    return gateway_.worker(static_cast<std::size_t>(event.time.to_milliseconds()) % gateway_.workers());
  }

  void crash(std::size_t node) {
    if (node >= 2) return origins_[node - 2]->crash(network_.now());
    for (const auto& client : clients_) client->vanish();
    clients_.clear();
    hosts_[0]->crash(network_.now());
  }

  void plan_actions() {
    using Fault = GatewayScenario::Fault;
    for (const GatewayScenario::Event& event : scenario_.events) {
      const Instant at = start_ + event.at;
      switch (event.fault) {
        case Fault::kPause:
          actions_.emplace_back(at, [this, &event] { network_.pause(node(event), network_.now() + event.time); });
          break;
        case Fault::kCrash: actions_.emplace_back(at, [this, &event] { crash(event.node); }); break;
        case Fault::kRefuse:
          actions_.emplace_back(at, [this, &event] { origins_[event.node - 2]->refuse(network_.now()); });
          actions_.emplace_back(at + event.time, [this, &event] { origins_[event.node - 2]->listen(); });
          break;
        case Fault::kHog:
          actions_.emplace_back(at, [this, &event] { gateway_.hog(event.left); });
          actions_.emplace_back(at + event.time, [this] { gateway_.hog(gateway_.packets().capacity()); });
          break;
      }
    }
    std::ranges::stable_sort(actions_, {}, [](const auto& action) { return action.first; });
  }

  // Whoever has requests or bytes under way must have planned a turn. What the worker publishes is some turns old: it counts when
  // it stays so.
  void audit_timers() {
    const bool waits = gateway_.published("proxy.requests") > 0 || gateway_.published("tcp.bytes_queued") > 0;
    unplanned_slices_ = waits && gateway_.next_due().is_never() ? unplanned_slices_ + 1 : 0;
    if (unplanned_slices_ == kUnplannedSlices) table_.findings.add("gateway: lost a timer: requests wait, nothing is planned");
  }

  [[nodiscard]] bool clean() {
    Findings leaks;
    for (const auto& host : hosts_) audit_leaks(*host, leaks);
    return leaks.empty() && gateway_.clean();
  }

  // What workers publish is behind where a frame has come since: then they publish again.
  [[nodiscard]] Findings audit_rest() {
    Findings findings;
    for (int i = 0; i < kLooks && (i == 0 || !findings.empty()); ++i) {
      findings = {};
      network_.run_for(kSlice);
      gateway_.wake_workers();
      network_.run_for(kSlice);
      for (const auto& host : hosts_) audit_leaks(*host, findings);
      gateway_.audit_leaks(findings);
      gateway_.audit_counters(findings);
    }
    if (table_.count(RequestTable::Result::kAnswered) > 0 && !gateway_.has_opened_connections())
      findings.add("gateway: no connection was counted");
    return findings;
  }

  GatewayOutcome conclude() {
    GatewayOutcome outcome;
    outcome.time = network_.now() - start_;
    table_.judge();
    gateway_.end_health_checks();
    const Instant end = network_.now() + kLongestDrain;
    while (network_.now() < end && (network_.run_for(Duration::seconds(5)), !clean())) {
    }
    table_.findings.add(audit_rest());
    outcome.answered = table_.count(RequestTable::Result::kAnswered);
    outcome.errors = table_.rows.size() - outcome.answered;
    outcome.frames = network_.frames();
    outcome.findings = table_.findings;
    return outcome;
  }

  const GatewayScenario& scenario_;
  std::size_t unplanned_slices_ = 0;
  Network network_;
  const Instant start_;
  Gateway gateway_;
  RequestTable table_;
  std::optional<BreakerOracle> breakers_;  // where limits are small
  std::optional<EjectionOracle> ejections_;
  bool worker_has_turn_ = false;
  std::vector<std::unique_ptr<Host>> hosts_;  // the clients', then the origins'
  std::vector<std::unique_ptr<HttpOrigin>> origins_;
  std::vector<std::unique_ptr<HttpClient>> clients_;
  std::vector<std::pair<Instant, std::function<void()>>> actions_;
};

}  // namespace

GatewayScenario GatewayScenario::draw(std::uint64_t seed) {
  Draw draw(seed ^ 0x6761746577617900);  // not the stream scenario's
  GatewayScenario scenario;
  scenario.seed = seed;
  scenario.v6 = draw.one_in(2);
  scenario.origins = draw.between(1, 3);
  for (std::size_t i = 0; i <= scenario.origins; ++i) scenario.links.push_back(draw.one_in(3) ? LinkConfig{} : draw.link());
  const bool crowd = draw.one_in(6);
  const std::uint32_t clients = crowd ? draw.between(50, 300) : draw.between(1, 12);
  const std::uint32_t most_bits = crowd ? 12 : draw.between(8, 19);
  for (std::uint32_t i = 0; i < clients; ++i) {
    GatewayScenario::Client client;
    client.start = draw.milliseconds(0, 1'000);
    if (draw.one_in(8) && most_bits < 17) client.read_pause = draw.milliseconds(1, 200);
    for (std::uint32_t k = draw.between(1, 6); k > 0; --k) {
      client.requests.push_back(scenario.requests.size());
      scenario.requests.push_back(draw_request(draw, most_bits));
    }
    scenario.clients.push_back(std::move(client));
  }
  draw_events(draw, scenario);
  scenario.tx = draw.offloads();
  if (!draw.one_in(3)) {
    scenario.workers = static_cast<std::uint16_t>(1u << draw.between(1, 3));
    scenario.spread = static_cast<Spread>(draw.between(0, 2));
  }
  draw_retry_policy(draw, scenario);
  draw_failures(draw, scenario);
  draw_limits(draw, scenario);
  draw_flaps(draw, scenario);
  draw_outlier_detection(draw, scenario);
  draw_health_checks(draw, scenario);
  scenario.mirrored = draw.one_in(4);
  return scenario;
}

bool GatewayScenario::may_break() const {
  return std::ranges::any_of(links, [](const LinkConfig& link) { return !link.partitions.empty(); }) ||
         std::ranges::any_of(events,
                             [](const Event& event) { return event.fault == Fault::kCrash || event.fault == Fault::kHog; });
}

bool GatewayScenario::has(Fault fault) const {
  return std::ranges::any_of(events, [fault](const Event& event) { return event.fault == fault; });
}

bool GatewayScenario::has_high_priority() const { return std::ranges::any_of(requests, &RequestPlan::high_priority); }

std::string GatewayScenario::describe() const {
  std::string text = "gateway, seed " + std::to_string(seed) + (v6 ? ", IPv6, " : ", IPv4, ") + std::to_string(clients.size()) +
                     " clients, " + std::to_string(requests.size()) + " requests, " + std::to_string(origins) +
                     " origins, offloads: " + sim::describe(tx);
  if (workers > 1) text += ", " + std::to_string(workers) + " workers, " + to_text(spread);
  if (retry != nullptr) text += ", " + describe_policy(*retry) + (hedged ? ", hedged" : "");
  if (dead_endpoint) text += ", an endpoint without anybody";
  if (mirrored) text += ", mirrored";
  if (limited) text += ", limits: " + describe_limits(breakers) + (has_high_priority() ? ", two priorities" : "");
  if (outlier_detection) text += ", " + std::to_string(outlier_detection->consecutive_5xx.count) + " failures eject";
  if (health_check != nullptr) text += ", checked every " + std::to_string(health_check->interval.to_milliseconds()) + " ms";
  for (std::size_t i = 0; i < links.size(); ++i) {
    text += (i == 0 ? "\n  clients: " : "\n  origin " + std::to_string(i) + ": ") + sim::describe(links[i]);
  }
  for (const Event& event : events) {
    constexpr const char* kNames[] = {"pause", "crash", "exhaust packets", "refuse connections"};
    text += std::string("\n  at ") + std::to_string(event.at.to_milliseconds()) +
            " ms: " + kNames[static_cast<int>(event.fault)] + " of " +
            (event.node == 0   ? "the gateway"
             : event.node == 1 ? "the clients"
                               : "origin " + std::to_string(event.node - 1)) +
            " for " + std::to_string(event.time.to_milliseconds()) + " ms";
  }
  return text;
}

GatewayOutcome run(const GatewayScenario& scenario, bool trace) { return GatewayRun(scenario, trace).finish(); }

}  // namespace millrace::sim
