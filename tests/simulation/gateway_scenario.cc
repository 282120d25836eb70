#include "tests/simulation/gateway_scenario.h"

#include <algorithm>

#include "tests/simulation/audit.h"
#include "tests/simulation/draw.h"
#include "tests/simulation/gateway.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kUnplannedSlices = 3;
constexpr Duration kSlice = Duration::milliseconds(500);
constexpr Duration kLongestRun = Duration::seconds(4 * 3'600);
constexpr Duration kLongestDrain = Duration::seconds(3'600);
constexpr std::uint16_t kOriginPort = 8'000;

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

// Failures that retries make up for must stay unseen, where it is certain that they do: few enough at a time, small enough to be
// kept.
void draw_retries(Draw& draw, GatewayScenario& scenario) {
  constexpr std::size_t kSurelyAdmitted = 3;
  constexpr std::uint64_t kSurelyKept = 16'384;
  if (!draw.one_in(3)) return;
  scenario.retries = draw.between(1, 4);
  scenario.dead_endpoint = draw.one_in(3);
  for (RequestPlan& plan : scenario.requests) {
    if (draw.one_in(2)) plan.failed_tries = draw.between(1, 3);
    plan.failure = draw.one_in(2) ? RequestPlan::Failure::kReset : RequestPlan::Failure::kUnavailable;
    plan.fails_early = draw.one_in(2);
    plan.may_fail = plan.failed_tries + (scenario.dead_endpoint ? 1 : 0) > scenario.retries ||
                    scenario.clients.size() > kSurelyAdmitted || plan.request_bytes > kSurelyKept;
  }
}

// Origins that do worse than to refuse. A limit on the time of a try hits good ones, too.
void draw_worse_failures(Draw& draw, GatewayScenario& scenario) {
  using Failure = RequestPlan::Failure;
  if (scenario.retries == 0 || !draw.one_in(2)) return;
  scenario.try_timeout = draw.milliseconds(200, 5'000);
  scenario.hedged = draw.one_in(2);
  for (RequestPlan& plan : scenario.requests) {
    plan.failure = static_cast<Failure>(draw.between(0, static_cast<std::uint32_t>(Failure::kHang)));
    if (plan.failure == Failure::kResetInBody && plan.response_bytes == 0) plan.failure = Failure::kResetInHead;
    plan.may_fail = true;
  }
}

// Small limits, and endpoints that are soon ejected and soon return. What either refuses may be seen.
void draw_resilience(Draw& draw, GatewayScenario& scenario) {
  const bool limited = draw.one_in(5);
  if (limited) {
    config::BreakerThresholds& limits = scenario.breakers.thresholds[0];
    limits.max_connections = draw.between(1, 6);
    limits.max_pending_requests = draw.between(1, 6);
    limits.max_requests = draw.one_in(3) ? draw.between(50, 300) : draw.between(1, 6);
    limits.max_retries = draw.between(0, 3);
  }
  const bool watched = draw.one_in(5);
  if (watched) {
    config::OutlierDetection& detection = scenario.outlier_detection.emplace();
    detection.consecutive_5xx.count = draw.between(1, 4);
    detection.interval = draw.milliseconds(100, 1'000);
    detection.base_ejection_time = draw.milliseconds(100, 2'000);
    detection.max_ejection_time = detection.base_ejection_time + draw.milliseconds(0, 5'000);
    detection.max_ejection_time_jitter = draw.milliseconds(0, 500);
    detection.max_ejection_percent = draw.between(0, 100);
    detection.always_eject_one_host = draw.one_in(2);
    detection.split_external_local_origin_errors = draw.one_in(3);
  }
  if (!limited && !watched) return;
  for (RequestPlan& plan : scenario.requests) plan.may_fail = true;
}

// Of connections alone: origins know of no other requests than theirs. Before the first one requests fail.
void draw_health_checks(Draw& draw, GatewayScenario& scenario) {
  if (!draw.one_in(4)) return;
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
  scenario.health_check = std::move(check);
  for (RequestPlan& plan : scenario.requests) plan.may_fail = true;
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
  config.retries = scenario.retries;
  config.try_timeout = scenario.try_timeout;
  config.hedged = scenario.hedged;
  config.mirrored = scenario.mirrored;
  config.breakers = scenario.breakers;
  config.outlier_detection = scenario.outlier_detection;
  config.health_check = scenario.health_check;
  if (scenario.dead_endpoint) config.dead_endpoint = config.endpoints.back();
  if (scenario.may_break() || scenario.try_timeout > Duration()) {
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
    table_.may_break = scenario.may_break();
    table_.most_tries = 1 + scenario.retries;
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
      gateway_.audit_limits(table_.findings);
      gateway_.audit_ejections(table_.findings, network_.now());
      gateway_.audit_health_checks(table_.findings);
    }
    return conclude();
  }

 private:
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

  GatewayOutcome conclude() {
    GatewayOutcome outcome;
    outcome.time = network_.now() - start_;
    table_.judge();
    gateway_.end_health_checks();
    const Instant end = network_.now() + kLongestDrain;
    while (network_.now() < end && (network_.run_for(Duration::seconds(5)), !clean())) {
    }
    network_.run_for(kSlice);
    gateway_.wake_workers();  // the last frames have come since they published
    network_.run_for(kSlice);
    for (const auto& host : hosts_) audit_leaks(*host, table_.findings);
    gateway_.audit_leaks(table_.findings);
    gateway_.audit_counters(table_.findings);
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
  draw_retries(draw, scenario);
  draw_worse_failures(draw, scenario);
  draw_resilience(draw, scenario);
  draw_health_checks(draw, scenario);
  scenario.mirrored = draw.one_in(4);
  return scenario;
}

bool GatewayScenario::may_break() const {
  return std::ranges::any_of(links, [](const LinkConfig& link) { return !link.partitions.empty(); }) ||
         std::ranges::any_of(events, [](const Event& event) { return event.fault != Fault::kPause; });
}

std::string GatewayScenario::describe() const {
  std::string text = "gateway, seed " + std::to_string(seed) + (v6 ? ", IPv6, " : ", IPv4, ") + std::to_string(clients.size()) +
                     " clients, " + std::to_string(requests.size()) + " requests, " + std::to_string(origins) +
                     " origins, offloads: " + sim::describe(tx);
  if (workers > 1) text += ", " + std::to_string(workers) + " workers, " + to_text(spread);
  if (retries > 0) text += ", " + std::to_string(retries) + " retries" + (dead_endpoint ? ", an endpoint without anybody" : "");
  if (try_timeout > Duration())
    text += ", tries of " + std::to_string(try_timeout.to_milliseconds()) + " ms" + (hedged ? ", hedged" : "");
  if (mirrored) text += ", mirrored";
  if (const config::BreakerThresholds& limits = breakers.thresholds[0]; limits.max_connections < 1'024) {
    text += ", limits: " + std::to_string(limits.max_connections) + " connections, " +
            std::to_string(limits.max_pending_requests) + " waiting, " + std::to_string(limits.max_requests) + " requests, " +
            std::to_string(limits.max_retries) + " retries";
  }
  if (outlier_detection) text += ", " + std::to_string(outlier_detection->consecutive_5xx.count) + " failures eject";
  if (health_check != nullptr) text += ", checked every " + std::to_string(health_check->interval.to_milliseconds()) + " ms";
  for (std::size_t i = 0; i < links.size(); ++i) {
    text += (i == 0 ? "\n  clients: " : "\n  origin " + std::to_string(i) + ": ") + sim::describe(links[i]);
  }
  for (const Event& event : events) {
    constexpr const char* kNames[] = {"pause", "crash", "exhaust packets"};
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
