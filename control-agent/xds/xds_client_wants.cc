// What is asked for follows from what runs; what does not come in time, or whose time is over, is given up.
#include <algorithm>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"
#include "control-agent/xds/xds_sources.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

namespace {

constexpr std::string_view kAll = "*";  // what is asked for without names, where names are looked at

/// Changes whenever other resources may be wanted.
std::uint64_t fingerprint(const World& world) {
  const auto sum = [](const WorldChanges& changes) { return changes.added + changes.modified + changes.removed; };
  std::uint64_t scopes = 0;
  for (const auto& [source, reloads] : world.scope_reloads) scopes += reloads;
  return config::content_hash(std::to_string(sum(world.cluster_changes)) + "," + std::to_string(sum(world.listener_changes)) +
                              "," + std::to_string(scopes) + "," + std::to_string(world.warming_clusters.size()) + "," +
                              std::to_string(world.warming_listeners.size()));
}

}  // namespace

void XdsClient::follow_world(Instant now) {
  const auto world = around_.publisher.world();
  const std::uint64_t print = fingerprint(*world);
  if (!has_followed_ || print != followed_) {
    has_followed_ = true;
    followed_ = print;
    using Names = decltype(Wanted::names);
    std::map<SubscriptionKey, std::vector<Names::Entry>> all;
    for (auto& [key, names] : wanted_) all[key];  // those that nobody wants any more are told so
    const auto add = [&](ResourceType type, const ResourceKey& key, const core::ConfigSource& source) {
      if (is_control_plane(source))
        all[{type, key.source}].emplace_back(key.name, std::make_shared<const core::ConfigSource>(source));
    };
    world->for_each_cluster([&](const std::string&, const WorldCluster& cluster) {
      if (!cluster.is_discovered() || !is_control_plane(cluster.assignment_source->config)) return;
      // They share the source with their cluster.
      const std::shared_ptr<const core::ConfigSource> source(cluster.assignment_source, &cluster.assignment_source->config);
      all[{ResourceType::kAssignment, cluster.assignment_source->key}].emplace_back(cluster.assignment_name, source);
    });
    world->for_each_listener([&](const std::string&, const WorldListener& listener) {
      for (const auto& [key, source] : listener.route_sources) add(ResourceType::kRoutes, key, source);
      for (const auto& [key, source] : listener.scope_sources) add(ResourceType::kScope, {key, std::string(kAll)}, source);
      for (const auto& [key, extension] : listener.extension_sources) add(ResourceType::kExtension, key, extension.source);
    });
    for (const auto& [key, source] : runtime_sources(around_.bootstrap.layered_runtime()))
      add(ResourceType::kRuntime, key, source);
    for (const SecretName& name : around_.secrets.wanted())
      add(ResourceType::kSecret, {name.source, name.name}, around_.discovered.source_of(name));
    std::map<SubscriptionKey, Wanted> wanted;
    for (auto& [key, names] : all) wanted[key].names.set_all(std::move(names));
    for (const auto& [key, names] : wanted) ask(key.first, key.second, names, now);
    wanted_ = std::move(wanted);
    forget_unwanted();
    follow_secrets();
  }
  std::erase_if(fetch_deadlines_, [&](const auto& entry) {
    const auto& [key, name] = entry.first;
    return !name.empty() && is_known(*around_.publisher.world(), key.first, key.second, name);
  });
}

void XdsClient::ask(ResourceType type, const std::string& source, const Wanted& wanted, Instant now) {
  Channel* channel = find_channel(type, source);
  if (channel == nullptr && !wanted.names.empty()) {
    open_channels(*wanted.names.begin()->second, type);
    channel = find_channel(type, source);
  }
  if (channel == nullptr) return;
  if (!wanted.names.empty()) stand_in_.on_asked({type, source}, now);
  if (names_all(type) && !channel->session->carries(type) && !wanted.names.empty()) channel->session->add_type(type, true);
  std::set<SharedName> names;
  const auto world = around_.publisher.world();
  for (const auto& [name, from] : wanted.names) {
    names.insert(names.end(), name);
    if (!is_known(*world, type, source, name)) fetch_deadlines_.try_emplace({{type, source}, name}, now + fetch_timeout(*from));
  }
  if (!names_all(type)) channel->session->want(type, names);
}

bool XdsClient::is_known(const World& world, ResourceType type, const std::string& source, const std::string& name) const {
  switch (type) {
    case ResourceType::kAssignment: return world.resources.assignments.contains(ResourceKey{source, name});
    case ResourceType::kRoutes: return world.resources.routes.contains(ResourceKey{source, name});
    case ResourceType::kExtension: return world.resources.extensions.contains(ResourceKey{source, name});
    case ResourceType::kRuntime: return world.resources.runtimes.contains(ResourceKey{source, name});
    case ResourceType::kScope: return world.resources.known_scopes.contains(source);
    case ResourceType::kSecret: return around_.discovered.is_settled({source, name});
    case ResourceType::kCluster: return clusters_known_;
    case ResourceType::kListener: return listeners_known_;
  }
  return true;
}

// What nobody needs any more: it would be out of date when somebody does again.
void XdsClient::forget_unwanted() {
  const auto unwanted = [this](ResourceType type, const ResourceKey& key) {
    if (!is_control_plane(key.source)) return false;
    const auto at = wanted_.find({type, key.source});
    return at == wanted_.end() || !at->second.names.contains(key.name);
  };
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(refused_, [&](const auto& entry) {
      const auto& [type, source, name] = entry.first;
      return type != ResourceType::kCluster && type != ResourceType::kListener && unwanted(type, {source, name});
    });
  }
  const auto world = around_.publisher.world();
  const auto any = [&](ResourceType type, const auto& table) {
    return std::ranges::any_of(table, [&](const auto& entry) { return unwanted(type, entry.first); });
  };
  std::erase_if(fetch_deadlines_, [&](const auto& entry) {
    const auto& [key, name] = entry.first;
    return !name.empty() && unwanted(key.first, {key.second, name});
  });
  if (!any(ResourceType::kAssignment, world->resources.assignments) && !any(ResourceType::kRoutes, world->resources.routes) &&
      !any(ResourceType::kExtension, world->resources.extensions))
    return;
  around_.publisher.update([&](Batch& batch) {
    (void)batch.apply([&](Resources& resources) {
      resources.assignments.erase_if([&](const auto& entry) { return unwanted(ResourceType::kAssignment, entry.first); });
      resources.routes.erase_if([&](const auto& entry) { return unwanted(ResourceType::kRoutes, entry.first); });
      resources.extensions.erase_if([&](const auto& entry) { return unwanted(ResourceType::kExtension, entry.first); });
    });
  });
}

void XdsClient::give_up_late(Instant now) {
  std::vector<std::pair<SubscriptionKey, std::string>> late;
  for (const auto& [key, deadline] : fetch_deadlines_) {
    if (deadline <= now) late.push_back(key);
  }
  std::erase_if(late, [&](const auto& item) {
    const auto& [key, name] = item;
    const KindKey kind{key.first, key.second};
    const bool known = name.empty() ? stand_in_.knows(kind) : stand_in_.knows(kind, name);
    if (!known) return false;
    fetch_deadlines_.erase(item);
    if (name.empty()) {
      stand_in_for_all(kind, now);
    } else {
      recall(kind, stand_in_.say(kind, {name}), now);
    }
    return true;
  });
  if (late.empty()) return;
  for (const auto& key : late) fetch_deadlines_.erase(key);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, name] : late) ++stats_[{key.first, {key.second, {}}}].init_fetch_timeout;
  }
  for (const auto& [key, name] : late) {
    const bool all = names_all(key.first);
    reports_.push_back(
        {.server = {},
         .type = key.first,
         .version = {},
         .resources = 0,
         .removed = 0,
         .error = (all ? "nothing has" : "\"" + name + "\" has not") + std::string(" come within initial_fetch_timeout"),
         .stands_in = false,
         .warnings = {}});
  }
  around_.publisher.update([&](Batch& batch) {
    (void)batch.apply([&](Resources& resources) {
      for (const auto& [key, name] : late) {
        const auto& [type, source] = key;
        if (type == ResourceType::kAssignment) resources.assignments.add({source, name}, nullptr);
        if (type == ResourceType::kRoutes) resources.routes.add({source, name}, nullptr);
        if (type == ResourceType::kExtension) resources.extensions.add({source, name}, nullptr);
        if (type == ResourceType::kRuntime) resources.runtimes.add({source, name}, nullptr);
        if (type == ResourceType::kScope) resources.known_scopes.insert(source);
        if (type == ResourceType::kSecret) around_.discovered.give_up({source, name});
        if (type == ResourceType::kCluster) clusters_known_ = true;
        if (type == ResourceType::kListener) listeners_known_ = true;
        if (name.empty()) given_up_.insert(type);
      }
    });
  });
}

void XdsClient::remove_due(Instant now) {
  std::vector<std::pair<SubscriptionKey, std::string>> over;
  for (const auto& [key, end] : lifetimes_) {
    if (end <= now) over.push_back(key);
  }
  for (const auto& key : over) lifetimes_.erase(key);
  std::set<std::string> clusters;
  for (const auto& [name, end] : departing_clusters_) {
    if (end <= now) clusters.insert(name);
  }
  for (const std::string& name : clusters) departing_clusters_.erase(name);
  if (over.empty() && clusters.empty()) return;
  around_.publisher.update([&](Batch& batch) {
    const auto drop = [](auto& table, const auto& key) {
      const auto known = find_resource(table, key);
      if (known != nullptr && !known->origin().is_static) table.erase(key);
    };
    // One by one, again and again: what one needs may go with another. What something needs that stays is tried again later.
    for (std::size_t left = clusters.size() + 1; !clusters.empty() && clusters.size() < left;) {
      left = clusters.size();
      std::erase_if(clusters, [&](const std::string& name) {
        return batch.apply([&](Resources& all) { drop(all.clusters, name); }).errors.empty();
      });
    }
    for (const std::string& name : clusters) departing_clusters_.emplace(name, now + kClusterFarewell);
    for (const auto& [key, name] : over) {
      (void)batch.apply([&](Resources& all) {
        const ResourceKey named{key.second, name};
        if (key.first == ResourceType::kCluster) drop(all.clusters, name);
        if (key.first == ResourceType::kListener) drop(all.listeners, name);
        if (key.first == ResourceType::kAssignment) all.assignments.set(named, nullptr);
        if (key.first == ResourceType::kRoutes) all.routes.set(named, nullptr);
        if (key.first == ResourceType::kExtension) all.extensions.set(named, nullptr);
        if (key.first == ResourceType::kRuntime) all.runtimes.set(named, nullptr);
        if (key.first == ResourceType::kScope) all.scopes.erase(named);
      });
    }
  });
}

}  // namespace millrace::agent
