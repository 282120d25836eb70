#include "control-agent/xds/xds_client.h"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/message_visitor.h"
#include "control-agent/tls_secrets.h"
#include "dataplane/base/assert.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

namespace {

constexpr std::string_view kAll = "*";                            // what is asked for without names, where names are looked at
constexpr Duration kDefaultFetchTimeout = Duration::seconds(15);  // ConfigSource.initial_fetch_timeout
// A removed cluster goes this much later: servers may take it away before the routes that lead there, and requests on their way
// need it still.
constexpr Duration kClusterFarewell = Duration::seconds(5);

bool is_control_plane(const core::ConfigSource& source) {
  return source.has_ads() || source.has_self() || source.has_api_config_source();
}

/// Of these types everything that there is is asked for.
bool names_all(ResourceType type) {
  return type == ResourceType::kCluster || type == ResourceType::kListener || type == ResourceType::kScope;
}

Duration fetch_timeout(const core::ConfigSource& source) {
  if (!source.has_initial_fetch_timeout()) return kDefaultFetchTimeout;
  const Duration timeout = to_duration(source.initial_fetch_timeout());
  return timeout > Duration() ? timeout : Duration::infinite();
}

std::int64_t milliseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

/// Changes whenever other resources may be wanted.
std::uint64_t fingerprint(const World& world) {
  const auto sum = [](const WorldChanges& changes) { return changes.added + changes.modified + changes.removed; };
  std::uint64_t scopes = 0;
  for (const auto& [source, reloads] : world.scope_reloads) scopes += reloads;
  return config::content_hash(std::to_string(sum(world.cluster_changes)) + "," + std::to_string(sum(world.listener_changes)) +
                              "," + std::to_string(scopes) + "," + std::to_string(world.warming_clusters.size()) + "," +
                              std::to_string(world.warming_listeners.size()));
}

/// Does `error` concern the resource that stands at `path`?
bool concerns(const ConfigError& error, const std::string& path) {
  return error.path.starts_with(path) && (error.path.size() == path.size() || error.path[path.size()] == '.');
}

void check_load_reports(const core::ApiConfigSource& source, const std::string& path,
                        const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics) {
  if (source.api_type() != core::ApiConfigSource::GRPC) {
    diagnostics.error(join_path(path, "api_type"), "must be GRPC: load reports have no other form");
    return;
  }
  (void)plan_servers(source, path, bootstrap, diagnostics);
  if (source.has_rate_limit_settings())
    diagnostics.warning(join_path(path, "rate_limit_settings"), "has no effect: the server says how often it wants a report");
}

}  // namespace

bool has_control_plane(const envoy::config::bootstrap::v3::Bootstrap& bootstrap) {
  bool named = bootstrap.dynamic_resources().has_ads_config();
  visit_messages(bootstrap, [&named](const google::protobuf::Message& message) {
    if (message.GetDescriptor() == core::ConfigSource::descriptor())
      named = named || is_control_plane(static_cast<const core::ConfigSource&>(message));
  });
  return named;
}

void check_control_planes(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics) {
  const auto& dynamic = bootstrap.dynamic_resources();
  const std::string path = "dynamic_resources";
  if (dynamic.has_ads_config()) (void)plan_servers(dynamic.ads_config(), join_path(path, "ads_config"), bootstrap, diagnostics);
  check_config_source(dynamic.cds_config(), join_path(path, "cds_config"), &bootstrap, diagnostics);
  check_config_source(dynamic.lds_config(), join_path(path, "lds_config"), &bootstrap, diagnostics);
  if (const auto& manager = bootstrap.cluster_manager(); manager.has_load_stats_config())
    check_load_reports(manager.load_stats_config(), "cluster_manager.load_stats_config", bootstrap, diagnostics);
  const auto& runtime = bootstrap.layered_runtime();
  for (int i = 0; i < runtime.layers_size(); ++i) {
    check_config_source(runtime.layers(i).rtds_layer().rtds_config(),
                        join_path(index_path("layered_runtime.layers", static_cast<std::size_t>(i)), "rtds_layer.rtds_config"),
                        &bootstrap, diagnostics);
  }
}

XdsClient::XdsClient(const XdsSurroundings& surroundings, std::uint64_t seed, LastGood last_good)
    : around_(surroundings), rng_(seed), stand_in_(std::move(last_good)) {
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
  start_load_reports();
  // Who looks at the numbers sees from the start on that somebody is asked.
  if (!clusters_known_) stats_[{ResourceType::kCluster, {source_key(dynamic.cds_config()), {}}}].update_attempt = 1;
  if (!listeners_known_) stats_[{ResourceType::kListener, {source_key(dynamic.lds_config()), {}}}].update_attempt = 1;
  if (!clusters_known_) open_channels(dynamic.cds_config(), ResourceType::kCluster);
  if (ads_ != nullptr) {
    for (const ResourceType type : {ResourceType::kAssignment, ResourceType::kRoutes, ResourceType::kSecret,
                                    ResourceType::kExtension, ResourceType::kRuntime})
      ads_->session->add_type(type, false);
  }
}

XdsClient::~XdsClient() = default;

void XdsClient::start_load_reports() {
  const auto& manager = around_.bootstrap.cluster_manager();
  if (!manager.has_load_stats_config()) return;
  Diagnostics unused;
  if (auto group = plan_servers(manager.load_stats_config(), {}, around_.bootstrap, unused)) {
    load_reporter_ = std::make_unique<LoadReporter>(std::move(*group), around_.node, around_.transport, rng_.next());
    load_reports_ = load_reporter_->stats();
  }
}

// Of a source that has none yet.
void XdsClient::open_channels(const core::ConfigSource& source, ResourceType type) {
  const bool is_wildcard = names_all(type);
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
  serviced_at_ = now;
  for (XdsStreamEvent& event : around_.transport.take_events()) take_event(event, now);
  stand_in(now);
  give_up_late(now);
  remove_due(now);
  follow_world(now);
  update_warmth(now);
  if (ads_ != nullptr) ads_->session->service(now);
  for (const auto& [key, channel] : by_type_) channel->session->service(now);
  if (load_reporter_ != nullptr) load_reporter_->service(*around_.publisher.world(), now);
  const std::lock_guard lock(mutex_);
  if (ads_ != nullptr) planes_["ads"] = ads_->session->stats();
  for (const auto& [key, channel] : by_type_) planes_[channel->session->server().name] = channel->session->stats();
  if (load_reporter_ != nullptr) load_reports_ = load_reporter_->stats();
}

Instant XdsClient::next_timeout() const {
  Instant next = ads_ != nullptr ? ads_->session->next_timeout() : Instant::never();
  for (const auto& [key, channel] : by_type_) next = std::min(next, channel->session->next_timeout());
  if (load_reporter_ != nullptr) next = std::min(next, load_reporter_->next_timeout());
  for (const auto& [key, deadline] : fetch_deadlines_) next = std::min(next, deadline);
  for (const auto& [key, end] : lifetimes_) next = std::min(next, end);
  for (const auto& [name, end] : departing_clusters_) next = std::min(next, end);
  return std::min(next, stand_in_.next_timeout(serviced_at_));
}

bool XdsClient::is_warm() const {
  const std::lock_guard lock(mutex_);
  return warm_;
}

bool XdsClient::is_complete() const {
  const std::lock_guard lock(mutex_);
  return complete_;
}

std::uint64_t XdsClient::unknown_fields() const {
  const std::lock_guard lock(mutex_);
  return unknown_fields_;
}

SubscriptionTable XdsClient::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

std::map<std::string, SessionStats> XdsClient::control_planes() const {
  const std::lock_guard lock(mutex_);
  return planes_;
}

std::optional<LoadReporterStats> XdsClient::load_reports() const {
  const std::lock_guard lock(mutex_);
  return load_reports_;
}

RefusedTable XdsClient::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}

std::vector<DynamicResource> XdsClient::secrets() const {
  const std::lock_guard lock(mutex_);
  std::vector<DynamicResource> out;
  for (const auto& [name, secret] : secrets_) {
    DynamicResource& entry = out.emplace_back();
    entry.name = name.name;
    entry.state = secret == nullptr ? ResourceState::kWarming : ResourceState::kActive;
    if (secret == nullptr) continue;
    entry.version = secret->origin().version;
    entry.updated = secret->origin().updated;
    entry.content = as_message(*secret);
  }
  return out;
}

void XdsClient::take_load_event(const XdsStreamEvent& event, Instant now) {
  if (const auto* closed = std::get_if<XdsStreamClosed>(&event.what)) {
    reports_.push_back({.server = load_reporter_->server().name + " (load reports)",
                        .type = {},
                        .version = {},
                        .resources = 0,
                        .removed = 0,
                        .error = closed->reason,
                        .warnings = {}});
    load_reporter_->on_closed(now);
  } else {
    load_reporter_->on_order(std::get<envoy::service::load_stats::v3::LoadStatsResponse>(event.what), *around_.publisher.world(),
                             now);
  }
}

void XdsClient::take_event(XdsStreamEvent& event, Instant now) {
  if (load_reporter_ != nullptr && load_reporter_->owns(event.stream)) return take_load_event(event, now);
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
                        .stands_in = false,
                        .warnings = {}});
    session.on_closed(*closed, now);
    stand_in_.on_closed(channel->source);
    const std::lock_guard lock(mutex_);
    for (auto& [subscription, stats] : stats_) {
      if (subscription.source.path == channel->source && session.carries(subscription.type)) ++stats.update_failure;
    }
    return;
  }
  auto& response = std::get<XdsResponse>(event.what);
  if (const auto type = session.on_response(response)) take(*channel, *type, response, now);
}

void XdsClient::take(Channel& channel, ResourceType type, XdsResponse& response, Instant now) {
  XdsReport report{.server = channel.session->server().name,
                   .type = type,
                   .version = response.version,
                   .resources = response.resources.size(),
                   .removed = response.removed.size(),
                   .error = {},
                   .stands_in = false,
                   .warnings = {}};
  Rejection rejection(around_.reject_unknown_fields);
  bring(type, channel.source, response, report, rejection, now);
  note_refused(type, channel.source, response, rejection);
  note_lifetimes(type, channel.source, response, now);
  report.error = rejection.text();
  const KindKey kind{type, channel.source};
  rejection.empty() ? stand_in_.on_answered(kind) : stand_in_for_rejected(kind, response, now);
  channel.session->answer(type, response, rejection.empty() ? std::nullopt : std::optional(rejection.text()), now);
  if (type == ResourceType::kCluster) clusters_known_ = true;
  if (type == ResourceType::kListener) listeners_known_ = true;
  given_up_.erase(type);
  {
    const std::lock_guard lock(mutex_);
    unknown_fields_ += report.unknown_fields;
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
    case ResourceType::kExtension:
      return bring_named<ExtensionMessage>(&Resources::extensions, type, source, response, report, rejection);
    case ResourceType::kRuntime:
      return bring_named<RuntimeMessage>(&Resources::runtimes, type, source, response, report, rejection);
    case ResourceType::kScope: return bring_scopes(source, response, report, rejection);
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
      std::vector<ConfigError> own;
      std::ranges::copy_if(outcome.errors, std::back_inserter(own),
                           [&](const ConfigError& error) { return concerns(error, resource->path()); });
      if (!own.empty()) rejection.blame(resource->name, refused_update<Message>(resource, to_text(own)));
      return !own.empty();
    });
    if (blamed > 0) continue;
    for (const ResourcePtr<Message>& resource : good)
      rejection.blame(resource->name, refused_update<Message>(resource, to_text(outcome.errors)));
    return;
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
    report.unknown_fields = in.unknown_fields;
    std::set<std::string> gone(response.removed.begin(), response.removed.end());
    for (const auto& [name, resource] : before) {
      if (!response.is_delta && !resource->origin().is_static && resource->origin().source == source && !in.names.contains(name))
        gone.insert(name);
    }
    std::erase_if(gone, [&](const std::string& name) {
      const auto known = find_resource(before, name);
      return known == nullptr || known->origin().is_static || known->origin().source != source;
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
            const auto known = find_resource(resources.*table, resource->name);
            if (known == resource || (known != nullptr && known->origin().is_static))
              continue;  // the bootstrap's are not replaced
            (resources.*table).set(resource->name, resource);
          }
        },
        report, rejection);
  });
}

// What is asked for by name. What a response leaves out, or says is removed, stays as long as somebody needs it, as in Envoy, but
// for what something else stands behind: defaults behind configurations of extensions, other layers behind those of the runtime.
// What never was there is known not to be.
template <typename Message>
void XdsClient::bring_named(KeyedResources<Message> Resources::* table, ResourceType type, const std::string& source,
                            XdsResponse& response, XdsReport& report, Rejection& rejection) {
  const auto& wanted = wanted_[{type, source}].names;
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().*table;
    const auto share = [&](const SharedName& name) {
      const auto* known = wanted.find(name);
      return known == nullptr ? name : known->first;
    };
    auto in = take_in<Message>(
        response, source, [&](const std::string& name) { return find_resource(before, ResourceKey{source, name}); }, share,
        rejection);
    if (in.is_ambiguous) return;
    report.warnings = std::move(in.warnings);
    report.unknown_fields = in.unknown_fields;
    std::erase_if(in.good, [&](const ResourcePtr<Message>& resource) { return !wanted.contains(resource->name); });
    apply_good<Message>(
        batch, std::move(in.good),
        [&](Resources& resources, const std::vector<ResourcePtr<Message>>& good) {
          for (const ResourcePtr<Message>& resource : good) (resources.*table).set({source, resource->name}, resource);
          for (const std::string& name : response.removed) {
            if (!wanted.contains(name)) continue;
            constexpr bool kGoes = std::is_same_v<Message, ExtensionMessage> || std::is_same_v<Message, RuntimeMessage>;
            kGoes ? (resources.*table).set({source, name}, nullptr) : (resources.*table).add({source, name}, nullptr);
          }
          // Of those that are rejected too: nobody waits for them any longer.
          for (const std::string& name : in.names) {
            if (wanted.contains(name)) (resources.*table).add({source, name}, nullptr);
          }
        },
        report, rejection);
  });
}

// Of a source all that there are, as of listeners, but its own.
void XdsClient::bring_scopes(const std::string& source, XdsResponse& response, XdsReport& report, Rejection& rejection) {
  around_.publisher.update([&](Batch& batch) {
    const auto& before = batch.resources().scopes;
    auto in = take_in<ScopeMessage>(
        response, source, [&](const std::string& name) { return find_resource(before, ResourceKey{source, name}); }, rejection);
    report.warnings = std::move(in.warnings);
    report.unknown_fields = in.unknown_fields;
    const bool is_usable = !in.is_ambiguous && (!in.has_nameless || response.is_delta);
    std::set<std::string> gone(response.removed.begin(), response.removed.end());
    for (const auto& [key, scope] : before) {
      if (!response.is_delta && key.source == source && !in.names.contains(key.name)) gone.insert(key.name);
    }
    if (!is_usable) gone.clear();
    if (!response.is_delta) report.removed = gone.size();
    apply_good<ScopeMessage>(
        batch, is_usable ? std::move(in.good) : std::vector<ResourcePtr<ScopeMessage>>(),
        [&](Resources& resources, const std::vector<ResourcePtr<ScopeMessage>>& good) {
          for (const std::string& name : gone) resources.scopes.erase(ResourceKey{source, name});
          for (const ResourcePtr<ScopeMessage>& scope : good) resources.scopes.set({source, scope->name}, scope);
          resources.known_scopes.insert(source);
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
  report.unknown_fields = in.unknown_fields;
  for (const ResourcePtr<SecretMessage>& resource : in.good) {
    const SecretName name{source, resource->name};
    auto before = around_.discovered.replace(name, as_message(*resource));
    Rejection own;
    for (const SecretChange& change : around_.secrets.refresh({name})) {
      if (change.error.empty()) continue;
      own.add(change.error);
      rejection.add(change.error);
    }
    if (own.empty()) {
      note_secret(name, resource);
      continue;
    }
    rejection.blame(name.name, refused_update<SecretMessage>(resource, own.text()));
    around_.discovered.replace(name, std::move(before));
    around_.secrets.refresh({name});
  }
  for (const std::string& name : response.removed) {
    if (around_.discovered.find({source, name}) == nullptr) around_.discovered.give_up({source, name});
  }
  // Whoever waits for them may serve now.
  around_.publisher.update([](Batch& batch) { (void)batch.apply([](Resources&) {}); });
}

// What was refused before and is good now, or gone, is no error any more.
void XdsClient::note_refused(ResourceType type, const std::string& source, const XdsResponse& response,
                             const Rejection& rejection) {
  const bool is_wildcard = type == ResourceType::kCluster || type == ResourceType::kListener;
  const auto& wanted = wanted_[{type, source}].names;
  const std::set<std::string> removed(response.removed.begin(), response.removed.end());
  const std::lock_guard lock(mutex_);
  std::erase_if(refused_, [&](const auto& entry) {
    const RefusedKey& key = entry.first;
    if (key.type != type || key.source != source) return false;
    if (removed.contains(key.name)) return true;
    return rejection.judged() && (rejection.judged()->contains(key.name) || (is_wildcard && !response.is_delta));
  });
  for (const auto& [name, update] : rejection.refused()) {
    if (is_wildcard || wanted.contains(name)) refused_[{type, source, name}] = update;
  }
}

void XdsClient::note_secret(const SecretName& name, const ResourcePtr<SecretMessage>& secret) {
  const std::lock_guard lock(mutex_);
  if (const auto known = secrets_.find(name); known != secrets_.end()) known->second = secret;
}

void XdsClient::follow_secrets() {
  const std::set<SecretName> wanted = around_.secrets.wanted();
  const std::lock_guard lock(mutex_);
  std::erase_if(secrets_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const SecretName& name : wanted) secrets_.try_emplace(name);
}

void XdsClient::note_lifetimes(ResourceType type, const std::string& source, const XdsResponse& response, Instant now) {
  for (const XdsResource& resource : response.resources) {
    if (resource.name.empty()) continue;
    const auto key = std::pair(SubscriptionKey{type, source}, resource.name.text());
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

// Nobody answers: what was good last stands in for it.
void XdsClient::stand_in(Instant now) {
  const auto& dynamic = around_.bootstrap.dynamic_resources();
  const auto speaks_for_all = [&](ResourceType type, const core::ConfigSource& source) {
    const KindKey kind{type, source_key(source)};
    return stand_in_.knows(kind) && stand_in_.speaks_for(kind, now);
  };
  if (!clusters_known_ && speaks_for_all(ResourceType::kCluster, dynamic.cds_config()))
    stand_in_for_all({ResourceType::kCluster, source_key(dynamic.cds_config())}, now);
  if (listeners_asked_ && !listeners_known_ && speaks_for_all(ResourceType::kListener, dynamic.lds_config()))
    stand_in_for_all({ResourceType::kListener, source_key(dynamic.lds_config())}, now);
  for (const auto& [key, wanted] : wanted_) {
    const KindKey kind{key.first, key.second};
    if (!stand_in_.speaks_for(kind, now)) continue;
    std::set<std::string> missing;
    const auto world = around_.publisher.world();
    for (const auto& [name, from] : wanted.names) {
      if (!is_known(*world, kind.type, kind.source, name)) missing.insert(missing.end(), name);
    }
    if (missing.empty()) continue;
    names_all(kind.type) ? stand_in_for_all(kind, now) : recall(kind, stand_in_.say(kind, missing), now);
  }
}

// Of those that are not asked for by name. Servers that say what has changed must know what is held.
void XdsClient::stand_in_for_all(const KindKey& kind, Instant now) {
  XdsResponse response = stand_in_.say_all(kind);
  std::set<SharedName> names;
  for (const XdsResource& resource : response.resources) names.insert(resource.name);
  recall(kind, std::move(response), now);
  if (Channel* channel = find_channel(kind.type, kind.source)) channel->session->hold(kind.type, names, now);
  if (kind.type == ResourceType::kCluster) clusters_known_ = true;
  if (kind.type == ResourceType::kListener) listeners_known_ = true;
}

// What a rejected response means is what its resources were when they were good, also before this process.
void XdsClient::stand_in_for_rejected(const KindKey& kind, const XdsResponse& response, Instant now) {
  if (!stand_in_.knows(kind)) return;
  // State of the world has names within the resources only, which may not be readable.
  std::set<std::string> names;
  for (const XdsResource& resource : response.is_delta ? response.resources : stand_in_.say_all(kind).resources)
    names.insert(resource.name);
  const auto world = around_.publisher.world();
  std::erase_if(names, [&](const std::string& name) { return !stand_in_.knows(kind, name) || is_held(*world, kind, name); });
  if (!names.empty()) recall(kind, stand_in_.say(kind, names), now);
}

void XdsClient::recall(const KindKey& kind, XdsResponse response, Instant now) {
  XdsReport report{.server = {},
                   .type = kind.type,
                   .version = {},
                   .resources = response.resources.size(),
                   .removed = response.removed.size(),
                   .error = {},
                   .stands_in = true,
                   .warnings = {}};
  Rejection rejection(around_.reject_unknown_fields);
  bring(kind.type, kind.source, response, report, rejection, now);
  report.error = rejection.text();
  reports_.push_back(std::move(report));
}

// A resource has this name now.
bool XdsClient::is_held(const World& world, const KindKey& kind, const std::string& name) const {
  const ResourceKey key{kind.source, name};
  switch (kind.type) {
    case ResourceType::kCluster: return find_resource(world.resources.clusters, name) != nullptr;
    case ResourceType::kListener: return find_resource(world.resources.listeners, name) != nullptr;
    case ResourceType::kAssignment: return find_resource(world.resources.assignments, key) != nullptr;
    case ResourceType::kRoutes: return find_resource(world.resources.routes, key) != nullptr;
    case ResourceType::kExtension: return find_resource(world.resources.extensions, key) != nullptr;
    case ResourceType::kScope: return find_resource(world.resources.scopes, key) != nullptr;
    case ResourceType::kRuntime: return find_resource(world.resources.runtimes, key) != nullptr;
    case ResourceType::kSecret: return around_.discovered.find({kind.source, name}) != nullptr;
  }
  return false;
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

// Listeners are asked for when the clusters serve, as in Envoy: what they point to is there before them.
void XdsClient::update_warmth(Instant now) {
  const auto world = around_.publisher.world();
  const auto& dynamic = around_.bootstrap.dynamic_resources();
  const auto wait_for = [&](ResourceType type, const core::ConfigSource& source) {
    fetch_deadlines_.try_emplace({{type, source_key(source)}, {}}, now + fetch_timeout(source));
    stand_in_.on_asked({type, source_key(source)}, now);
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
  const bool runtime_known = std::ranges::all_of(runtime_sources(around_.bootstrap.layered_runtime()), [&](const auto& layer) {
    return !is_control_plane(layer.second) || world->resources.runtimes.contains(layer.first);
  });
  if (runtime_known && listeners_asked_ && listeners_known_ && world->warming_clusters.empty() &&
      world->warming_listeners.empty()) {
    stand_in_ = StandIn();
    const std::lock_guard lock(mutex_);
    warm_ = true;
    complete_ = given_up_.empty();
  }
}

}  // namespace millrace::agent
