// Discovery by files (xds.path_config_source): follows the files that the bootstrap names for clusters and listeners, those that
// clusters name for their endpoints and listeners for their routes, and brings what they hold to the publisher. A file holds one
// DiscoveryResponse in YAML or JSON; it is taken as a whole or, with an error, not at all.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "control-agent/diagnostics.h"
#include "control-agent/discovery/discovery_report.h"
#include "control-agent/discovery/file_watch.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "dataplane/base/result.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace millrace::agent {

/// Of a subscription, under the names that Envoy gives them.
struct SubscriptionStats {
  std::uint64_t update_attempt = 0;
  std::uint64_t update_success = 0;
  std::uint64_t update_failure = 0;      ///< the file could not be read, or is no DiscoveryResponse
  std::uint64_t update_rejected = 0;     ///< what it holds is not accepted
  std::uint64_t init_fetch_timeout = 0;  ///< what did not come in time
  std::int64_t update_time = 0;          ///< of the last success: milliseconds since 1970
  std::uint64_t version = 0;             ///< hash of version_text
  std::string version_text;              ///< version_info of the last success
};

/// A file that resources of one type come from.
struct Subscription {
  ResourceType type;
  PathSource source;
  auto operator<=>(const Subscription&) const = default;
};

/// What became of one file.
struct FileReport {
  Subscription subscription;
  std::vector<ConfigError> errors;  ///< empty: what it holds is in use
  std::vector<ConfigError> warnings;
  std::string version;                                ///< its version_info
  std::map<std::string, RefusedUpdate> refused = {};  ///< by name: with errors what it holds, as far as it can be read
};

/// Any thread may ask for stats() and refused(); the others are for one thread at a time.
class FileDiscovery {
 public:
  /// For what `bootstrap` names. `publisher` must outlive this.
  FileDiscovery(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, SnapshotPublisher& publisher);
  ~FileDiscovery();

  /// Reads every file for the first time. One that does not exist is an error at its field, as in Envoy; one that holds something
  /// wrong is told in `reports`, and the gateway starts without it.
  void start(Diagnostics& diagnostics, std::vector<FileReport>& reports);
  /// Reads again what was moved into place since the last call.
  [[nodiscard]] std::vector<FileReport> follow();

  /// Readable when follow() may have something to do; -1: there are no files to follow.
  [[nodiscard]] int descriptor() const { return watch_ != nullptr ? watch_->descriptor() : -1; }
  [[nodiscard]] std::map<Subscription, SubscriptionStats> stats() const;
  /// What files hold that were not taken, as far as it can be read.
  [[nodiscard]] RefusedTable refused() const;

 private:
  struct State {
    std::set<std::string> names;  ///< that somebody asks for; of clusters and listeners: all
    SubscriptionStats stats;
    std::map<std::string, RefusedUpdate> refused = {};  ///< of the file as it was read last, by name
  };
  using Batch = SnapshotPublisher::Batch;

  [[nodiscard]] std::map<Subscription, std::set<std::string>> wanted(const World& world) const;
  void read(const Subscription& subscription, Batch& batch, std::vector<FileReport>& reports);
  void settle(Batch& batch, std::vector<FileReport>& reports);
  void drop(const Subscription& subscription, Batch& batch);
  [[nodiscard]] bool open_watch(std::string& reason);

  SnapshotPublisher& publisher_;
  std::map<Subscription, std::set<std::string>> from_bootstrap_;
  std::unique_ptr<FileWatch> watch_;
  mutable std::mutex mutex_;  // of subscriptions_
  std::map<Subscription, State> subscriptions_;
};

}  // namespace millrace::agent
