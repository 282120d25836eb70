#include "control-agent/xds/xds_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/message_visitor.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_sources.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

namespace {

std::int64_t milliseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
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
