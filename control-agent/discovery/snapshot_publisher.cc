#include "control-agent/discovery/snapshot_publisher.h"

#include <algorithm>
#include <utility>

namespace millrace::agent {
namespace {

/// Do workers see the same?
bool same_snapshot(const World& a, const World& b) {
  bool same = a.overload == b.overload && std::ranges::equal(a.listeners, b.listeners, [](const auto& x, const auto& y) {
                return x.second.listener == y.second.listener;
              });
  config::Snapshot::Clusters::for_each_change(a.snapshot_clusters, b.snapshot_clusters,
                                              [&](const auto&, const auto*, const auto*) { same = false; });
  config::Snapshot::Clusters::for_each_change(a.checking_clusters, b.checking_clusters,
                                              [&](const auto&, const auto*, const auto*) { same = false; });
  return same;
}

}  // namespace

SnapshotPublisher::SnapshotPublisher(WorldSettings settings, World first)
    : settings_(std::move(settings)),
      world_(std::make_shared<const World>(std::move(first))),
      snapshot_(make_snapshot(*world_, settings_, 1)) {}

void SnapshotPublisher::open_sinks_with(SinkOpener open_sinks) {
  const std::scoped_lock lock(updating_);
  open_sinks_ = std::move(open_sinks);
}

void SnapshotPublisher::start(config::SnapshotSlot& slot) {
  const std::scoped_lock lock(updating_, mutex_);
  slot_ = &slot;
  slot.publish(snapshot_);
}

void SnapshotPublisher::start_clusters(config::SnapshotSlot& slot) {
  {
    const std::scoped_lock lock(updating_, mutex_);
    settings_.waits_for_checks = true;
    holds_listeners_ = true;
    publish();
  }
  start(slot);
}

void SnapshotPublisher::follow_checks() {
  bool any = false;
  for (const auto& [name, cluster] : world()->checking_clusters) any = any || agent::is_checked(*cluster);
  if (any) update([](Batch& batch) { (void)batch.apply([](Resources&) {}); });
}

bool SnapshotPublisher::is_checked() const {
  const auto now = world();
  const auto checked = [](const auto& entry) { return agent::is_checked(*entry.second); };
  return now->checking_clusters.empty() && std::ranges::all_of(now->snapshot_clusters, checked);
}

void SnapshotPublisher::open_listeners() {
  const std::scoped_lock lock(updating_, mutex_);
  if (!std::exchange(holds_listeners_, false)) return;
  publish();
}

// A new snapshot of the world of now. Under both locks.
void SnapshotPublisher::publish() {
  auto next = make_snapshot(*world_, settings_, snapshot_->version + 1);
  next->holds_listeners = holds_listeners_;
  if (holds_listeners_) next->listeners.clear();
  snapshot_ = std::move(next);
  if (slot_ != nullptr) slot_->publish(snapshot_);
}

void SnapshotPublisher::on_change(const void* listener, std::function<void()> changed) {
  const std::scoped_lock lock(mutex_);
  if (changed) {
    changed_[listener] = std::move(changed);
  } else {
    changed_.erase(listener);
  }
}

SnapshotPublisher::Batch::Outcome SnapshotPublisher::Batch::apply(const std::function<void(Resources&)>& edit) {
  Resources wanted = world_->resources;
  edit(wanted);
  Diagnostics statics;
  Translation next = translate_world(*world_, std::move(wanted), publisher_.settings_, statics);
  Outcome outcome{.errors = std::move(next.errors), .warnings = std::move(next.warnings)};
  outcome.errors.insert(outcome.errors.end(), statics.errors().begin(), statics.errors().end());
  if (outcome.errors.empty() && publisher_.open_sinks_ && next.world.log_sinks.size() > world_->log_sinks.size()) {
    if (const auto opened = publisher_.open_sinks_(next.world.log_sinks); !opened)
      outcome.errors.push_back({.file = {}, .line = 0, .path = {}, .reason = opened.error()});
  }
  if (outcome.errors.empty()) world_ = std::make_shared<const World>(std::move(next.world));
  return outcome;
}

void SnapshotPublisher::update(const std::function<void(Batch&)>& steps) {
  const std::scoped_lock lock(updating_);
  Batch batch(*this);
  steps(batch);
  const std::scoped_lock visible(mutex_);
  const bool same = same_snapshot(*world_, *batch.world_);
  const bool changed = world_ != batch.world_;
  world_ = std::move(batch.world_);
  if (changed) {
    for (const auto& [listener, tell] : changed_) tell();
  }
  if (same) return;
  publish();
}

std::shared_ptr<const World> SnapshotPublisher::world() const {
  const std::scoped_lock lock(mutex_);
  return world_;
}

std::shared_ptr<const config::Snapshot> SnapshotPublisher::snapshot() const {
  const std::scoped_lock lock(mutex_);
  return snapshot_;
}

void SnapshotPublisher::collect(std::uint64_t oldest_in_use) {
  if (slot_ != nullptr) slot_->collect(oldest_in_use);
}

}  // namespace millrace::agent
