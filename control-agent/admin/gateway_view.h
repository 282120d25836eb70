// What the admin server sees of the gateway, and what it may ask of it. Implemented by dataplane/app, which knows all rooms.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "config/model/snapshot.h"
#include "control-agent/discovery/discovery_report.h"
#include "control-agent/runtime_values.h"
#include "control-agent/secrets/secret_store.h"
#include "dataplane/base/result.h"
#include "dataplane/report/capture.h"
#include "dataplane/report/connection_info.h"
#include "dataplane/report/worker_report.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace millrace::agent {

/// envoy.admin.v3.ServerInfo.State
enum class ServerState : std::uint8_t { kLive, kDraining, kPreInitializing, kInitializing };
[[nodiscard]] std::string_view to_text(ServerState state);

/// What /drain_listeners asks for.
enum class ListenerDrain : std::uint8_t {
  kClose,          ///< refuse new connections on every listener
  kGraceful,       ///< kClose, and those that exist are asked to leave
  kKeepListeners,  ///< connections are asked to leave, new ones after their first answer; for good
};

/// What the gateway was started with, for /server_info.
struct CommandLine {
  std::uint32_t concurrency = 0;  ///< workers that run
  std::string config_path;
  bool has_config_yaml = false;
  bool allow_unknown_static_fields = false;
  bool reject_unknown_dynamic_fields = false;
  std::string log_level;
  std::string log_path;
  std::string service_cluster;
  std::string service_node;
  std::chrono::seconds drain_time{0};
  bool drain_immediately = false;
};

/// A number of a port: "rx_packets" and such.
struct PortStat {
  std::string port;
  std::string name;
  std::uint64_t value = 0;
  bool gauge = false;  ///< else a counter
};

/// A number of a rule, over all ports: "hits" or "dropped".
struct RuleStat {
  std::string rule;
  std::string name;
  std::uint64_t value = 0;
};

/// What workers have told of their connections.
struct ConnectionList {
  std::vector<report::ConnectionInfo> connections;
  std::uint64_t left_out = 0;         ///< matched too, beyond the limit
  std::vector<std::uint32_t> silent;  ///< workers that did not answer in time
};

/// A capture that runs for as long as the object lives.
class CaptureSession {
 public:
  virtual ~CaptureSession() = default;
  /// One ring per worker; the caller is their only reader.
  [[nodiscard]] virtual const std::vector<report::CaptureRing*>& rings() const = 0;
};

/// Every function may be called from any thread.
class GatewayView {
 public:
  virtual ~GatewayView() = default;

  [[nodiscard]] virtual ServerState state() const = 0;
  [[nodiscard]] virtual std::string version() const = 0;
  [[nodiscard]] virtual std::chrono::seconds uptime() const = 0;
  [[nodiscard]] virtual CommandLine command_line() const = 0;
  /// As it was loaded.
  [[nodiscard]] virtual const envoy::config::bootstrap::v3::Bootstrap& bootstrap() const = 0;
  /// When the configuration was loaded.
  [[nodiscard]] virtual std::chrono::system_clock::time_point loaded_at() const = 0;
  [[nodiscard]] virtual std::shared_ptr<const config::Snapshot> snapshot() const = 0;
  [[nodiscard]] virtual std::vector<const report::WorkerReport*> workers() const = 0;
  [[nodiscard]] virtual std::vector<PortStat> port_stats() const = 0;
  /// Of rules that somebody counts.
  [[nodiscard]] virtual std::vector<RuleStat> rule_stats() const = 0;
  /// Memory of the process that is in RAM.
  [[nodiscard]] virtual std::uint64_t resident_bytes() const = 0;
  /// What each port is and offers, what of it is used, and where its rules are carried out, for /millrace/nic.
  [[nodiscard]] virtual nlohmann::ordered_json ports() const = 0;
  /// The TLS contexts that run, and how often their files have changed.
  [[nodiscard]] virtual const SecretStore& secrets() const = 0;
  /// What did not come with the bootstrap.
  [[nodiscard]] virtual DynamicResources dynamic_resources() const = 0;
  [[nodiscard]] virtual std::vector<DiscoveryStat> discovery_stats() const = 0;
  [[nodiscard]] virtual std::vector<RuntimeLayer> runtime_layers() const = 0;
  /// In the order in which CaptureOrder::ports counts them.
  [[nodiscard]] virtual std::vector<std::string> port_names() const = 0;

  /// Asks `worker`, or all, for the connections that `filter` lets through, at most `limit`. Waits seconds at the most.
  [[nodiscard]] virtual ConnectionList connections(const report::ConnectionFilter& filter, std::optional<std::uint32_t> worker,
                                                   std::size_t limit) = 0;
  /// Begins to copy frames in every worker. An error says why that is impossible now. At most limits::kCaptures at a time.
  [[nodiscard]] virtual Result<std::unique_ptr<CaptureSession>, std::string> start_capture(const report::CaptureOrder& order) = 0;

  /// Sets keys in the runtime's admin_layer; an empty value takes one out. An error says why nothing has changed.
  [[nodiscard]] virtual Result<void, std::string> modify_runtime(const RuntimeEntries& values) = 0;
  /// Ends the process without a drain (Envoy's /quitquitquit).
  virtual void quit() = 0;
  virtual void drain_listeners(ListenerDrain how) = 0;
  /// From here on state() says kDraining and /ready fails, until it is taken back. Listeners stay open.
  virtual void fail_health_checks(bool fail) = 0;
  /// Closes access logs and the log file, and opens them again.
  virtual void reopen_logs() = 0;
  /// False when the level has no such name.
  [[nodiscard]] virtual bool set_log_level(const std::string& level) = 0;
  [[nodiscard]] virtual std::string log_level() const = 0;
};

}  // namespace millrace::agent
