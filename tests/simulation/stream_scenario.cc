#include "tests/simulation/stream_scenario.h"

#include <algorithm>

#include "dataplane/tcp/isn.h"
#include "tests/simulation/audit.h"
#include "tests/simulation/draw.h"
#include "tests/simulation/pattern.h"

namespace millrace::sim {
namespace {

constexpr Duration kAuditInterval = Duration::milliseconds(100);
constexpr Duration kLongestRun = Duration::seconds(4 * 3'600);
// After the last user is gone: TIME-WAIT, FIN-WAIT-2, and retransmissions to a peer that has crashed.
constexpr Duration kLongestDrain = Duration::seconds(3'600);
constexpr std::uint16_t kPort = 80;
constexpr std::uint16_t kWrapPort = 40'000;

EndPlan draw_end(Draw& draw, std::uint32_t most_bits) {
  EndPlan end;
  end.bytes = std::max<std::uint64_t>(8, draw.one_in(8) ? 8 : draw.sized(4, most_bits));
  if (draw.one_in(4)) end.write_bytes = draw.between(1, 600);
  if (draw.one_in(6)) {
    end.write_pause = draw.milliseconds(1, 50);
    end.write_bytes = std::max(end.write_bytes, static_cast<std::uint32_t>(std::min<std::uint64_t>(end.bytes / 500 + 1, 16'384)));
  }
  if (end.write_bytes < 64 && end.bytes > 100'000) end.write_bytes = 64;
  if (draw.one_in(4)) {
    end.read_bytes = draw.between(1, 40'000);
    end.read_pause = draw.milliseconds(1, 100);
  }
  if (draw.one_in(6)) {
    end.stall_at = draw.sized(3, most_bits);
    end.stall = draw.milliseconds(100, 60'000);
  }
  if (draw.one_in(12)) end.reset_at = draw.sized(3, most_bits);
  end.closes_early = draw.one_in(2);
  return end;
}

// The slow must not make a run endless: a peer that reads in small bites reads at most some hundred times.
void bound_reader(const EndPlan& writer, EndPlan& reader) {
  reader.read_bytes =
      std::max(reader.read_bytes, static_cast<std::uint32_t>(std::min<std::uint64_t>(writer.bytes / 500 + 1, 1 << 20)));
}

void draw_plans(Draw& draw, StreamScenario& scenario) {
  const bool crowd = draw.one_in(8);
  const std::uint32_t count = crowd ? draw.between(100, 600) : draw.between(1, 12);
  const std::uint32_t most_bits = crowd ? 13 : draw.between(10, 21);
  for (std::uint32_t i = 0; i < count; ++i) {
    StreamPlan plan{.number = i, .start = draw.milliseconds(0, crowd ? 2'000 : 500), .end = {}};
    plan.end = {draw_end(draw, most_bits), draw_end(draw, most_bits)};
    bound_reader(plan.end[0], plan.end[1]);
    bound_reader(plan.end[1], plan.end[0]);
    scenario.plans.push_back(plan);
  }
}

void draw_events(Draw& draw, StreamScenario& scenario) {
  using Fault = StreamScenario::Fault;
  if (draw.one_in(3)) {
    for (std::uint32_t i = draw.between(1, 8); i > 0; --i) {
      scenario.events.push_back({.at = draw.milliseconds(0, 5'000),
                                 .fault = Fault::kPause,
                                 .host = draw.between(0, 1),
                                 .time = draw.milliseconds(1, 1'000)});
    }
  }
  if (draw.one_in(10))
    scenario.events.push_back({.at = draw.milliseconds(10, 3'000), .fault = Fault::kCrash, .host = draw.between(0, 1)});
  if (draw.one_in(8)) {
    scenario.events.push_back({.at = draw.milliseconds(0, 2'000),
                               .fault = Fault::kHog,
                               .host = draw.between(0, 1),
                               .time = draw.milliseconds(10, 5'000),
                               .left = draw.between(0, 40)});
  }
  if (draw.one_in(8)) {
    const Duration from = draw.milliseconds(0, 3'000);
    const Duration to = from + draw.milliseconds(100, 40'000);
    const LinkConfig::Window window{Instant() + from, Instant() + to};
    scenario.forward.partitions.push_back(window);
    if (!draw.one_in(3)) scenario.backward.partitions.push_back(window);
  }
  std::ranges::stable_sort(scenario.events, {}, &StreamScenario::Event::at);
}

HostConfig host_config(const StreamScenario& scenario, std::size_t index) {
  const auto number = static_cast<std::uint8_t>(index + 1);
  HostConfig config;
  config.name = index == 0 ? "client" : "server";
  config.mac = {{2, 0, 0, 0, 0, number}};
  config.mtu = scenario.host_mtu[index];
  if (scenario.v6) {
    config.addresses = {{*IpAddress::parse("2001:db8::" + std::to_string(number)), 64}};
  } else {
    config.addresses = {{IpAddress::v4(10, 0, 0, number), 24}};
  }
  config.stack = small_stack();
  for (std::size_t i = 0; i < config.stack.secret.size(); ++i)
    config.stack.secret[i] = pattern_byte(scenario.seed * 2 + index, i);
  config.stack.tcp.receive_buffer_bytes = scenario.receive_buffer[index];
  config.stack.tcp.send_buffer_bytes = scenario.send_buffer[index];
  if (scenario.wrap != StreamScenario::Wrap::kNone) config.stack.first_port = config.stack.last_port = kWrapPort;
  config.packets = scenario.packets;
  config.tx = scenario.tx;
  config.seed = scenario.seed * 2 + index;
  return config;
}

// Initial sequence numbers follow the clock (RFC 6528): this start lets the one connection's wrap after about half its bytes.
Instant start_of(const StreamScenario& scenario) {
  const Instant usual = Instant::from_nanoseconds(1'000'000'000);
  if (scenario.wrap == StreamScenario::Wrap::kNone) return usual;
  const std::size_t side = scenario.wrap == StreamScenario::Wrap::kClient ? 0 : 1;
  const HostConfig own = host_config(scenario, side);
  const HostConfig peer = host_config(scenario, 1 - side);
  tcp::FlowKey flow{own.addresses[0].address, peer.addresses[0].address, kWrapPort, kPort};
  if (side == 1) std::swap(flow.local_port, flow.peer_port);
  const StreamPlan& plan = scenario.plans[0];
  const std::uint32_t isn = tcp::initial_sequence_number(tcp::KeyedHash(own.stack.secret), flow, usual + plan.start).raw();
  const std::uint32_t missing = 0u - isn - static_cast<std::uint32_t>(plan.end[side].bytes / 2);
  return usual + Duration::microseconds(std::int64_t{4} * missing);
}

// A run in the making: what has to be alive together.
class StreamRun {
 public:
  StreamRun(const StreamScenario& scenario, bool trace)
      : scenario_(scenario),
        network_(scenario.seed, start_of(scenario)),
        client_(network_, host_config(scenario, 0)),
        server_(network_, host_config(scenario, 1)),
        start_(network_.now()) {
    network_.set_trace(trace);
    network_.join(client_.port(), server_.port(), starting_at(start_, scenario.forward), starting_at(start_, scenario.backward));
    for (Host* host : {&client_, &server_}) host->port().set_transmit_limit(scenario.transmit_limit);
    table_.may_break = scenario.may_break();
    if (table_.may_break) table_.patience = Duration::seconds(400);
    for (const StreamPlan& plan : scenario.plans) table_.rows.push_back({.plan = plan, .state = {}});
    servers_.listen({scenario.v6 ? IpAddress() : IpAddress::v4(0, 0, 0, 0), kPort});
  }

  StreamOutcome finish() {
    plan_actions();
    const Instant end = start_ + kLongestRun;
    std::size_t next = 0;
    while (next < actions_.size() || !table_.over()) {
      if (network_.now() >= end) break;
      if (next < actions_.size() && actions_[next].first <= network_.now()) {
        actions_[next++].second();
        continue;
      }
      Instant until = std::min(end, network_.now() + kAuditInterval);
      if (next < actions_.size()) until = std::min(until, actions_[next].first);
      network_.run_until(until, [&] { return next == actions_.size() && table_.over(); });
      audit();
    }
    return conclude();
  }

 private:
  Host& host(std::size_t index) { return index == 0 ? client_ : server_; }
  StreamProgram& program(std::size_t index) { return index == 0 ? clients_ : servers_; }

  void plan_actions() {
    using Fault = StreamScenario::Fault;
    for (const StreamPlan& plan : scenario_.plans) {
      actions_.emplace_back(start_ + plan.start, [this, &plan] {
        clients_.open(plan.number, {server_.config().addresses[0].address, kPort}, network_.now());
      });
    }
    for (const StreamScenario::Event& event : scenario_.events) {
      const Instant at = start_ + event.at;
      switch (event.fault) {
        case Fault::kPause:
          actions_.emplace_back(at, [this, &event] { network_.pause(host(event.host), network_.now() + event.time); });
          break;
        case Fault::kCrash: actions_.emplace_back(at, [this, &event] { program(event.host).crash(network_.now()); }); break;
        case Fault::kHog:
          actions_.emplace_back(at, [this, &event] { host(event.host).hog(event.left); });
          actions_.emplace_back(at + event.time, [this, &event] { host(event.host).hog(host(event.host).packets().capacity()); });
          break;
      }
    }
    std::ranges::stable_sort(actions_, {}, [](const auto& action) { return action.first; });
  }

  void audit() {
    // What was asked of a host that is paused is planned in its next turn.
    if (!network_.paused(client_)) audit_timers(client_, table_.findings);
    if (!network_.paused(server_)) audit_timers(server_, table_.findings);
  }

  [[nodiscard]] bool clean() {
    Findings leaks;
    audit_leaks(client_, leaks);
    audit_leaks(server_, leaks);
    return leaks.empty();
  }

  StreamOutcome conclude() {
    StreamOutcome outcome;
    outcome.time = network_.now() - start_;
    table_.judge();
    const Instant end = network_.now() + kLongestDrain;
    while (network_.now() < end && !clean()) {
      network_.run_for(Duration::seconds(5));
      audit();
    }
    audit_leaks(client_, table_.findings);
    audit_leaks(server_, table_.findings);
    for (const StreamTable::Row& row : table_.rows) {
      for (const EndState& state : row.state) {
        outcome.bytes += state.received;
        const bool broke = state.gave_up || (state.closed && *state.closed != stream::CloseReason::kGraceful);
        ++(broke ? outcome.broken : outcome.graceful);
      }
    }
    outcome.frames = network_.frames();
    outcome.findings = table_.findings;
    return outcome;
  }

  const StreamScenario& scenario_;
  Network network_;
  Host client_;
  Host server_;
  StreamTable table_;
  StreamProgram clients_{client_, table_};
  StreamProgram servers_{server_, table_};
  const Instant start_;
  std::vector<std::pair<Instant, std::function<void()>>> actions_;
};

}  // namespace

StreamScenario StreamScenario::draw(std::uint64_t seed) {
  Draw draw(seed);
  StreamScenario scenario;
  scenario.seed = seed;
  scenario.v6 = draw.one_in(2);
  scenario.forward = draw.link();
  scenario.backward = draw.one_in(3) ? draw.link() : scenario.forward;
  if (draw.one_in(4))
    scenario.host_mtu = {static_cast<std::uint16_t>(draw.between(1'280, 1'900)),
                         static_cast<std::uint16_t>(draw.between(1'280, 1'900))};
  if (draw.one_in(6)) scenario.transmit_limit = draw.between(1, 8);
  if (draw.one_in(3)) {
    for (std::size_t& bytes : scenario.receive_buffer) bytes = draw.sized(12, 20);
    for (std::size_t& bytes : scenario.send_buffer) bytes = draw.sized(12, 20);
  }
  if (draw.one_in(8)) {
    for (LinkConfig* link : {&scenario.forward, &scenario.backward}) {
      link->mtu = static_cast<std::uint16_t>(draw.between(1'280, 1'480));
      link->tells_mtu = true;
    }
  }
  draw_plans(draw, scenario);
  draw_events(draw, scenario);
  if (draw.one_in(6)) {
    scenario.plans.resize(1);
    scenario.wrap = draw.one_in(2) ? StreamScenario::Wrap::kClient : StreamScenario::Wrap::kServer;
  }
  scenario.packets = 2'048 + 64 * scenario.plans.size();
  // Small writes pin up to four times the send buffer: two large ones must not take all packets, or nothing can be sent any more.
  const std::size_t most = 4 * (std::max(scenario.send_buffer[0], scenario.send_buffer[1]) +
                                std::max(scenario.receive_buffer[0], scenario.receive_buffer[1]));
  scenario.packets =
      std::max(scenario.packets, std::min<std::size_t>(scenario.plans.size(), 12) * most / limits::kPacketBufferBytes);
  scenario.tx = draw.offloads();
  return scenario;
}

bool StreamScenario::may_break() const {
  return !forward.partitions.empty() || !backward.partitions.empty() ||
         std::ranges::any_of(events, [](const Event& event) { return event.fault != Fault::kPause; });
}

std::string StreamScenario::describe() const {
  std::uint64_t bytes = 0;
  for (const StreamPlan& plan : plans) bytes += plan.end[0].bytes + plan.end[1].bytes;
  std::string text = "seed " + std::to_string(seed) + (v6 ? ", IPv6, " : ", IPv4, ") + std::to_string(plans.size()) +
                     " connections, " + std::to_string(bytes) + " bytes" +
                     (wrap == Wrap::kNone ? "" : ", sequence numbers wrap") + "\n  buffers " + std::to_string(send_buffer[0]) +
                     "/" + std::to_string(receive_buffer[0]) + " and " + std::to_string(send_buffer[1]) + "/" +
                     std::to_string(receive_buffer[1]) + "\n  offloads: " + sim::describe(tx) +
                     "\n  there: " + sim::describe(forward) + "\n  back: " + sim::describe(backward);
  for (const Event& event : events) {
    constexpr const char* kNames[] = {"pause", "crash", "exhaust packets"};
    text += std::string("\n  at ") + std::to_string(event.at.to_milliseconds()) +
            " ms: " + kNames[static_cast<int>(event.fault)] + (event.host == 0 ? " of the client" : " of the server") + " for " +
            std::to_string(event.time.to_milliseconds()) + " ms";
  }
  return text;
}

StreamOutcome run(const StreamScenario& scenario, bool trace) { return StreamRun(scenario, trace).finish(); }

}  // namespace millrace::sim
