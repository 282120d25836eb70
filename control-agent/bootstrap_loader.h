// From files to a snapshot: reads the bootstrap and the dataplane, checks form, rules, support and references, and translates.
// This is what `--mode validate` runs and what the gateway starts from.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/model/dataplane.h"
#include "config/model/snapshot.h"
#include "control-agent/cell_registry.h"
#include "control-agent/diagnostics.h"
#include "control-agent/jwks/key_set_store.h"
#include "control-agent/overload/overload_manager.h"
#include "control-agent/secrets/secret_store.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"

namespace envoy::config {
namespace bootstrap::v3 {
class Bootstrap;
}
namespace core::v3 {
class Node;
}
}  // namespace envoy::config
namespace millrace::v1 {
class Dataplane;
}

namespace millrace::agent {

class DiscoveredSecrets;
class FileDiscovery;
class SnapshotPublisher;

struct LoadOptions {
  std::string config_path;     ///< -c; empty: none (then config_yaml must not be)
  std::string config_yaml;     ///< --config-yaml: merged over the file
  std::string dataplane_path;  ///< --dataplane; empty: a bootstrap_extensions entry, or no ports
  std::string service_node;    ///< --service-node; empty: the bootstrap's node.id
  std::string service_cluster;
  bool allow_unknown_static_fields = false;
  /// --concurrency: the number of workers when the dataplane gives no workers.count; 0: the cores available minus one.
  std::size_t concurrency = 0;
  /// The cells of an earlier load, made for as many workers; null: new ones.
  std::shared_ptr<CellRegistry> cells;
};

struct Loaded {
  Loaded();
  Loaded(Loaded&&) noexcept;
  Loaded& operator=(Loaded&&) noexcept;
  ~Loaded();

  /// The bootstrap for /config_dump.
  [[nodiscard]] nlohmann::ordered_json bootstrap_json() const;

  std::unique_ptr<envoy::config::bootstrap::v3::Bootstrap> bootstrap;  ///< as read
  std::unique_ptr<millrace::v1::Dataplane> dataplane;                  ///< never null; empty when none was given
  std::shared_ptr<const config::Snapshot> snapshot;  ///< the first: what files of dynamic_resources hold is in it
  config::Dataplane machine;                         ///< worker_count is decided: what is compiled per worker is there as often
  std::optional<SocketAddress> admin_address;
  std::shared_ptr<CellRegistry> cells;
  std::shared_ptr<SecretStore> secrets;                   ///< never null: the TLS contexts of the snapshot, for a SecretWatcher
  std::shared_ptr<KeySetStore> key_sets;                  ///< never null: what a KeySetThread has to fetch
  std::shared_ptr<const OverloadPlan> overload;           ///< null: there is nothing to watch; else for an OverloadWatcher
  std::unique_ptr<SnapshotPublisher> publisher;           ///< never null: of all snapshots that follow
  std::unique_ptr<FileDiscovery> discovery;               ///< never null; has read its files once
  std::shared_ptr<DiscoveredSecrets> discovered_secrets;  ///< never null
  std::unique_ptr<envoy::config::core::v3::Node> node;    ///< never null: what control planes are told about us
  bool has_control_plane = false;                         ///< an XdsThread has to ask one
  bool reports_load = false;                              ///< an XdsThread has to tell somebody how much load there is
  std::vector<std::string> warnings;                      ///< a line each
  std::vector<ConfigError> harmless;                      ///< fields without effect, for the log at debug
};

/// Either everything, or every error that was found (at most kMaxConfigErrors of each file).
[[nodiscard]] Result<Loaded, std::vector<ConfigError>> load(const LoadOptions& options);

}  // namespace millrace::agent
