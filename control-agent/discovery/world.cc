#include "control-agent/discovery/world.h"

#include <algorithm>
#include <utility>

#include "control-agent/translate_aggregate.h"
#include "control-agent/translate_common.h"
#include "control-agent/xds/server_plan.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

/// One translation on its way.
class Translator {
 public:
  Translator(const World& before, Resources wanted, const WorldSettings& settings, Diagnostics& statics)
      : before_(before), settings_(settings), statics_(statics) {
    out_.world.resources = std::move(wanted);
    out_.world.log_sinks = before.log_sinks;
    out_.world.cluster_changes = before.cluster_changes;
    out_.world.listener_changes = before.listener_changes;
  }

  Translation run() && {
    for (const auto& [name, source] : resources().clusters) cluster_names_.insert(name);
    for (const auto& [name, source] : resources().clusters) cluster(name, source);
    for (const auto& [name, source] : resources().listeners) listener(name, source);
    check_members();
    check_local_cluster();
    check_addresses();
    count(before_.resources.clusters, resources().clusters, out_.world.cluster_changes);
    count(before_.resources.listeners, resources().listeners, out_.world.listener_changes);
    return std::move(out_);
  }

 private:
  [[nodiscard]] const Resources& resources() const { return out_.world.resources; }

  /// Runs `translate` with a context whose errors are about `origin`.
  template <typename Translate>
  auto about(const ResourceOrigin& origin, Translate&& translate) {
    Diagnostics own(origin.places.get());
    Diagnostics& diagnostics = origin.is_static ? statics_ : own;
    TranslateContext context{diagnostics,
                             *settings_.cells,
                             settings_.workers,
                             settings_.service_node,
                             settings_.service_cluster,
                             {},
                             std::move(cluster_names_),
                             std::move(out_.world.log_sinks)};
    context.secrets = settings_.secrets;
    context.static_secrets = settings_.static_secrets;
    context.discovered_secrets = settings_.discovered_secrets;
    if (settings_.discovered_secrets != nullptr) context.bootstrap = settings_.discovered_secrets->bootstrap();
    context.key_sets = settings_.key_sets;
    context.connection_limits = settings_.connection_limits;
    context.is_dynamic = !origin.is_static;
    context.keep_records_in_openssl = settings_.keep_records_in_openssl;
    auto result = translate(context);
    cluster_names_ = std::move(context.cluster_names);
    out_.world.log_sinks = std::move(context.log_sinks);
    out_.errors.insert(out_.errors.end(), own.errors().begin(), own.errors().end());
    out_.warnings.insert(out_.warnings.end(), own.warnings().begin(), own.warnings().end());
    return result;
  }

  void cluster(const std::string& name, const ResourcePtr<ClusterMessage>& source) {
    const WorldCluster* serving = find(before_.clusters, name);
    const WorldCluster* warming = find(before_.warming_clusters, name);
    const bool serves = serving != nullptr && same_content(serving->source, source);
    const bool known = serves || (warming != nullptr && same_content(warming->source, source));
    WorldCluster next = make_cluster(name, source, serves ? serving : known ? warming : nullptr);
    if (serves || is_warm(next)) {
      out_.world.clusters.emplace(name, std::move(next));
      return;
    }
    if (serving != nullptr) out_.world.clusters.emplace(name, make_cluster(name, serving->source, serving));
    out_.world.warming_clusters.emplace(name, std::move(next));
  }

  /// `known`: what the same source meant before; null: it is new.
  WorldCluster make_cluster(const std::string& name, const ResourcePtr<ClusterMessage>& source, const WorldCluster* known) {
    WorldCluster next{.source = source, .frame = nullptr, .secrets = {}, .assignment = {}, .resolved = {}, .cluster = {}};
    if (known != nullptr) {
      next.frame = known->frame;
      next.secrets = known->secrets;
    } else {
      next.frame = about(source->origin, [&](TranslateContext& context) {
        auto frame = translate_cluster_frame(source->message, source->origin.path, context);
        next.secrets = std::move(context.secret_names);
        return frame;
      });
    }
    if (next.frame->is_discovered) next.assignment = find_resource(resources().assignments, assignment_key(source->message));
    if (next.frame->dns) {
      const auto names = resources().resolved.find(name);
      if (names != resources().resolved.end()) next.resolved = names->second;
    }
    const bool same = known != nullptr && same_content(known->assignment, next.assignment) && known->resolved == next.resolved;
    next.cluster = same ? known->cluster : fill(next);
    return next;
  }

  [[nodiscard]] bool is_warm(const WorldCluster& cluster) const {
    return (!cluster.frame->is_discovered || resources().assignments.contains(assignment_key(cluster.source->message))) &&
           are_settled(cluster.secrets);
  }

  [[nodiscard]] bool are_settled(const std::set<SecretName>& secrets) const {
    return std::ranges::all_of(secrets,
                               [this](const SecretName& name) { return settings_.discovered_secrets->is_settled(name); });
  }

  template <typename Item>
  static const Item* find(const std::map<std::string, Item>& table, const std::string& name) {
    const auto at = table.find(name);
    return at == table.end() ? nullptr : &at->second;
  }

  std::shared_ptr<const config::Cluster> fill(const WorldCluster& cluster) {
    if (cluster.assignment != nullptr) {
      return about(cluster.assignment->origin, [&](TranslateContext& context) {
        return fill_cluster(*cluster.frame, cluster.assignment->message, cluster.assignment->origin.path, nullptr, context);
      });
    }
    return about(cluster.source->origin, [&](TranslateContext& context) {
      return fill_cluster(*cluster.frame, cluster.source->message.load_assignment(),
                          join_path(cluster.source->origin.path, "load_assignment"), cluster.resolved.get(), context);
    });
  }

  void listener(const std::string& name, const ResourcePtr<ListenerMessage>& source) {
    const WorldListener* serving = find(before_.listeners, name);
    const WorldListener* warming = find(before_.warming_listeners, name);
    const bool serves = serving != nullptr && same_content(serving->source, source);
    const bool known = serves || (warming != nullptr && same_content(warming->source, source));
    WorldListener next = make_listener(source, serves ? serving : known ? warming : nullptr);
    if (serves || is_warm(next)) {
      out_.world.listeners.emplace(name, std::move(next));
      return;
    }
    if (serving != nullptr) out_.world.listeners.emplace(name, make_listener(serving->source, serving));
    out_.world.warming_listeners.emplace(name, std::move(next));
  }

  /// `known`: what the same source meant before; null: it is new.
  WorldListener make_listener(const ResourcePtr<ListenerMessage>& source, const WorldListener* known) {
    WorldListener next{.source = source, .secrets = {}, .route_sources = {}, .routes = {}, .listener = nullptr};
    if (known != nullptr) {
      next.listener = known->listener;
      next.route_sources = known->route_sources;
      next.secrets = known->secrets;
    } else {
      next.listener = about(source->origin, [&](TranslateContext& context) {
        auto listener = translate_listener(source->message, source->origin.path, context);
        next.secrets = std::move(context.secret_names);
        return listener;
      });
      next.route_sources = route_sources(source->message);
    }
    for (const auto& [key, from] : next.route_sources) next.routes.emplace(key, find_resource(resources().routes, key));
    const bool same_routes = known != nullptr && std::ranges::equal(known->routes, next.routes, [](const auto& a, const auto& b) {
                               return a.first == b.first && same_content(a.second, b.second);
                             });
    if (!same_routes && !next.routes.empty()) next.listener = with_routes(next);
    return next;
  }

  [[nodiscard]] bool is_warm(const WorldListener& listener) const {
    return std::ranges::all_of(listener.routes,
                               [this](const auto& routes) { return resources().routes.contains(routes.first); }) &&
           are_settled(listener.secrets);
  }

  // The listener with the route tables of now. Its content hash is that of its own message: connections stay.
  std::shared_ptr<const config::Listener> with_routes(const WorldListener& listener) {
    auto out = std::make_shared<config::Listener>(*listener.listener);
    for (config::FilterChain& chain : out->chains) {
      config::HttpConnectionManager* http = chain.http();
      if (http == nullptr || http->route_config_name.empty()) continue;
      const auto& source = listener.routes.at({http->route_config_source, http->route_config_name});
      if (source == nullptr) continue;
      http->routes = about(source->origin, [&](TranslateContext& context) {
        context.http_stat_prefix = context.stat_prefix = http->stat_prefix;
        return translate_routes(source->message, source->origin.path, false, context);
      });
    }
    return out;
  }

  void error(const ResourceOrigin& origin, std::string_view field, std::string reason) {
    about(origin, [&](TranslateContext& context) {
      context.diagnostics.error(join_path(origin.path, field), std::move(reason));
      return true;
    });
  }

  // Those of an aggregate exist, and have endpoints: so there are no cycles either.
  void check_members() {
    out_.world.for_each_cluster([this](const std::string&, const WorldCluster& cluster) {
      const std::vector<std::string>& members = cluster.cluster->members;
      for (std::size_t i = 0; i < members.size(); ++i) {
        const WorldCluster* member = find(out_.world.clusters, members[i]);
        if (member == nullptr) member = find(out_.world.warming_clusters, members[i]);
        const std::string field = index_path(kAggregateMembers, i);
        if (member == nullptr) {
          error(cluster.source->origin, field, "there is no cluster \"" + members[i] + "\": define it, or leave it out");
        } else if (member->cluster->is_aggregate() || member->cluster->original_dst != nullptr) {
          error(cluster.source->origin, field, "\"" + members[i] + "\" has no endpoints to choose from: name clusters that have");
        }
      }
    });
  }

  // Its zones are compared as those of one priority.
  void check_local_cluster() {
    const auto local = out_.world.clusters.find(settings_.local_cluster);
    if (local == out_.world.clusters.end()) return;
    const WorldCluster& cluster = local->second;
    if (std::ranges::all_of(cluster.cluster->localities, [](const auto& locality) { return locality.priority == 0; })) return;
    const bool is_discovered = cluster.assignment != nullptr;
    error(is_discovered ? cluster.assignment->origin : cluster.source->origin,
          is_discovered ? "endpoints" : "load_assignment.endpoints",
          "must all have priority 0: \"" + local->first + "\" is the local cluster");
  }

  // Each address has one listener, and a port that has it: better an error now than a listener that never opens.
  void check_addresses() {
    std::map<std::string, const ResourceOrigin*> owners;
    for (const auto& [name, source] : resources().listeners) {
      const WorldListener* listener = find(out_.world.warming_listeners, name);
      if (listener == nullptr) listener = find(out_.world.listeners, name);
      const ResourceOrigin& origin = source->origin;
      for (const SocketAddress& address : listener->listener->addresses) {
        const auto [owner, first] = owners.emplace(address.to_string(), &origin);
        if (!first) error(origin, "address", "the address \"" + owner->first + "\" is already taken by " + owner->second->path);
        if (is_ours(address.ip)) continue;
        error(origin, "address",
              address.ip.to_string() + " is not an address of any port: add it to a port's addresses in the dataplane, " +
                  "or listen on 0.0.0.0 or ::");
      }
    }
  }

  [[nodiscard]] bool is_ours(const IpAddress& ip) const {
    return !settings_.ports || ip.is_unspecified() || std::ranges::any_of(*settings_.ports, [&](const config::PortConfig& port) {
      return std::ranges::any_of(port.addresses, [&](const IpPrefix& own) { return own.address == ip; });
    });
  }

  template <typename Table>
  static void count(const Table& before, const Table& now, WorldChanges& changes) {
    for (const auto& [name, item] : now) {
      const auto known = before.find(name);
      if (known == before.end()) {
        ++changes.added;
      } else if (!same_content(known->second, item)) {
        ++changes.modified;
      }
    }
    for (const auto& [name, item] : before) changes.removed += now.contains(name) ? 0 : 1;
  }

  const World& before_;
  const WorldSettings& settings_;
  Diagnostics& statics_;
  std::unordered_set<std::string> cluster_names_;
  Translation out_;
};

template <typename Message>
void add_statics(const google::protobuf::RepeatedPtrField<Message>& list, const std::string& path,
                 const std::set<std::string>& left_out, std::map<std::string, ResourcePtr<Message>>& out,
                 Diagnostics& diagnostics) {
  for (int i = 0; i < list.size(); ++i) {
    if (left_out.contains(list[i].name())) continue;
    const std::string at = index_path(path, static_cast<std::size_t>(i));
    const auto resource = std::make_shared<const Resource<Message>>(
        list[i], ResourceOrigin{.path = at, .places = nullptr, .version = {}, .is_static = true});
    // A listener may have none: Envoy makes one up.
    const std::string& name = list[i].name().empty() ? at : list[i].name();
    const auto [first, added] = out.emplace(name, resource);
    if (added) continue;
    diagnostics.error(join_path(at, "name"), "the name \"" + name + "\" is already taken by " + first->second->origin.path);
    out.emplace(at, resource);  // what else is wrong with it is said in the same run
  }
}

}  // namespace

Translation translate_world(const World& before, Resources wanted, const WorldSettings& settings, Diagnostics& statics) {
  return Translator(before, std::move(wanted), settings, statics).run();
}

Resources static_resources(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics) {
  Resources out;
  add_statics(bootstrap.static_resources().clusters(), "static_resources.clusters", management_clusters(bootstrap), out.clusters,
              diagnostics);
  add_statics(bootstrap.static_resources().listeners(), "static_resources.listeners", {}, out.listeners, diagnostics);
  return out;
}

std::shared_ptr<const config::Snapshot> make_snapshot(const World& world, const WorldSettings& settings, std::uint64_t version) {
  auto out = std::make_shared<config::Snapshot>();
  out->version = version;
  out->node = {{"id", settings.service_node}, {"cluster", settings.service_cluster}};
  out->log_sinks = world.log_sinks;
  out->overload = settings.overload;
  out->local_cluster = settings.local_cluster;
  out->locality = settings.locality;
  for (const auto& [name, cluster] : world.clusters) out->clusters.emplace(cluster.cluster->name, cluster.cluster);
  for (const auto& [name, listener] : world.listeners) out->listeners.push_back(listener.listener);
  return out;
}

}  // namespace millrace::agent
