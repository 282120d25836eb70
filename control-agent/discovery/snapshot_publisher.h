// The one place from which snapshots come: holds the world that runs, lets sources of resources (files, names, a control plane)
// change it step by step, and publishes what came of it. Any thread may call; updates run one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config/model/snapshot_slot.h"
#include "control-agent/discovery/world.h"

namespace millrace::agent {

/// Makes the sinks ready to be written to: those that it knows, and new ones behind them. An error names the path and the reason.
using SinkOpener = std::function<Result<void, std::string>(const std::vector<config::LogSink>& sinks)>;

class SnapshotPublisher {
 public:
  /// Starts with a good world, whose snapshot has version 1.
  SnapshotPublisher(WorldSettings settings, World first);

  /// Who opens the sinks that changes bring: to be said before anything can change, those of the first world are open already.
  void open_sinks_with(SinkOpener open_sinks);

  /// From here on snapshots go to `slot`, that of now at once. It must outlive this.
  void start(config::SnapshotSlot& slot);
  /// The same for a gateway that is not ready yet: without listeners until open_listeners(), and from here on clusters wait for
  /// the first results of their health checks before they serve.
  void start_clusters(config::SnapshotSlot& slot);
  /// To be called now and then: lets clusters serve whose checks have had their first results.
  void follow_checks();
  /// Every health check of clusters that serve, or wait for it, has had a first result.
  [[nodiscard]] bool is_checked() const;
  void open_listeners();

  /// `changed` is called, by whoever changes something, after each change of the world. Null: `listener` is told nothing any
  /// more. It must not call back.
  void on_change(const void* listener, std::function<void()> changed);

  /// What one update does: steps that become visible together.
  class Batch {
   public:
    [[nodiscard]] const World& world() const { return *world_; }
    [[nodiscard]] const Resources& resources() const { return world_->resources; }

    struct Outcome {
      std::vector<ConfigError> errors;  ///< empty: the step is done
      std::vector<ConfigError> warnings;
    };
    /// A step: all that `edit` changes, or with an error nothing of it.
    [[nodiscard]] Outcome apply(const std::function<void(Resources&)>& edit);

   private:
    friend class SnapshotPublisher;
    explicit Batch(SnapshotPublisher& publisher) : publisher_(publisher), world_(publisher.world()) {}

    SnapshotPublisher& publisher_;
    std::shared_ptr<const World> world_;
  };

  /// Runs `steps`, then publishes a snapshot if they have changed anything that workers see.
  void update(const std::function<void(Batch&)>& steps);

  [[nodiscard]] std::shared_ptr<const World> world() const;
  [[nodiscard]] const RuntimePlan& runtime_plan() const { return settings_.runtime; }
  [[nodiscard]] std::shared_ptr<const config::Snapshot> snapshot() const;

  /// Frees snapshots that no worker has any more: `oldest_in_use` is the lowest version that one of them reports.
  void collect(std::uint64_t oldest_in_use);

 private:
  void publish();

  WorldSettings settings_;    // what changes of it does under `updating_`
  std::mutex updating_;       // held for a whole update
  mutable std::mutex mutex_;  // of what is below, for moments
  std::shared_ptr<const World> world_;
  std::shared_ptr<const config::Snapshot> snapshot_;
  bool holds_listeners_ = false;
  config::SnapshotSlot* slot_ = nullptr;
  SinkOpener open_sinks_;
  std::map<const void*, std::function<void()>> changed_;  // by listener
};

}  // namespace millrace::agent
