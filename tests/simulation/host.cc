#include "tests/simulation/host.h"

#include <algorithm>
#include <variant>

namespace millrace::sim {
namespace {

constexpr std::size_t kNodesPerPacket = 8;  // as a worker's

std::vector<ip::InterfaceConfig> interfaces_of(const HostConfig& config) {
  return {{.mac = config.mac, .mtu = config.mtu, .addresses = config.addresses, .tx = config.tx}};
}

Node& joined(Network& network, Node& node) {
  network.add(node);
  return node;
}

}  // namespace

tcp::StackConfig small_stack() {
  tcp::StackConfig config;
  config.secret.fill(1);
  config.max_connections = 4'096;
  config.initial_connections = 16;
  config.max_half_open = 1'024;
  config.max_time_wait = 4'096;
  config.max_held_slices = 8'192;
  return config;
}

HostState::HostState(const HostConfig& config, nic::PacketPool& packets, Instant now)
    : timers(now),
      rng(config.seed),
      chains(packets, 64, config.packets * kNodesPerPacket),
      ip(interfaces_of(config), config.routes, timers, packets, rng, now),
      tcp(ip, timers, chains, rng, config.stack) {}

Host::Host(Network& network, const HostConfig& config)
    : config_(config),
      packets_(config.packets),
      program_timers_(network.now()),
      state_(std::make_unique<HostState>(config_, packets_, network.now())),
      port_(network, joined(network, *this), packets_, config.name, config.mac, config.mtu, 0, config.tx) {}

Host::~Host() { hogged_.clear(); }

bool Host::turn(Instant now) {
  bool more = false;
  for (std::size_t burst = 0; burst < limits::kRxBurstsPerTurn; ++burst) {
    const std::size_t count = port_.receive(0, burst_);
    for (std::size_t i = 0; i < count; ++i) {
      auto received = state_->ip.receive(std::move(burst_[i]), now);
      if (auto* datagram = std::get_if<ip::Datagram>(&received)) {
        state_->tcp.on_datagram(std::move(*datagram), now);
      } else if (const auto* error = std::get_if<ip::TransportError>(&received)) {
        state_->tcp.on_transport_error(*error, now);
      }
    }
    more = count == burst_.size();
    if (!more) break;
  }
  state_->tcp.end_burst(now);
  if (!timers_lost_) state_->timers.advance(now);
  state_->tcp.deliver_events(now);
  program_timers_.advance(now);
  state_->tcp.flush(now);
  const std::span<nic::Packet> frames = state_->ip.outgoing(0);
  if (!frames.empty()) state_->ip.outgoing_taken(0, port_.transmit(0, frames));
  return more;
}

Instant Host::stack_due() const { return timers_lost_ ? Instant::never() : state_->timers.next_expiry(); }

Instant Host::next_due() const { return std::min(stack_due(), program_timers_.next_expiry()); }

void Host::crash(Instant now) {
  state_.reset();
  HostConfig reborn = config_;
  reborn.seed += static_cast<std::uint64_t>(now.to_nanoseconds());  // another start of ephemeral ports
  state_ = std::make_unique<HostState>(reborn, packets_, now);
}

void Host::hog(std::size_t left) {
  while (!hogged_.empty() && packets_.capacity() - packets_.in_use() < left) hogged_.pop_back();
  while (packets_.capacity() - packets_.in_use() > left) hogged_.push_back(packets_.allocate());
}

}  // namespace millrace::sim
