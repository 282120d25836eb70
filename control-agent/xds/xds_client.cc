#include "control-agent/xds/xds_client.h"

#include <algorithm>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/tls_secrets.h"
#include "dataplane/base/assert.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

namespace {

constexpr Duration kDefaultFetchTimeout = Duration::seconds(15);  // ConfigSource.initial_fetch_timeout
// A removed cluster goes this much later: servers may take it away before the routes that lead there, and requests on their way
// need it still.
constexpr Duration kClusterFarewell = Duration::seconds(5);

bool is_control_plane(const core::ConfigSource& source) {
  return source.has_ads() || source.has_self() || source.has_api_config_source();
}

bool is_control_plane(const std::string& source_key) { return source_key.empty() || source_key.starts_with("grpc:"); }

Duration fetch_timeout(const core::ConfigSource& source) {
  if (!source.has_initial_fetch_timeout()) return kDefaultFetchTimeout;
  const auto& given = source.initial_fetch_timeout();
  const Duration timeout = Duration::seconds(given.seconds()) + Duration::nanoseconds(given.nanos());
  return timeout > Duration() ? timeout : Duration::infinite();
}

std::int64_t milliseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// Changes whenever other resources may be wanted.
std::uint64_t fingerprint(const World& world) {
  const auto sum = [](const WorldChanges& changes) { return changes.added + changes.modified + changes.removed; };
  return config::content_hash(std::to_string(sum(world.cluster_changes)) + "," + std::to_string(sum(world.listener_changes)) +
                              "," + std::to_string(world.warming_clusters.size()) + "," +
                              std::to_string(world.warming_listeners.size()));
}

/// Does `error` concern the resource that stands at `path`?
bool concerns(const ConfigError& error, const std::string& path) {
  return error.path.starts_with(path) && (error.path.size() == path.size() || error.path[path.size()] == '.');
}

}  // namespace

bool has_control_plane(const envoy::config::bootstrap::v3::Bootstrap& bootstrap) {
  const auto& dynamic = bootstrap.dynamic_resources();
  return dynamic.has_ads_config() || is_control_plane(dynamic.cds_config()) || is_control_plane(dynamic.lds_config());
}

void check_control_planes(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics) {
  const auto& dynamic = bootstrap.dynamic_resources();
  const std::string path = "dynamic_resources";
  if (dynamic.has_ads_config()) (void)plan_servers(dynamic.ads_config(), join_path(path, "ads_config"), bootstrap, diagnostics);
  check_config_source(dynamic.cds_config(), join_path(path, "cds_config"), &bootstrap, diagnostics);
  check_config_source(dynamic.lds_config(), join_path(path, "lds_config"), &bootstrap, diagnostics);
}

XdsClient::XdsClient(const XdsSurroundings& surroundings, std::uint64_t seed) : around_(surroundings), rng_(seed) {
  const auto& dynamic = around_.bootstrap.dynamic_resources();
  if (dynamic.has_ads_config()) {
    Diagnostics unused;
    if (auto group = plan_servers(dynamic.ads_config(), {}, around_.bootstrap, unused)) {
      ads_ = std::make_unique<Channel>();
      const std::string method = aggregated_method(group->protocol);
      ads_->session = std::make_unique<StreamSession>(std::move(*group), method, around_.node, around_.transport, rng_.next());
    }
  }
  clusters_known_ = !is_control_plane(dynamic.cds_config());
  listeners_known_ = !is_control_plane(dynamic.lds_config());
  // Who looks at the numbers sees from the start on that somebody is asked.
  if (!clusters_known_) stats_[{ResourceType::kCluster, {source_key(dynamic.cds_config()), {}}}].update_attempt = 1;
  if (!listeners_known_) stats_[{ResourceType::kListener, {source_key(dynamic.lds_config()), {}}}].update_attempt = 1;
  if (!clusters_known_) open_channels(dynamic.cds_config(), ResourceType::kCluster);
  if (ads_ != nullptr) {
    for (const ResourceType type : {ResourceType::kAssignment, ResourceType::kRoutes, ResourceType::kSecret})
      ads_->session->add_type(type, false);
  }
}

XdsClient::~XdsClient() = default;

// Of a source that has none yet.
void XdsClient::open_channels(const core::ConfigSource& source, ResourceType type) {
  const bool is_wildcard = type == ResourceType::kCluster || type == ResourceType::kListener;
  if (!source.has_api_config_source()) {
    if (ads_ != nullptr && is_wildcard) ads_->session->add_type(type, true);
    return;
  }
  Diagnostics unused;  // whoever names the source has checked it
  auto group = plan_servers(source.api_config_source(), {}, around_.bootstrap, unused);
  if (!group) return;
  auto channel = std::make_unique<Channel>();
  channel->source = source_key(source);
  const std::string method = discovery_method(type, group->protocol);
  channel->session = std::make_unique<StreamSession>(std::move(*group), method, around_.node, around_.transport, rng_.next());
  channel->session->add_type(type, is_wildcard);
  by_type_[{type, channel->source}] = std::move(channel);
}

XdsClient::Channel* XdsClient::find_channel(ResourceType type, const std::string& source) {
  if (source.empty()) return ads_.get();
  const auto at = by_type_.find({type, source});
  return at == by_type_.end() ? nullptr : at->second.get();
}

void XdsClient::service(Instant now) {
  for (XdsStreamEvent& event : around_.transport.take_events()) take_event(event, now);
  give_up_late(now);
  remove_due(now);
  follow_world(now);
  update_warmth(now);
  if (ads_ != nullptr) ads_->session->service(now);
  for (const auto& [key, channel] : by_type_) channel->session->service(now);
  const std::lock_guard lock(mutex_);
  if (ads_ != nullptr) planes_["ads"] = ads_->session->stats();
  for (const auto& [key, channel] : by_type_) planes_[channel->session->server().name] = channel->session->stats();
}

Instant XdsClient::next_timeout() const {
  Instant next = ads_ != nullptr ? ads_->session->next_timeout() : Instant::never();
  for (const auto& [key, channel] : by_type_) next = std::min(next, channel->session->next_timeout());
  for (const auto& [key, deadline] : fetch_deadlines_) next = std::min(next, deadline);
  for (const auto& [key, end] : lifetimes_) next = std::min(next, end);
  for (const auto& [name, end] : departing_clusters_) next = std::min(next, end);
  return next;
}

bool XdsClient::is_warm() const {
  const std::lock_guard lock(mutex_);
  return warm_;
}

SubscriptionTable XdsClient::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::map<std::string, SessionStats> XdsClient::control_planes() const {
  const std::lock_guard lock(mutex_);
  return planes_;
}

void XdsClient::take_event(XdsStreamEvent& event, Instant now) {
  Channel* channel = ads_ != nullptr && ads_->session->owns(event.stream) ? ads_.get() : nullptr;
  for (const auto& [key, one] : by_type_) {
    if (one->session->owns(event.stream)) channel = one.get();
  }
  if (channel == nullptr) return;
  StreamSession& session = *channel->session;
  if (const auto* closed = std::get_if<XdsStreamClosed>(&event.what)) {
    reports_.push_back({.server = session.server().name,
                        .type = {},
                        .version = {},
                        .resources = 0,
                        .removed = 0,
                        .error = closed->reason,
                        .warnings = {}});
    session.on_closed(*closed, now);
    const std::lock_guard lock(mutex_);
    for (auto& [subscription, stats] : stats_) {
      if (subscription.source.path == channel->source && session.carries(subscription.type)) ++stats.update_failure;
    }
    return;
  }
  auto& response = std::get<XdsResponse>(event.what);
  if (const auto type = session.on_response(response, now)) take(*channel, *type, response, now);
}

void XdsClient::take(Channel& channel, ResourceType type, XdsResponse& response, Instant now) {
  XdsReport report{.server = channel.session->server().name,
                   .type = type,
                   .version = response.version,
                   .resources = response.resources.size(),
                   .removed = response.removed.size(),
                   .error = {},
                   .warnings = {}};
  Rejection rejection;
  bring(type, channel.source, response, report, rejection, now);
  note_lifetimes(type, channel.source, response, now);
  report.error = rejection.text();
  channel.session->answer(type, response, rejection.empty() ? std::nullopt : std::optional(rejection.text()), now);
  if (type == ResourceType::kCluster) clusters_known_ = true;
  if (type == ResourceType::kListener) listeners_known_ = true;
  {
    const std::lock_guard lock(mutex_);
    SubscriptionStats& stats = stats_[{type, {channel.source, {}}}];
    ++stats.update_attempt;
    if (rejection.empty()) {
      ++stats.update_success;
      stats.update_time = milliseconds_since_1970();
      stats.version_text = response.version;
      stats.version = config::content_hash(response.version);
    } else {
      ++stats.update_rejected;
    }
  }
  reports_.push_back(std::move(report));
}

void XdsClient::bring(ResourceType type, const std::string& source, XdsResponse& response, XdsReport& report,
                      Rejection& rejection, Instant now) {
  switch (type) {
    case ResourceType::kCluster:
      return bring_all<ClusterMessage>(&Resources::clusters, type, source, response, report, rejection, now);
    case ResourceType::kListener:
      return bring_all<ListenerMessage>(&Resources::listeners, type, source, response, report, rejection, now);
    case ResourceType::kAssignment:
      return bring_named<AssignmentMessage>(&Resources::assignments, type, source, response, report, rejection);
    case ResourceType::kRoutes: return bring_named<RouteMessage>(&Resources::routes, type, source, response, report, rejection);
    case ResourceType::kSecret: return bring_secrets(source, response, report, rejection);
  }
}

namespace {

/// Applies `edit(resources, good)`; resources that are to blame for an error are taken out, until the rest is good or nobody in
/// the response is to blame.
template <typename Message, typename Edit>
void apply_good(SnapshotPublisher::Batch& batch, std::vector<ResourcePtr<Message>> good, Edit&& edit, XdsReport& report,
                Rejection& rejection) {
  while (true) {
    auto outcome = batch.apply([&](Resources& resources) { edit(resources, good); });
    report.warnings.insert(report.warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
    if (outcome.errors.empty()) return;
    rejection.add(outcome.errors);
    const auto blamed = std::erase_if(good, [&](const ResourcePtr<Message>& resource) {
      return std::ranges::any_of(outcome.errors,
                                 [&](const ConfigError& error) { return concerns(error, resource->origin.path); });
    });
    if (blamed == 0) return;
  }
}

}  // namespace

// Clusters and listeners: everything that there is, of which state of the world leaves out what is gone.
template <typename Message>
void XdsClient::bring_all(NamedResources<Message> Resources::* table, ResourceType type, const std::string& source,
                          XdsResponse& response, XdsReport& report, Rejection& rejection, Instant now) {
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().*table;
    auto in = take_in<Message>(response, source, [&](const std::string& name) { return find_resource(before, name); }, rejection);
    // With state of the world, what cannot be read would else count as removed.
    if (in.is_ambiguous || (in.has_nameless && !response.is_delta)) return;
    report.warnings = std::move(in.warnings);
    std::set<std::string> gone(response.removed.begin(), response.removed.end());
    for (const auto& [name, resource] : before) {
      if (!response.is_delta && !resource->origin.is_static && resource->origin.source == source && !in.names.contains(name))
        gone.insert(name);
    }
    std::erase_if(gone, [&](const std::string& name) {
      const auto known = find_resource(before, name);
      return known == nullptr || known->origin.is_static || known->origin.source != source;
    });
    if (!response.is_delta) report.removed = gone.size();
    if (type == ResourceType::kCluster) {
      for (const std::string& name : in.names) departing_clusters_.erase(name);
      for (const std::string& name : gone) departing_clusters_.try_emplace(name, now + kClusterFarewell);
      gone.clear();
    }
    apply_good<Message>(
        batch, std::move(in.good),
        [&](Resources& resources, const std::vector<ResourcePtr<Message>>& good) {
          for (const std::string& name : gone) (resources.*table).erase(name);
          for (const ResourcePtr<Message>& resource : good) {
            const std::string name = name_of(resource->message);
            const auto known = find_resource(resources.*table, name);
            if (known == resource || (known != nullptr && known->origin.is_static)) continue;  // the bootstrap's are not replaced
            (resources.*table).set(name, resource);
          }
        },
        report, rejection);
  });
}

// Endpoints and routes: those that are asked for. What a response leaves out, or says is removed, stays as long as somebody needs
// it, as in Envoy; what never was there is known not to be.
template <typename Message>
void XdsClient::bring_named(KeyedResources<Message> Resources::* table, ResourceType type, const std::string& source,
                            XdsResponse& response, XdsReport& report, Rejection& rejection) {
  const auto& wanted = wanted_[{type, source}].names;
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().*table;
    auto in = take_in<Message>(
        response, source, [&](const std::string& name) { return find_resource(before, ResourceKey{source, name}); }, rejection);
    if (in.is_ambiguous) return;
    report.warnings = std::move(in.warnings);
    std::erase_if(in.good, [&](const ResourcePtr<Message>& resource) { return !wanted.contains(name_of(resource->message)); });
    apply_good<Message>(
        batch, std::move(in.good),
        [&](Resources& resources, const std::vector<ResourcePtr<Message>>& good) {
          for (const ResourcePtr<Message>& resource : good)
            (resources.*table).set({source, name_of(resource->message)}, resource);
          for (const std::string& name : response.removed) {
            if (wanted.contains(name)) (resources.*table).add({source, name}, nullptr);
          }
          // Of those that are rejected too: nobody waits for them any longer.
          for (const std::string& name : in.names) {
            if (wanted.contains(name)) (resources.*table).add({source, name}, nullptr);
          }
        },
        report, rejection);
  });
}

// A secret is good when every context that needs it can be made of it.
void XdsClient::bring_secrets(const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection) {
  const auto none = [](const std::string&) { return ResourcePtr<SecretMessage>(); };
  const auto in = take_in<SecretMessage>(response, source, none, rejection);
  if (in.is_ambiguous) return;
  report.warnings = in.warnings;
  for (const ResourcePtr<SecretMessage>& resource : in.good) {
    const SecretName name{source, resource->message.name()};
    auto before = around_.discovered.replace(name, std::shared_ptr<const SecretMessage>(resource, &resource->message));
    bool good = true;
    for (const SecretChange& change : around_.secrets.refresh({name})) {
      if (change.error.empty()) continue;
      good = false;
      rejection.add(change.error);
    }
    if (good) continue;
    around_.discovered.replace(name, std::move(before));
    around_.secrets.refresh({name});
  }
  for (const std::string& name : response.removed) {
    if (around_.discovered.find({source, name}) == nullptr) around_.discovered.give_up({source, name});
  }
  // Whoever waits for them may serve now.
  around_.publisher.update([](Batch& batch) { (void)batch.apply([](Resources&) {}); });
}

void XdsClient::note_lifetimes(ResourceType type, const std::string& source, const XdsResponse& response, Instant now) {
  for (const XdsResource& resource : response.resources) {
    if (resource.name.empty()) continue;
    const auto key = std::pair(SubscriptionKey{type, source}, resource.name);
    if (resource.ttl) {
      lifetimes_[key] = now + *resource.ttl;
    } else if (resource.has_body) {
      lifetimes_.erase(key);
    }
  }
  for (const std::string& name : response.removed) lifetimes_.erase({{type, source}, name});
}

void XdsClient::follow_world(Instant now) {
  const auto world = around_.publisher.world();
  const std::uint64_t print = fingerprint(*world);
  if (!has_followed_ || print != followed_) {
    has_followed_ = true;
    followed_ = print;
    std::map<SubscriptionKey, Wanted> wanted;
    for (auto& [key, names] : wanted_) wanted[key];  // those that nobody wants any more are told so
    const auto add = [&](ResourceType type, const ResourceKey& key, const core::ConfigSource& source) {
      if (is_control_plane(source)) wanted[{type, key.source}].names[key.name] = source;
    };
    world->for_each_cluster([&](const std::string&, const WorldCluster& cluster) {
      if (!cluster.frame->is_discovered) return;
      const ClusterMessage& message = cluster.source->message;
      add(ResourceType::kAssignment, assignment_key(message), message.eds_cluster_config().eds_config());
    });
    world->for_each_listener([&](const std::string&, const WorldListener& listener) {
      for (const auto& [key, source] : listener.route_sources) add(ResourceType::kRoutes, key, source);
    });
    for (const SecretName& name : around_.secrets.wanted())
      add(ResourceType::kSecret, {name.source, name.name}, around_.discovered.source_of(name));
    for (const auto& [key, names] : wanted) ask(key.first, key.second, names, now);
    wanted_ = std::move(wanted);
    forget_unwanted();
  }
  std::erase_if(fetch_deadlines_, [&](const auto& entry) {
    const auto& [key, name] = entry.first;
    return !name.empty() && is_known(*around_.publisher.world(), key.first, key.second, name);
  });
}

void XdsClient::ask(ResourceType type, const std::string& source, const Wanted& wanted, Instant now) {
  Channel* channel = find_channel(type, source);
  if (channel == nullptr && !wanted.names.empty()) {
    open_channels(wanted.names.begin()->second, type);
    channel = find_channel(type, source);
  }
  if (channel == nullptr) return;
  std::set<std::string> names;
  const auto world = around_.publisher.world();
  for (const auto& [name, from] : wanted.names) {
    names.insert(names.end(), name);
    if (!is_known(*world, type, source, name)) fetch_deadlines_.try_emplace({{type, source}, name}, now + fetch_timeout(from));
  }
  channel->session->want(type, names);
}

bool XdsClient::is_known(const World& world, ResourceType type, const std::string& source, const std::string& name) const {
  switch (type) {
    case ResourceType::kAssignment: return world.resources.assignments.contains(ResourceKey{source, name});
    case ResourceType::kRoutes: return world.resources.routes.contains(ResourceKey{source, name});
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
  const auto world = around_.publisher.world();
  const auto any = [&](ResourceType type, const auto& table) {
    return std::ranges::any_of(table, [&](const auto& entry) { return unwanted(type, entry.first); });
  };
  std::erase_if(fetch_deadlines_, [&](const auto& entry) {
    const auto& [key, name] = entry.first;
    return !name.empty() && unwanted(key.first, {key.second, name});
  });
  if (!any(ResourceType::kAssignment, world->resources.assignments) && !any(ResourceType::kRoutes, world->resources.routes))
    return;
  around_.publisher.update([&](Batch& batch) {
    (void)batch.apply([&](Resources& resources) {
      resources.assignments.erase_if([&](const auto& entry) { return unwanted(ResourceType::kAssignment, entry.first); });
      resources.routes.erase_if([&](const auto& entry) { return unwanted(ResourceType::kRoutes, entry.first); });
    });
  });
}

void XdsClient::give_up_late(Instant now) {
  std::vector<std::pair<SubscriptionKey, std::string>> late;
  for (const auto& [key, deadline] : fetch_deadlines_) {
    if (deadline <= now) late.push_back(key);
  }
  if (late.empty()) return;
  for (const auto& key : late) fetch_deadlines_.erase(key);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, name] : late) ++stats_[{key.first, {key.second, {}}}].init_fetch_timeout;
  }
  for (const auto& [key, name] : late) {
    const bool all = key.first == ResourceType::kCluster || key.first == ResourceType::kListener;
    reports_.push_back(
        {.server = {},
         .type = key.first,
         .version = {},
         .resources = 0,
         .removed = 0,
         .error = (all ? "nothing has" : "\"" + name + "\" has not") + std::string(" come within initial_fetch_timeout"),
         .warnings = {}});
  }
  around_.publisher.update([&](Batch& batch) {
    (void)batch.apply([&](Resources& resources) {
      for (const auto& [key, name] : late) {
        const auto& [type, source] = key;
        if (type == ResourceType::kAssignment) resources.assignments.add({source, name}, nullptr);
        if (type == ResourceType::kRoutes) resources.routes.add({source, name}, nullptr);
        if (type == ResourceType::kSecret) around_.discovered.give_up({source, name});
        if (type == ResourceType::kCluster) clusters_known_ = true;
        if (type == ResourceType::kListener) listeners_known_ = true;
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
      if (known != nullptr && !known->origin.is_static) table.erase(key);
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
      });
    }
  });
}

// Listeners are asked for when the clusters serve, as in Envoy: what they point to is there before them.
void XdsClient::update_warmth(Instant now) {
  const auto world = around_.publisher.world();
  const auto& dynamic = around_.bootstrap.dynamic_resources();
  const auto wait_for = [&](ResourceType type, const core::ConfigSource& source) {
    fetch_deadlines_.try_emplace({{type, source_key(source)}, {}}, now + fetch_timeout(source));
  };
  if (!clusters_known_ && !listeners_asked_) wait_for(ResourceType::kCluster, dynamic.cds_config());
  if (clusters_known_) fetch_deadlines_.erase({{ResourceType::kCluster, source_key(dynamic.cds_config())}, {}});
  if (!listeners_asked_ && clusters_known_ && world->warming_clusters.empty()) {
    listeners_asked_ = true;
    if (!listeners_known_) {
      open_channels(dynamic.lds_config(), ResourceType::kListener);
      wait_for(ResourceType::kListener, dynamic.lds_config());
    }
  }
  if (listeners_known_) fetch_deadlines_.erase({{ResourceType::kListener, source_key(dynamic.lds_config())}, {}});
  if (listeners_asked_ && listeners_known_ && world->warming_clusters.empty() && world->warming_listeners.empty()) {
    const std::lock_guard lock(mutex_);
    warm_ = true;
  }
}

}  // namespace millrace::agent
