// A whole gateway in the simulated network: a production Worker with one port per neighbour and a configuration that forwards
// everything to one cluster.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "config/model/snapshot_slot.h"
#include "dataplane/report/worker_report.h"
#include "dataplane/worker/worker.h"
#include "nic/heap_pool.h"
#include "tests/simulation/findings.h"
#include "tests/simulation/network.h"

namespace millrace::sim {

struct GatewayConfig {
  std::vector<IpPrefix> addresses;  ///< one per port; the listener is on the first
  std::uint16_t port = 80;
  std::vector<SocketAddress> endpoints;  ///< of the one cluster
  Duration route_timeout;                ///< zero: none
  Duration connect_timeout = Duration::seconds(120);
  Duration upstream_idle = Duration::seconds(30);
  std::size_t packets = 8'192;
  nic::TxOffloads tx = {};
  std::uint64_t seed = 1;
};

class Gateway final : public Node {
 public:
  Gateway(Network& network, const GatewayConfig& config);
  ~Gateway() override;

  bool turn(Instant now) override;
  [[nodiscard]] Instant next_due() const override { return worker_->next_due(); }

  [[nodiscard]] Port& port(std::size_t index) { return *ports_[index]; }
  [[nodiscard]] nic::HeapPool& packets() { return packets_; }
  [[nodiscard]] std::uint64_t log_lines() const { return log_lines_; }
  /// What the worker publishes under that name; it does so every 100 ms in which it has turns.
  [[nodiscard]] std::int64_t published(std::string_view name) const;
  void hog(std::size_t left);
  /// Everything is over: nothing may be left. Then stops the worker.
  void audit_leaks(Findings& findings);
  [[nodiscard]] bool clean() const;

 private:
  nic::HeapPool packets_;
  std::vector<nic::Packet> hogged_;
  std::vector<std::unique_ptr<Port>> ports_;
  config::SnapshotSlot slot_;
  worker::Control control_;
  report::WorkerReport report_{0, 1 << 20};
  std::optional<worker::Worker> worker_;
  Network& network_;
  std::uint64_t log_lines_ = 0;
};

}  // namespace millrace::sim
