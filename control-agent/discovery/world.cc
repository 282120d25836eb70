#include "control-agent/discovery/world.h"

#include <algorithm>
#include <utility>

#include "control-agent/translate_aggregate.h"
#include "control-agent/translate_common.h"
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
    check_addresses();
    count(before_.clusters, out_.world.clusters, out_.world.cluster_changes);
    count(before_.listeners, out_.world.listeners, out_.world.listener_changes);
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
    const auto known = before_.clusters.find(name);
    WorldCluster next{.source = source, .frame = nullptr, .assignment = nullptr, .resolved = nullptr, .cluster = nullptr};
    const bool same_frame = known != before_.clusters.end() && same_content(known->second.source, source);
    next.frame = same_frame ? known->second.frame : about(source->origin, [&](TranslateContext& context) {
      return translate_cluster_frame(source->message, source->origin.path, context);
    });
    if (next.frame->is_discovered) next.assignment = find_resource(resources().assignments, assignment_key(source->message));
    if (next.frame->dns) {
      const auto names = resources().resolved.find(name);
      if (names != resources().resolved.end()) next.resolved = names->second;
    }
    if (same_frame && same_content(known->second.assignment, next.assignment) && known->second.resolved == next.resolved) {
      next.cluster = known->second.cluster;
    } else {
      next.cluster = fill(next);
    }
    out_.world.clusters.emplace(name, std::move(next));
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
    const auto known = before_.listeners.find(name);
    WorldListener next{.source = source, .route_sources = {}, .routes = {}, .listener = nullptr};
    const bool same = known != before_.listeners.end() && same_content(known->second.source, source);
    next.listener = same ? known->second.listener : about(source->origin, [&](TranslateContext& context) {
      return translate_listener(source->message, source->origin.path, context);
    });
    next.route_sources = same ? known->second.route_sources : route_sources(source->message);
    for (const config::FilterChain& chain : next.listener->chains) {
      if (const auto* http = chain.http(); http != nullptr && !http->route_config_name.empty()) {
        const ResourceKey key{http->route_config_source, http->route_config_name};
        next.routes.emplace(key, find_resource(resources().routes, key));
      }
    }
    const bool same_routes = same && std::ranges::equal(known->second.routes, next.routes, [](const auto& a, const auto& b) {
                               return a.first == b.first && same_content(a.second, b.second);
                             });
    if (!same_routes && !next.routes.empty()) next.listener = with_routes(next);
    out_.world.listeners.emplace(name, std::move(next));
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
    for (const auto& [name, cluster] : out_.world.clusters) {
      const std::vector<std::string>& members = cluster.cluster->members;
      for (std::size_t i = 0; i < members.size(); ++i) {
        const auto member = out_.world.clusters.find(members[i]);
        const std::string field = index_path(kAggregateMembers, i);
        if (member == out_.world.clusters.end()) {
          error(cluster.source->origin, field, "there is no cluster \"" + members[i] + "\": define it, or leave it out");
        } else if (member->second.cluster->is_aggregate() || member->second.cluster->original_dst != nullptr) {
          error(cluster.source->origin, field, "\"" + members[i] + "\" has no endpoints to choose from: name clusters that have");
        }
      }
    }
  }

  // Each address has one listener, and a port that has it: better an error now than a listener that never opens.
  void check_addresses() {
    std::map<std::string, const ResourceOrigin*> owners;
    for (const auto& [name, listener] : out_.world.listeners) {
      const ResourceOrigin& origin = listener.source->origin;
      for (const SocketAddress& address : listener.listener->addresses) {
        const auto [owner, first] = owners.emplace(listener.listener->address_text(address), &origin);
        if (!first) error(origin, "address", "the address \"" + owner->first + "\" is already taken by " + owner->second->path);
        if (is_ours(address)) continue;
        error(origin, "address",
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

  template <typename Table>
  static void count(const Table& before, const Table& now, WorldChanges& changes) {
    for (const auto& [name, item] : now) {
      const auto known = before.find(name);
      if (known == before.end()) {
        ++changes.added;
      } else if (!same_content(known->second.source, item.source)) {
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
                 std::map<std::string, ResourcePtr<Message>>& out, Diagnostics& diagnostics) {
  for (int i = 0; i < list.size(); ++i) {
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
  add_statics(bootstrap.static_resources().clusters(), "static_resources.clusters", out.clusters, diagnostics);
  add_statics(bootstrap.static_resources().listeners(), "static_resources.listeners", out.listeners, diagnostics);
  return out;
}

std::shared_ptr<const config::Snapshot> make_snapshot(const World& world, const WorldSettings& settings, std::uint64_t version) {
  auto out = std::make_shared<config::Snapshot>();
  out->version = version;
  out->node = {{"id", settings.service_node}, {"cluster", settings.service_cluster}};
  out->log_sinks = world.log_sinks;
  out->overload = settings.overload;
  for (const auto& [name, cluster] : world.clusters) out->clusters.emplace(cluster.cluster->name, cluster.cluster);
  for (const auto& [name, listener] : world.listeners) out->listeners.push_back(listener.listener);
  return out;
}

}  // namespace millrace::agent
