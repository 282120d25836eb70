#include "control-agent/discovery/file_discovery.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/discovery/discovery_file.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

constexpr std::string_view kClustersField = "dynamic_resources.cds_config";
constexpr std::string_view kListenersField = "dynamic_resources.lds_config";
constexpr std::string_view kRuntimeField = "layered_runtime";

/// Of clusters or of listeners, whose names are the gateway's: all that came from the file before go, those of the bootstrap stay
/// as they are.
template <typename Message>
void replace_all(NamedResources<Message>& table, const std::string& path, const std::vector<ResourcePtr<Message>>& resources) {
  table.erase_if([&](const auto& entry) { return !entry.second->origin().is_static && entry.second->origin().source == path; });
  for (const auto& resource : resources) table.add(resource->name, resource);
}

/// Of resources whose names are their file's.
template <typename Message>
void replace_all(KeyedResources<Message>& table, const std::string& path, const std::vector<ResourcePtr<Message>>& resources) {
  table.erase_if([&](const auto& entry) { return entry.first.source == path; });
  for (const auto& resource : resources) table.set(ResourceKey{path, resource->name}, resource);
}

/// Those that the bootstrap has, too, and whose word counts.
template <typename Message>
void warn_of_statics(const NamedResources<Message>& table, const std::vector<ResourcePtr<Message>>& resources,
                     FileReport& report) {
  for (const auto& resource : resources) {
    const auto known = find_resource(table, std::string(resource->name));
    if (known == nullptr || !known->origin().is_static) continue;
    report.warnings.push_back({.file = resource->origin().source,
                               .line = resource->origin().places->find(resource->path()).line,
                               .path = resource->path(),
                               .reason = "is passed over: the bootstrap has one of this name, which no update replaces"});
  }
}
template <typename Message>
void warn_of_statics(const KeyedResources<Message>&, const std::vector<ResourcePtr<Message>>&, FileReport&) {}

/// Of a file that is not taken: with all that is wrong with it, as it is taken as a whole.
template <typename Message>
std::map<std::string, RefusedUpdate> refuse(const DiscoveryFile<Message>& file, const std::vector<ConfigError>& errors) {
  std::string details;
  for (const ConfigError& error : errors) details += (details.empty() ? "" : "; ") + error.to_string();
  std::map<std::string, RefusedUpdate> out;
  for (const auto& resource : file.resources) {
    out[resource->name] = {.version = resource->origin().version,
                           .attempted = resource->origin().updated,
                           .details = details,
                           .content = as_message(*resource)};
  }
  return out;
}

/// Reads the file and brings it in. False: it could not even be read.
template <typename Message, typename Table>
bool take_file(const Subscription& subscription, const std::set<std::string>& names, Table Resources::* table,
               SnapshotPublisher::Batch& batch, FileReport& report) {
  const std::string& path = subscription.source.path;
  DiscoveryFile<Message> file = read_discovery_file<Message>(path, names);
  report.errors = std::move(file.errors);
  report.warnings = std::move(file.warnings);
  report.version = file.version;
  if (!report.errors.empty()) {
    report.refused = refuse(file, report.errors);
    return file.readable;
  }
  warn_of_statics(batch.resources().*table, file.resources, report);
  auto outcome = batch.apply([&](Resources& resources) { replace_all(resources.*table, path, file.resources); });
  report.errors = std::move(outcome.errors);
  if (!report.errors.empty()) report.refused = refuse(file, report.errors);
  report.warnings.insert(report.warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
  return true;
}

/// What was asked for and did not come is known not to be there: whoever waits for it goes on without.
template <typename Message>
void go_without(KeyedResources<Message>& table, const std::string& path, const std::set<std::string>& names) {
  for (const std::string& name : names) table.add(ResourceKey{path, name}, nullptr);
}

std::int64_t milliseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// The field of the bootstrap, or of the resource, that names the file.
std::string field_of(const Subscription& subscription) {
  switch (subscription.type) {
    case ResourceType::kCluster: return std::string(kClustersField);
    case ResourceType::kListener: return std::string(kListenersField);
    case ResourceType::kRuntime: return std::string(kRuntimeField);
    default: return {};
  }
}

}  // namespace

FileDiscovery::FileDiscovery(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, SnapshotPublisher& publisher)
    : publisher_(publisher) {
  const auto& dynamic = bootstrap.dynamic_resources();
  const auto add = [&](ResourceType type, const PathSource& source) {
    if (!source.path.empty()) from_bootstrap_[{type, source}];
  };
  add(ResourceType::kCluster, path_source(dynamic.cds_config()));
  add(ResourceType::kListener, path_source(dynamic.lds_config()));
  for (const auto& [key, source] : runtime_sources(bootstrap.layered_runtime())) {
    if (const PathSource file = path_source(source); !file.path.empty())
      from_bootstrap_[{ResourceType::kRuntime, file}].insert(key.name);
  }
}

FileDiscovery::~FileDiscovery() = default;

void FileDiscovery::start(Diagnostics& diagnostics, std::vector<FileReport>& reports) {
  for (const auto& [subscription, names] : from_bootstrap_) {
    if (access(subscription.source.path.c_str(), F_OK) == 0) continue;
    diagnostics.error(field_of(subscription),
                      "the file \"" + subscription.source.path + "\" does not exist; it must be there from the start on");
  }
  if (!diagnostics.ok()) return;
  publisher_.update([&](Batch& batch) { settle(batch, reports); });
}

std::vector<FileReport> FileDiscovery::follow() {
  std::vector<FileReport> reports;
  if (watch_ == nullptr) return reports;
  const std::set<PathSource> changed = watch_->take_changes();
  if (changed.empty()) return reports;
  publisher_.update([&](Batch& batch) {
    std::vector<Subscription> concerned;
    for (const auto& [subscription, state] : subscriptions_) {
      if (changed.contains(subscription.source)) concerned.push_back(subscription);
    }
    for (const Subscription& subscription : concerned) read(subscription, batch, reports);
    settle(batch, reports);
  });
  return reports;
}

std::map<Subscription, SubscriptionStats> FileDiscovery::stats() const {
  const std::lock_guard lock(mutex_);
  std::map<Subscription, SubscriptionStats> out;
  for (const auto& [subscription, state] : subscriptions_) out.emplace(subscription, state.stats);
  return out;
}

RefusedTable FileDiscovery::refused() const {
  const std::lock_guard lock(mutex_);
  RefusedTable out;
  for (const auto& [subscription, state] : subscriptions_) {
    for (const auto& [name, update] : state.refused) out[{subscription.type, subscription.source.path, name}] = update;
  }
  return out;
}

std::map<Subscription, std::set<std::string>> FileDiscovery::wanted(const World& world) const {
  std::map<Subscription, std::set<std::string>> out = from_bootstrap_;
  world.for_each_cluster([&](const std::string&, const WorldCluster& cluster) {
    if (!cluster.is_discovered()) return;
    const PathSource& source = cluster.assignment_source->path;
    if (!source.path.empty()) out[{ResourceType::kAssignment, source}].insert(cluster.assignment_name);
  });
  world.for_each_listener([&](const std::string&, const WorldListener& listener) {
    for (const auto& [key, from] : listener.route_sources) {
      const PathSource source = path_source(from);
      if (!source.path.empty()) out[{ResourceType::kRoutes, source}].insert(key.name);
    }
    for (const auto& [key, from] : listener.scope_sources) {
      if (const PathSource source = path_source(from); !source.path.empty()) (void)out[{ResourceType::kScope, source}];
    }
    for (const auto& [key, from] : listener.extension_sources) {
      const PathSource source = path_source(from.source);
      if (!source.path.empty()) out[{ResourceType::kExtension, source}].insert(key.name);
    }
  });
  return out;
}

// What a file brought may name other files, and those yet others: until nobody asks for what is not there.
void FileDiscovery::settle(Batch& batch, std::vector<FileReport>& reports) {
  while (true) {
    const auto now = wanted(batch.world());
    std::vector<Subscription> gone;
    for (const auto& [subscription, state] : subscriptions_) {
      if (!now.contains(subscription)) gone.push_back(subscription);
    }
    for (const Subscription& subscription : gone) drop(subscription, batch);
    const auto next = std::ranges::find_if(now, [&](const auto& entry) {
      const auto known = subscriptions_.find(entry.first);
      return known == subscriptions_.end() || known->second.names != entry.second;
    });
    if (next == now.end()) return;
    {
      const std::lock_guard lock(mutex_);
      subscriptions_[next->first].names = next->second;
    }
    read(next->first, batch, reports);
  }
}

bool FileDiscovery::open_watch(std::string& reason) {
  if (watch_ != nullptr) return true;
  auto watch = FileWatch::create();
  if (watch) {
    watch_ = std::move(*watch);
  } else {
    reason = watch.error();
  }
  return watch_ != nullptr;
}

void FileDiscovery::read(const Subscription& subscription, Batch& batch, std::vector<FileReport>& reports) {
  FileReport& report = reports.emplace_back();
  report.subscription = subscription;
  const std::string& path = subscription.source.path;
  // The watch first: what is moved into place after the read is a change.
  std::string reason;
  std::optional<bool> readable;
  if (!open_watch(reason)) {
    report.errors.push_back({.file = path, .line = 0, .path = {}, .reason = reason});
  } else if (const auto added = watch_->add(subscription.source); !added) {
    report.errors.push_back({.file = path, .line = 0, .path = {}, .reason = added.error()});
  } else {
    const std::set<std::string> names = subscriptions_.at(subscription).names;
    switch (subscription.type) {
      case ResourceType::kCluster:
        readable = take_file<ClusterMessage>(subscription, names, &Resources::clusters, batch, report);
        break;
      case ResourceType::kAssignment:
        readable = take_file<AssignmentMessage>(subscription, names, &Resources::assignments, batch, report);
        break;
      case ResourceType::kExtension:
        readable = take_file<ExtensionMessage>(subscription, names, &Resources::extensions, batch, report);
        break;
      case ResourceType::kRuntime:
        readable = take_file<RuntimeMessage>(subscription, names, &Resources::runtimes, batch, report);
        break;
      case ResourceType::kScope:
        readable = take_file<ScopeMessage>(subscription, names, &Resources::scopes, batch, report);
        break;
      case ResourceType::kListener:
        readable = take_file<ListenerMessage>(subscription, names, &Resources::listeners, batch, report);
        break;
      case ResourceType::kRoutes:
        readable = take_file<RouteMessage>(subscription, names, &Resources::routes, batch, report);
        break;
      case ResourceType::kSecret: break;  // secrets are read with the contexts that are made of them
    }
  }
  if (!report.errors.empty()) {
    (void)batch.apply([&](Resources& resources) {
      const std::set<std::string>& names = subscriptions_.at(subscription).names;
      if (subscription.type == ResourceType::kAssignment) go_without(resources.assignments, path, names);
      if (subscription.type == ResourceType::kRoutes) go_without(resources.routes, path, names);
      if (subscription.type == ResourceType::kExtension) go_without(resources.extensions, path, names);
    });
  }
  // Whatever became of it, nobody waits for it any longer.
  if (subscription.type == ResourceType::kScope)
    (void)batch.apply([&](Resources& resources) { resources.known_scopes.insert(path); });
  const std::lock_guard lock(mutex_);
  subscriptions_.at(subscription).refused = report.refused;
  SubscriptionStats& stats = subscriptions_.at(subscription).stats;
  ++stats.update_attempt;
  if (report.errors.empty()) {
    ++stats.update_success;
    stats.update_time = milliseconds_since_1970();
    stats.version_text = report.version;
    stats.version = config::content_hash(report.version);
  } else {
    ++(readable.value_or(false) ? stats.update_rejected : stats.update_failure);
  }
}

void FileDiscovery::drop(const Subscription& subscription, Batch& batch) {
  // What nobody asks for does no harm where it stands: the step cannot fail.
  (void)batch.apply([&](Resources& resources) {
    replace_all<RouteMessage>(resources.routes, subscription.source.path, {});
    replace_all<AssignmentMessage>(resources.assignments, subscription.source.path, {});
    replace_all<ExtensionMessage>(resources.extensions, subscription.source.path, {});
    replace_all<ScopeMessage>(resources.scopes, subscription.source.path, {});
    resources.known_scopes.erase(subscription.source.path);
  });
  {
    const std::lock_guard lock(mutex_);
    subscriptions_.erase(subscription);
  }
  const bool still_watched =
      std::ranges::any_of(subscriptions_, [&](const auto& entry) { return entry.first.source == subscription.source; });
  if (!still_watched) watch_->remove(subscription.source);
}

}  // namespace millrace::agent
