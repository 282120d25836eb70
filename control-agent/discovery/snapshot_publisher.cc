#include "control-agent/discovery/snapshot_publisher.h"

#include <algorithm>
#include <utility>

namespace millrace::agent {
namespace {

/// Do workers see the same?
bool same_snapshot(const World& a, const World& b) {
  bool same = std::ranges::equal(a.listeners, b.listeners,
                                 [](const auto& x, const auto& y) { return x.second.listener == y.second.listener; });
  config::Snapshot::Clusters::for_each_change(a.snapshot_clusters, b.snapshot_clusters,
                                              [&](const auto&, const auto*, const auto*) { same = false; });
  return same;
}

}  // namespace

SnapshotPublisher::SnapshotPublisher(WorldSettings settings, World first)
    : settings_(std::move(settings)),
      world_(std::make_shared<const World>(std::move(first))),
      snapshot_(make_snapshot(*world_, settings_, 1)) {}

void SnapshotPublisher::start(config::SnapshotSlot& slot, SinkOpener open_sinks) {
  const std::scoped_lock lock(updating_, mutex_);
  slot_ = &slot;
  open_sinks_ = std::move(open_sinks);
  slot.publish(snapshot_);
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
  snapshot_ = make_snapshot(*world_, settings_, snapshot_->version + 1);
  if (slot_ != nullptr) slot_->publish(snapshot_);
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
