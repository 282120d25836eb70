#include "control-agent/discovery/world.h"

#include <algorithm>
#include <utility>

#include "control-agent/translate_aggregate.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_overload.h"
#include "control-agent/xds/server_plan.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {
namespace {

/// One translation on its way.
class Translator {
 public:
  Translator(const World& before, Resources wanted, const WorldSettings& settings, Diagnostics& statics)
      : before_(before), settings_(settings), statics_(statics) {
    out_.world = before;
    out_.world.resources = std::move(wanted);
  }

  // Only what has changed is looked at, and whatever waits.
  Translation run() && {
    read_runtime();
    read_scopes();
    for (const std::string& name : changed_clusters()) {
      if (const auto* source = resources().clusters.find(name)) {
        cluster(name, *source);
      } else {
        remove_cluster(name);
      }
    }
    out_.world.listeners.clear();
    out_.world.warming_listeners.clear();
    for (const auto& [name, source] : sorted(resources().listeners)) listener(name, source);
    check_members();
    check_local_cluster();
    check_addresses();
    count(before_.resources.clusters, resources().clusters, out_.world.cluster_changes);
    count(before_.resources.listeners, resources().listeners, out_.world.listener_changes);
    count_extensions();
    return std::move(out_);
  }

 private:
  [[nodiscard]] const Resources& resources() const { return out_.world.resources; }

  /// Those whose message, endpoints or addresses are others now, and those that wait for something, in the order of their names.
  [[nodiscard]] std::set<std::string> changed_clusters() const {
    std::set<std::string> out;
    const auto add = [&](const std::string& name, const auto*, const auto*) { out.insert(name); };
    using Clusters = decltype(Resources::clusters);
    using Assignments = decltype(Resources::assignments);
    using Resolved = decltype(Resources::resolved);
    Clusters::for_each_change(before_.resources.clusters, resources().clusters, add);
    Resolved::for_each_change(before_.resources.resolved, resources().resolved, add);
    Assignments::for_each_change(before_.resources.assignments, resources().assignments,
                                 [&](const ResourceKey& key, const auto*, const auto*) {
                                   out.insert(key.name);  // whose cluster has that name, if there is one
                                   if (const auto* users = before_.users.find(key)) out.insert(users->begin(), users->end());
                                 });
    for (const auto& [name, cluster] : before_.warming_clusters) out.insert(name);
    return out;
  }

  template <typename Message>
  static std::map<std::string, ResourcePtr<Message>> sorted(const NamedResources<Message>& table) {
    std::map<std::string, ResourcePtr<Message>> out;
    for (const auto& [name, item] : table) out.emplace(name, item);
    return out;
  }

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
                             [this](const std::string& name) { return resources().clusters.contains(name); },
                             std::move(out_.world.log_sinks)};
    context.secrets = settings_.secrets;
    context.static_secrets = settings_.static_secrets;
    context.discovered_secrets = settings_.discovered_secrets;
    if (settings_.discovered_secrets != nullptr) context.bootstrap = settings_.discovered_secrets->bootstrap();
    context.key_sets = settings_.key_sets;
    if (out_.world.runtime != nullptr) context.runtime = &out_.world.runtime->values;
    context.is_dynamic = !origin.is_static;
    context.keep_records_in_openssl = settings_.keep_records_in_openssl;
    auto result = translate(context);
    out_.world.log_sinks = std::move(context.log_sinks);
    runtime_keys_.merge(context.runtime_keys);
    out_.errors.insert(out_.errors.end(), own.errors().begin(), own.errors().end());
    out_.warnings.insert(out_.warnings.end(), own.warnings().begin(), own.warnings().end());
    return result;
  }

  // What has not changed is the same object.
  void read_runtime() {
    bool same = before_.runtime != nullptr && before_.resources.runtime_overrides == resources().runtime_overrides;
    using Runtimes = decltype(Resources::runtimes);
    Runtimes::for_each_change(before_.resources.runtimes, resources().runtimes,
                              [&](const auto&, const auto*, const auto*) { same = false; });
    if (same) return;
    const auto read = [this](const ResourcePtr<RuntimeMessage>& layer) {
      return about(layer->origin(), [&](TranslateContext& context) {
        return read_runtime_layer(layer->message().layer(), join_path(layer->path(), "layer"), context.diagnostics);
      });
    };
    out_.world.runtime = make_runtime(settings_.runtime, resources(), read, before_.runtime.get());
    const auto limit = out_.world.runtime->values.whole_number(kGlobalConnectionLimit);
    if (before_.runtime == nullptr || limit != before_.runtime->values.whole_number(kGlobalConnectionLimit))
      out_.world.overload = with_connection_limit(settings_.overload, limit, *settings_.cells, settings_.workers);
  }

  void read_scopes() {
    update_scopes(out_.world.scopes, before_.resources, resources());
    for (const auto& [source, scopes] : out_.world.scopes) {
      const auto known = before_.scopes.find(source);
      if (known == before_.scopes.end() || known->second != scopes) ++out_.world.scope_reloads[source];
    }
  }

  /// Does the runtime say the same of `keys` as before?
  [[nodiscard]] bool runtime_agrees(const std::set<std::string>& keys) const {
    return before_.runtime == out_.world.runtime ||
           (before_.runtime != nullptr && out_.world.runtime->values.agrees_with(before_.runtime->values, keys));
  }

  /// about(), for units of their own.
  auto about_any() {
    return [this](const ResourceOrigin& origin, const std::function<void(TranslateContext&)>& translate) {
      about(origin, [&](TranslateContext& context) {
        translate(context);
        return true;
      });
    };
  }

  void cluster(const std::string& name, const ResourcePtr<ClusterMessage>& source) {
    const WorldCluster* serving = before_.find_cluster(name);
    const WorldCluster* warming = find(before_.warming_clusters, name);
    const bool serves = serving != nullptr && same_content(serving->source, source);
    const bool known = serves || (warming != nullptr && same_content(warming->source, source));
    WorldCluster next = make_cluster(name, source, serves ? serving : known ? warming : nullptr);
    out_.world.warming_clusters.erase(name);
    out_.world.checking_clusters.erase(name);
    const bool has_all = serves || has_what_it_needs(next);
    if (serves || (has_all && (!settings_.waits_for_checks || is_checked(*next.cluster)))) {
      use_cluster(name, std::move(next));
    } else {
      if (serving != nullptr) use_cluster(name, make_cluster(name, serving->source, serving));
      if (has_all) out_.world.checking_clusters.set(name, next.cluster);
      out_.world.warming_clusters.emplace(name, std::move(next));
    }
    note_uses(name);
  }

  void use_cluster(const std::string& name, WorldCluster cluster) {
    out_.world.snapshot_clusters.set(cluster.cluster->name, cluster.cluster);
    // The two differ for a cluster of the bootstrap whose name is taken.
    const SharedName shared = cluster.source->name == name ? cluster.source->name : SharedName(name);
    out_.world.clusters.set(shared, std::make_shared<const WorldCluster>(std::move(cluster)));
  }

  void remove_cluster(const std::string& name) {
    if (const WorldCluster* serving = before_.find_cluster(name)) out_.world.snapshot_clusters.erase(serving->cluster->name);
    out_.world.clusters.erase(name);
    out_.world.warming_clusters.erase(name);
    out_.world.checking_clusters.erase(name);
    note_uses(name);
  }

  // What the cluster depends on: which of its kind it is, and whose endpoints it has, in both of its forms.
  void note_uses(const std::string& name) {
    const auto keys_in = [&name](const World& world, bool& is_aggregate) {
      std::set<ResourceKey> keys;
      for (const WorldCluster* cluster : {world.find_cluster(name), find(world.warming_clusters, name)}) {
        if (cluster == nullptr) continue;
        is_aggregate = is_aggregate || cluster->cluster->is_aggregate();
        if (cluster->is_discovered() && !(cluster->assignment_name == name)) keys.insert(cluster->assignment_key());
      }
      return keys;
    };
    bool was_aggregate = false;
    bool is_aggregate = false;
    const std::set<ResourceKey> old = keys_in(before_, was_aggregate);
    const std::set<ResourceKey> keys = keys_in(out_.world, is_aggregate);
    if (was_aggregate && !is_aggregate) out_.world.aggregates.erase(name);
    if (is_aggregate) out_.world.aggregates.insert(name);
    for (const ResourceKey& key : old) {
      if (keys.contains(key)) continue;
      std::vector<std::string> users = *out_.world.users.find(key);
      std::erase(users, name);
      users.empty() ? out_.world.users.erase(key) : out_.world.users.set(key, std::move(users));
    }
    for (const ResourceKey& key : keys) {
      if (old.contains(key)) continue;
      const auto* known = out_.world.users.find(key);
      std::vector<std::string> users = known == nullptr ? std::vector<std::string>() : *known;
      users.push_back(name);
      out_.world.users.set(key, std::move(users));
    }
  }

  /// `known`: what the same source meant before; null: it is new.
  WorldCluster make_cluster(const std::string& name, const ResourcePtr<ClusterMessage>& source, const WorldCluster* known) {
    WorldCluster next;
    next.source = source;
    if (known != nullptr) {
      next.frame = known->frame;
      next.assignment_source = known->assignment_source;
      next.assignment_name = known->assignment_name;
      next.cluster = known->cluster;
    } else {
      const ClusterMessage message = source->message();
      about(source->origin(), [&](TranslateContext& context) {
        auto translated = translate_cluster(message, source->path(), context);
        next.frame = std::move(translated.frame);
        next.cluster = std::move(translated.cluster);
        return true;
      });
      if (message.type() == ClusterMessage::EDS) {
        const auto& eds = message.eds_cluster_config();
        next.assignment_source = assignment_source(eds.eds_config());
        next.assignment_name = eds.service_name().empty() ? source->name : SharedName(eds.service_name());
      }
    }
    if (next.is_discovered()) next.assignment = find_resource(resources().assignments, next.assignment_key());
    if (next.frame->dns) next.resolved = find_resource(resources().resolved, name);
    const bool same = known != nullptr && same_content(known->assignment, next.assignment) && known->resolved == next.resolved;
    if (!same) next.cluster = fill(next);
    return next;
  }

  /// The one that says the same, as long as there are clusters that have it.
  std::shared_ptr<const AssignmentSource> assignment_source(const envoy::config::core::v3::ConfigSource& source) {
    auto& known = out_.world.assignment_sources[hash_of(source)];
    if (known == nullptr) {
      known = std::make_shared<const AssignmentSource>(
          AssignmentSource{.config = source, .key = source_key(source), .path = path_source(source)});
    }
    return known;
  }

  [[nodiscard]] bool has_what_it_needs(const WorldCluster& cluster) const {
    return (!cluster.is_discovered() || resources().assignments.contains(cluster.assignment_key())) &&
           are_settled(cluster.frame->secrets);
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
      return about(cluster.assignment->origin(), [&](TranslateContext& context) {
        return fill_cluster(*cluster.frame, *cluster.cluster, cluster.assignment->message(), cluster.assignment->path(), nullptr,
                            context);
      });
    }
    return about(cluster.source->origin(), [&](TranslateContext& context) {
      return fill_cluster(*cluster.frame, *cluster.cluster, cluster.source->message().load_assignment(),
                          join_path(cluster.source->path(), "load_assignment"), cluster.resolved.get(), context);
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

  /// `known`: what the same source meant before; null: it is new. What was read with another runtime is translated again, under
  /// the content hash of its message: connections stay.
  WorldListener make_listener(const ResourcePtr<ListenerMessage>& source, const WorldListener* known) {
    if (known != nullptr && !runtime_agrees(known->runtime_keys)) known = nullptr;
    WorldListener next;
    next.source = source;
    if (known != nullptr) {
      next.listener = known->listener;
      next.scope_sources = known->scope_sources;
      next.secrets = known->secrets;
      next.extension_sources = known->extension_sources;
      next.runtime_keys = known->runtime_keys;
      next.parts_runtime_keys = known->parts_runtime_keys;
    } else {
      runtime_keys_.clear();
      next.listener = about(source->origin(), [&](TranslateContext& context) {
        auto listener = translate_listener(source->message(), source->path(), context);
        next.secrets = std::move(context.secret_names);
        return listener;
      });
      next.scope_sources = scope_sources(source->message());
      next.extension_sources = extension_sources(source->message());
      next.runtime_keys = std::move(runtime_keys_);
    }
    for (const auto& [key, from] : next.scope_sources) {
      if (const auto at = out_.world.scopes.find(key); at != out_.world.scopes.end()) next.scopes.insert(*at);
    }
    const bool same_scopes = known != nullptr && known->scopes == next.scopes;
    if (same_scopes) {
      next.route_sources = known->route_sources;
    } else {
      next.route_sources = route_sources(source->message());
      add_scope_routes(source->message(), next.scopes, next.route_sources);
    }
    for (const auto& [key, from] : next.route_sources) next.routes.emplace(key, find_resource(resources().routes, key));
    for (const auto& [key, from] : next.extension_sources)
      next.extensions.emplace(key, find_resource(resources().extensions, key));
    runtime_keys_.clear();
    const bool same_parts = known != nullptr && runtime_agrees(known->parts_runtime_keys);
    if (!same_scopes || !same_parts || !same_contents(known->routes, next.routes)) next.listener = with_routes(next);
    if (!next.extensions.empty() && (!same_parts || !same_contents(known->extensions, next.extensions)))
      next.listener = with_extensions(next);
    next.parts_runtime_keys.merge(runtime_keys_);
    return next;
  }

  template <typename Parts>
  static bool same_contents(const Parts& before, const Parts& now) {
    return std::ranges::equal(
        before, now, [](const auto& a, const auto& b) { return a.first == b.first && same_content(a.second, b.second); });
  }

  [[nodiscard]] bool is_warm(const WorldListener& listener) const {
    return listener.scopes.size() == listener.scope_sources.size() &&
           std::ranges::all_of(listener.routes,
                               [this](const auto& routes) { return resources().routes.contains(routes.first); }) &&
           std::ranges::all_of(listener.extension_sources,
                               [this](const auto& extension) {
                                 return !extension.second.is_waited_for || resources().extensions.contains(extension.first);
                               }) &&
           are_settled(listener.secrets);
  }

  // The listener with the route tables of now. Its content hash is that of its own message: connections stay.
  std::shared_ptr<const config::Listener> with_routes(const WorldListener& listener) {
    if (listener.routes.empty() && listener.scope_sources.empty()) return listener.listener;
    auto out = std::make_shared<config::Listener>(*listener.listener);
    for (config::FilterChain& chain : out->chains) {
      config::HttpConnectionManager* http = chain.http();
      if (http == nullptr) continue;
      std::map<ResourceKey, std::shared_ptr<const config::RouteTable>> tables;
      const auto table = [&](const ResourceKey& key) {
        const auto& source = listener.routes.at(key);
        auto& made = tables[key];
        if (made != nullptr || source == nullptr) return made;
        return made = about(source->origin(), [&](TranslateContext& context) {
                 context.http_stat_prefix = context.stat_prefix = http->stat_prefix;
                 return translate_routes(source->message(), source->path(), false, context);
               });
      };
      if (http->scoped != nullptr) {
        fill_scopes(*http, {.scopes = listener.scopes,
                            .is_new = [this](const ResourcePtr<ScopeMessage>& scope) { return is_new(scope); },
                            .about = about_any(),
                            .routes = table});
      } else if (!http->route_config_name.empty()) {
        if (auto routes = table({http->route_config_source, http->route_config_name})) http->routes = std::move(routes);
      }
    }
    return out;
  }

  [[nodiscard]] bool is_new(const ResourcePtr<ScopeMessage>& scope) const {
    const auto before = find_resource(before_.resources.scopes, ResourceKey{scope->origin().source, scope->name});
    return !same_content(before, scope);
  }

  // Likewise.
  std::shared_ptr<const config::Listener> with_extensions(const WorldListener& listener) {
    auto out = std::make_shared<config::Listener>(*listener.listener);
    fill_extensions(*out, {.extensions = listener.extensions,
                           .listener = *listener.source,
                           .is_new =
                               [this](const ResourceKey& key) {
                                 return !same_content(find_resource(before_.resources.extensions, key),
                                                      find_resource(resources().extensions, key));
                               },
                           .about = about_any(),
                           .on_conflict = [this](const ResourceKey& key) { ++out_.world.extension_changes[key].conflicts; }});
    return out;
  }

  template <typename Message>
  void error(const Resource<Message>& resource, std::string_view field, std::string reason) {
    about(resource.origin(), [&](TranslateContext& context) {
      context.diagnostics.error(join_path(resource.path(), field), std::move(reason));
      return true;
    });
  }

  // Those of an aggregate exist, and have endpoints: so there are no cycles either.
  void check_members() {
    for (const std::string& name : out_.world.aggregates) {
      check_members_of(out_.world.find_cluster(name));
      check_members_of(find(out_.world.warming_clusters, name));
    }
  }

  void check_members_of(const WorldCluster* cluster) {
    if (cluster == nullptr) return;
    const std::vector<std::string>& members = cluster->cluster->members;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const WorldCluster* member = out_.world.find_cluster(members[i]);
      if (member == nullptr) member = find(out_.world.warming_clusters, members[i]);
      const std::string field = index_path(kAggregateMembers, i);
      if (member == nullptr) {
        error(*cluster->source, field, "there is no cluster \"" + members[i] + "\": define it, or leave it out");
      } else if (member->cluster->is_aggregate() || member->cluster->original_dst != nullptr) {
        error(*cluster->source, field, "\"" + members[i] + "\" has no endpoints to choose from: name clusters that have");
      }
    }
  }

  // Its zones are compared as those of one priority.
  void check_local_cluster() {
    const WorldCluster* local = out_.world.find_cluster(settings_.local_cluster);
    if (local == nullptr) return;
    const WorldCluster& cluster = *local;
    if (std::ranges::all_of(cluster.cluster->localities, [](const auto& locality) { return locality.priority == 0; })) return;
    const std::string reason = "must all have priority 0: \"" + settings_.local_cluster + "\" is the local cluster";
    cluster.assignment != nullptr ? error(*cluster.assignment, "endpoints", reason)
                                  : error(*cluster.source, "load_assignment.endpoints", reason);
  }

  // Each address has one listener, and a port that has it: better an error now than a listener that never opens.
  void check_addresses() {
    std::map<std::string, const Resource<ListenerMessage>*> owners;
    const auto by_name = sorted(resources().listeners);
    std::vector<std::pair<std::string, ResourcePtr<ListenerMessage>>> listeners(by_name.begin(), by_name.end());
    // Whoever has an address keeps it: those that are new, or have changed, are to blame.
    std::ranges::stable_partition(
        listeners, [&](const auto& entry) { return find_resource(before_.resources.listeners, entry.first) == entry.second; });
    for (const auto& [name, source] : listeners) {
      const WorldListener* listener = find(out_.world.warming_listeners, name);
      if (listener == nullptr) listener = find(out_.world.listeners, name);
      for (const SocketAddress& address : listener->listener->addresses) {
        const auto [owner, first] = owners.emplace(listener->listener->address_text(address), source.get());
        if (!first)
          error(*source, "address", "the address \"" + owner->first + "\" is already taken by " + owner->second->path());
        if (is_ours(address)) continue;
        error(*source, "address",
              address.ip.to_string() + " is not an address of any port: add it to a port's addresses in the dataplane, " +
                  "or listen on 0.0.0.0 or ::");
      }
    }
  }

  [[nodiscard]] bool is_ours(const SocketAddress& address) const {
    const IpAddress& ip = address.ip;
    return !settings_.ports || ip.is_unspecified() || ip.is_loopback() || address.is_pipe() ||
           std::ranges::any_of(*settings_.ports, [&](const config::PortConfig& port) {
             return std::ranges::any_of(port.addresses, [&](const IpPrefix& own) { return own.address == ip; });
           });
  }

  void count_extensions() {
    using Table = decltype(Resources::extensions);
    Table::for_each_change(before_.resources.extensions, resources().extensions,
                           [&](const ResourceKey& key, const auto* was, const auto* is) {
                             const auto before = was == nullptr ? nullptr : *was;
                             if (!same_content(before, is == nullptr ? nullptr : *is))
                               ++out_.world.extension_changes[key].reloads;
                           });
  }

  template <typename Table>
  static void count(const Table& before, const Table& now, WorldChanges& changes) {
    Table::for_each_change(before, now, [&](const auto&, const auto* was, const auto* is) {
      if (was == nullptr) {
        ++changes.added;
      } else if (is == nullptr) {
        ++changes.removed;
      } else if (!same_content(*was, *is)) {
        ++changes.modified;
      }
    });
  }

  const World& before_;
  const WorldSettings& settings_;
  Diagnostics& statics_;
  Translation out_;
  std::set<std::string> runtime_keys_;  // that translations have asked for
};

template <typename Message>
void add_statics(const google::protobuf::RepeatedPtrField<Message>& list, const std::string& path,
                 const std::set<std::string>& left_out, NamedResources<Message>& out, Diagnostics& diagnostics) {
  for (int i = 0; i < list.size(); ++i) {
    if (left_out.contains(list[i].name())) continue;
    const std::string at = index_path(path, static_cast<std::size_t>(i));
    const auto resource = std::make_shared<const Resource<Message>>(
        list[i], ResourceOrigin{.path = at, .places = nullptr, .version = {}, .is_static = true});
    // A listener may have none: Envoy makes one up.
    const std::string& name = list[i].name().empty() ? at : list[i].name();
    const auto* first = out.find(name);
    if (first == nullptr) {
      out.set(name, resource);
      continue;
    }
    diagnostics.error(join_path(at, "name"), "the name \"" + name + "\" is already taken by " + (*first)->path());
    out.set(at, resource);  // what else is wrong with it is said in the same run
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

bool is_checked(const config::Cluster& cluster) {
  return cluster.health_check == nullptr || std::ranges::all_of(cluster.endpoints, [](const config::Endpoint& endpoint) {
           return endpoint.extras().health_target == nullptr ||
                  endpoint.cell->health.peek().decided.load(std::memory_order_acquire);
         });
}

std::shared_ptr<config::Snapshot> make_snapshot(const World& world, const WorldSettings& settings, std::uint64_t version) {
  auto out = std::make_shared<config::Snapshot>();
  out->version = version;
  out->node = {{"id", settings.service_node}, {"cluster", settings.service_cluster}};
  out->log_sinks = world.log_sinks;
  out->overload = world.overload;
  out->local_cluster = settings.local_cluster;
  out->locality = settings.locality;
  out->clusters = world.snapshot_clusters;
  out->checking = world.checking_clusters;
  for (const auto& [name, listener] : world.listeners) out->listeners.push_back(listener.listener);
  return out;
}

}  // namespace millrace::agent
