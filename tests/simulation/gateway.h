// A whole gateway in the simulated network: production Workers, one or several, with one port per neighbour and a configuration
// that forwards everything to one cluster.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "config/model/snapshot_slot.h"
#include "dataplane/base/flow_steering.h"
#include "dataplane/report/worker_report.h"
#include "dataplane/worker/exchange.h"
#include "dataplane/worker/worker.h"
#include "nic/heap_pool.h"
#include "tests/simulation/findings.h"
#include "tests/simulation/network.h"
#include "tls/context_slot.h"

namespace millrace::sim {

/// How its ports spread what comes over the workers.
enum class Spread : std::uint8_t {
  kOneQueue,     ///< not at all: one worker receives for all
  kByOwner,      ///< by the rule by which workers own flows
  kAnotherRule,  ///< by one that nobody was told: most packets reach the wrong worker
};
[[nodiscard]] const char* to_text(Spread spread);

struct GatewayConfig {
  std::vector<IpPrefix> addresses;  ///< one per port; the listener is on the first
  std::uint16_t port = 80;
  std::vector<SocketAddress> endpoints;  ///< of the one cluster
  Duration route_timeout;                ///< zero: none
  Duration connect_timeout = Duration::seconds(120);
  Duration upstream_idle = Duration::seconds(30);
  std::shared_ptr<const config::RetryPolicy> retry = {};  ///< of each request; null: none
  bool hedged = false;                                    ///< a try whose time is over goes on beside the next
  bool counts_attempts = false;                           ///< x-envoy-attempt-count, towards endpoints and clients
  bool mirrored = false;                                  ///< the same endpoints get a copy of each request
  bool high_priority = false;                             ///< of requests to "/high"
  config::CircuitBreakers breakers = {};
  std::optional<config::OutlierDetection> outlier_detection = {};
  std::shared_ptr<const config::HealthCheck> health_check = {};
  std::optional<SocketAddress> dead_endpoint = {};  ///< one of them, where nobody listens
  std::size_t packets = 8'192;
  nic::TxOffloads tx = {};
  std::uint16_t workers = 1;
  Spread spread = Spread::kOneQueue;
  bool mistaken_owner = false;  ///< a fault for tests of the oracle: one worker goes by another rule
  std::uint64_t seed = 1;
  std::shared_ptr<tls::ContextSlot> listener_tls = {};  ///< null: plain text
  std::shared_ptr<tls::ContextSlot> cluster_tls = {};
};

class Gateway final {
 public:
  Gateway(Network& network, const GatewayConfig& config);
  ~Gateway();

  /// When a worker has its next turn, if nothing arrives.
  [[nodiscard]] Instant next_due() const;
  [[nodiscard]] std::size_t workers() const { return members_.size(); }
  [[nodiscard]] Node& worker(std::size_t index) { return *members_[index]; }
  [[nodiscard]] bool is_worker(const Node& node) const;
  [[nodiscard]] Port& port(std::size_t index) { return *ports_[index]; }
  [[nodiscard]] nic::HeapPool& packets() { return packets_; }
  [[nodiscard]] std::uint64_t log_lines() const { return log_lines_; }
  /// What the workers publish under that name, all together; they do so every 100 ms in which they have turns.
  [[nodiscard]] std::int64_t published(std::string_view name) const;
  [[nodiscard]] std::int64_t published(std::size_t worker, std::string_view name) const;
  void hog(std::size_t left);
  /// Every flow is with the worker that owns it, at any time.
  void audit_ownership(Findings& findings) const;
  /// Of the one cluster, as it is configured now.
  [[nodiscard]] const config::Cluster& cluster() const { return *cluster_; }
  /// An endpoint has one check under way at the most, and one where nobody listens is not healthy, at any time.
  void audit_health_checks(Findings& findings) const;
  /// Nobody has been there for `time`: health checks have found out, or have had too little time for it. `late`: workers may be.
  void audit_absence(const SocketAddress& endpoint, Duration time, Duration late, Findings& findings) const;
  /// The next configuration has none.
  void end_health_checks();
  /// Gives each worker a turn: they publish in turns only.
  void wake_workers();
  /// At rest: what went from worker to worker has arrived, and what the ports count is what the workers count.
  void audit_counters(Findings& findings) const;
  /// As its workers count them: from clients and to endpoints.
  [[nodiscard]] bool has_opened_connections() const;
  /// Everything is over: nothing may be left.
  void audit_leaks(Findings& findings);
  [[nodiscard]] bool clean() const;

 private:
  /// A worker, and what its thread is to it.
  struct Member final : Node {
    Member(Gateway& owner, std::uint16_t number) : gateway(owner), index(number), report(number, 1 << 20) {}
    bool turn(Instant now) override;
    [[nodiscard]] Instant next_due() const override { return worker->next_due(); }

    Gateway& gateway;
    const std::uint16_t index;
    worker::Control control;
    report::WorkerReport report;
    std::optional<worker::Worker> worker;
  };

  void make_ports(const GatewayConfig& config);
  [[nodiscard]] worker::WorkerConfig worker_config(const GatewayConfig& config, std::uint16_t index);

  nic::HeapPool packets_;
  std::vector<nic::Packet> hogged_;
  std::vector<std::unique_ptr<Port>> ports_;
  config::SnapshotSlot slot_;
  std::shared_ptr<const config::Snapshot> snapshot_;
  std::shared_ptr<const config::Cluster> cluster_;
  const std::optional<SocketAddress> dead_endpoint_;
  std::optional<FlowSteering> steering_;
  std::optional<FlowSteering> mistake_;
  std::unique_ptr<worker::Exchange> exchange_;
  std::vector<std::unique_ptr<Member>> members_;
  Network& network_;
  std::uint64_t log_lines_ = 0;
};

}  // namespace millrace::sim
