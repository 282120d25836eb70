// The gateway as a process: ports, worker threads, log writer and admin server, wired together and taken down in order.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "config/model/snapshot_slot.h"
#include "control-agent/admin/admin_server.h"
#include "control-agent/admin/gateway_view.h"
#include "control-agent/admin/status_server.h"
#include "control-agent/bootstrap_loader.h"
#include "control-agent/log_writer.h"
#include "control-agent/overload/overload_watcher.h"
#include "control-agent/secrets/secret_watcher.h"
#include "dataplane/app/options.h"
#include "dataplane/base/flow_steering.h"
#include "dataplane/host/linux_kernel.h"
#include "dataplane/host/listen_sockets.h"
#include "dataplane/worker/exchange.h"
#include "dataplane/worker/handshake_threads.h"
#include "dataplane/worker/worker_thread.h"
#include "nic/crypto_device.h"
#include "nic/eal.h"
#include "nic/mbuf_pool.h"
#include "nic/placement.h"
#include "nic/port.h"

namespace millrace::agent {
class DiscoveryThread;
class KeySetThread;
class NameThread;
class LastGoodKeeper;
class XdsThread;
struct LastGood;
}  // namespace millrace::agent

namespace millrace::app {

/// The device or the machine refused; the text says what to do. Exit status 2.
class MachineError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Gateway final : public agent::GatewayView {
 public:
  /// Opens ports and starts everything. Throws MachineError, or std::runtime_error for what the configuration got wrong.
  Gateway(const Options& options, agent::Loaded loaded);
  /// Stops the workers at once; drain() first for a gentle end.
  ~Gateway() override;

  /// True once every worker has opened its listeners.
  [[nodiscard]] bool serving() const;
  /// Addresses of listeners that could not be opened: taken by another listener, or not of any port.
  [[nodiscard]] std::uint32_t listeners_failed() const;
  /// Tells of loopback addresses and Unix sockets that could not be listened at. `at_start`: throws MachineError for one that a
  /// listener names; the host's half of a listener for all addresses is only missed.
  void report_host_listeners(bool at_start);
  /// Refuses new connections, lets what is in flight finish; true when all of it did within `limit`. Returns early when
  /// `hurry` becomes true.
  bool drain(std::chrono::seconds limit, const std::atomic<bool>& hurry);
  /// Asks the ports whether their links are up, for the workers to act on; logs changes. To be called several times a second.
  void watch_links();
  /// Hands the configuration to the workers as soon as all names are resolved and all keys fetched that it waits for, and frees
  /// what no worker runs any more. To be called several times a second.
  void serve_snapshots();
  /// Whether /quitquitquit was called.
  [[nodiscard]] bool quit_requested() const { return quit_requested_.load(); }
  // agent::GatewayView
  [[nodiscard]] agent::ServerState state() const override;
  [[nodiscard]] std::string version() const override;
  [[nodiscard]] std::chrono::seconds uptime() const override;
  [[nodiscard]] agent::CommandLine command_line() const override;
  [[nodiscard]] const envoy::config::bootstrap::v3::Bootstrap& bootstrap() const override { return *loaded_.bootstrap; }
  [[nodiscard]] std::chrono::system_clock::time_point loaded_at() const override { return loaded_at_; }
  [[nodiscard]] std::shared_ptr<const config::Snapshot> snapshot() const override;
  [[nodiscard]] std::vector<const report::WorkerReport*> workers() const override;
  [[nodiscard]] std::vector<agent::PortStat> port_stats() const override;
  [[nodiscard]] std::vector<agent::RuleStat> rule_stats() const override;
  [[nodiscard]] std::uint64_t resident_bytes() const override;
  [[nodiscard]] nlohmann::ordered_json ports() const override;
  [[nodiscard]] const agent::SecretStore& secrets() const override { return *loaded_.secrets; }
  [[nodiscard]] agent::DynamicResources dynamic_resources() const override;
  [[nodiscard]] std::vector<agent::DiscoveryStat> discovery_stats() const override;
  [[nodiscard]] std::vector<agent::RuntimeLayer> runtime_layers() const override;
  [[nodiscard]] Result<void, std::string> modify_runtime(const agent::RuntimeEntries& values) override;
  [[nodiscard]] std::vector<std::string> port_names() const override;
  [[nodiscard]] agent::ConnectionList connections(const report::ConnectionFilter& filter, std::optional<std::uint32_t> worker,
                                                  std::size_t limit) override;
  [[nodiscard]] Result<std::unique_ptr<agent::CaptureSession>, std::string> start_capture(
      const report::CaptureOrder& order) override;
  void quit() override { quit_requested_.store(true); }
  void drain_listeners(agent::ListenerDrain how) override;
  void fail_health_checks(bool fail) override;
  void reopen_logs() override;
  [[nodiscard]] bool set_log_level(const std::string& level) override;
  [[nodiscard]] std::string log_level() const override;

 private:
  void start_machine();
  void open_crypto_device();
  void open_ports();
  void start_workers();
  /// What listeners wait for is there.
  [[nodiscard]] bool is_warm() const;
  /// Of --snapshot.
  [[nodiscard]] agent::LastGood last_good() const;
  void keep_last_good();
  /// Of files and of control planes.
  [[nodiscard]] agent::SubscriptionTable subscriptions() const;

  const Options options_;
  const agent::Loaded loaded_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  const std::chrono::system_clock::time_point loaded_at_ = std::chrono::system_clock::now();
  std::atomic<bool> draining_{false};
  std::atomic<bool> quit_requested_{false};
  std::atomic<bool> health_checks_fail_{false};

  // In the order of construction: what is below uses what is above, and goes first.
  config::SnapshotSlot snapshots_;
  bool snapshots_started_ = false;
  std::atomic<bool> is_open_{false};  ///< listeners have been opened, or are about to be
  nic::Placement placement_;
  bool adaptive_ = false;  ///< forced, because workers share CPUs
  std::unique_ptr<nic::Eal> eal_;
  std::unique_ptr<nic::MbufPool> pool_;
  std::unique_ptr<nic::CryptoDevice> crypto_device_;  ///< none without record_engine: CRYPTODEV
  std::vector<std::unique_ptr<nic::Port>> ports_;
  std::optional<FlowSteering> steering_;
  std::unique_ptr<worker::Exchange> exchange_;  ///< none for one worker alone
  host::ListenSockets listen_sockets_;
  std::deque<host::LinuxKernel> kernels_;  ///< by worker
  std::deque<worker::Control> controls_;
  std::atomic<std::size_t> captures_{0};
  std::deque<report::WorkerReport> reports_;
  std::unique_ptr<agent::LogWriter> log_writer_;
  std::unique_ptr<worker::HandshakeThreads> handshakes_;
  std::deque<worker::WorkerThread> threads_;
  std::unique_ptr<agent::SecretWatcher> secret_watcher_;
  std::unique_ptr<agent::OverloadWatcher> overload_watcher_;  ///< none without anything to watch
  std::unique_ptr<agent::NameThread> name_thread_;
  std::unique_ptr<agent::KeySetThread> key_set_thread_;
  std::unique_ptr<agent::DiscoveryThread> discovery_thread_;  ///< none without files to follow
  std::unique_ptr<agent::XdsThread> xds_thread_;              ///< none without a control plane
  std::unique_ptr<agent::LastGoodKeeper> last_good_keeper_;   ///< none without --snapshot
  std::unique_ptr<agent::AdminServer> admin_;
  std::unique_ptr<agent::StatusServer> status_server_;  ///< none unless it was asked for
};

}  // namespace millrace::app
