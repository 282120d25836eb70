// A host of the simulated network: our own IP and TCP, a pool of packets, and programs on top that have timers of their own. It
// can crash: then it forgets everything but its programs' timers, and answers what still comes with RST.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "nic/heap_pool.h"
#include "tests/simulation/network.h"

namespace millrace::sim {

struct HostConfig {
  std::string name;
  MacAddress mac = {};
  std::uint16_t mtu = 1'500;
  std::vector<IpPrefix> addresses;
  std::vector<ip::RouteConfig> routes = {};
  nic::TxOffloads tx = {};  ///< what its port does on transmit
  tcp::StackConfig stack = {};
  std::size_t packets = 4'096;
  std::uint64_t seed = 1;
};

/// Limits that fit a host of a simulation: small tables, so that thousands of hosts cost little.
[[nodiscard]] tcp::StackConfig small_stack();

/// What crash() destroys.
struct HostState {
  HostState(const HostConfig& config, nic::PacketPool& packets, Instant now);
  TimerWheel timers;
  Rng rng;
  stream::ChainPool chains;
  ip::IpLayer ip;
  tcp::Stack tcp;
};

class Host final : public Node {
 public:
  Host(Network& network, const HostConfig& config);
  ~Host() override;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  bool turn(Instant now) override;
  [[nodiscard]] Instant next_due() const override;

  [[nodiscard]] const std::string& name() const { return config_.name; }
  [[nodiscard]] const HostConfig& config() const { return config_; }
  [[nodiscard]] Port& port() { return port_; }
  [[nodiscard]] tcp::Stack& tcp() { return state_->tcp; }
  [[nodiscard]] const tcp::Stack& tcp() const { return state_->tcp; }
  [[nodiscard]] ip::IpLayer& ip() { return state_->ip; }
  [[nodiscard]] stream::ChainPool& chains() { return state_->chains; }
  [[nodiscard]] nic::HeapPool& packets() { return packets_; }
  /// Of the programs on the host: not the stack's wheel, survives a crash.
  [[nodiscard]] TimerWheel& program_timers() { return program_timers_; }
  /// When the stack's next timer is due: what next_due() says apart from the programs.
  [[nodiscard]] Instant stack_due() const;

  /// Forgets every connection and neighbour without a word. The programs must have dropped their streams and chains before.
  void crash(Instant now);
  /// Takes packets out of the pool so that `left` are free; hog(capacity) gives all back.
  void hog(std::size_t left);

  /// A fault for tests of the oracle: from now on the stack's timers do not fire.
  void lose_timers() { timers_lost_ = true; }

 private:
  const HostConfig config_;
  nic::HeapPool packets_;
  std::vector<nic::Packet> hogged_;
  TimerWheel program_timers_;
  std::unique_ptr<HostState> state_;
  Port port_;
  std::array<nic::Packet, 64> burst_;
  bool timers_lost_ = false;
};

}  // namespace millrace::sim
