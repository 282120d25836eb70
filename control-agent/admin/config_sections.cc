#include "control-agent/admin/config_sections.h"

#include <map>
#include <utility>

#include "control-agent/admin/messages.h"
#include "control-agent/discovery/connection_managers.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"

namespace millrace::agent {
namespace {

using google::protobuf::Message;

template <typename Section>
using Part = std::unique_ptr<Section>;

/// What all dynamic entries have; `content` is the Any of `out`.
template <typename Entry>
void set_dynamic(const DynamicResource& resource, Entry& out, google::protobuf::Any& (*content)(Entry&)) {
  out.set_version_info(resource.version);
  if (resource.content == nullptr) return;
  content(out).PackFrom(*resource.content);
  *out.mutable_last_updated() = to_timestamp(resource.updated);
}

Part<Message> bootstrap_section(const DumpSource& source) {
  auto dump = std::make_unique<envoy::admin::v3::BootstrapConfigDump>();
  *dump->mutable_bootstrap() = source.bootstrap;
  *dump->mutable_last_updated() = to_timestamp(source.loaded_at);
  return dump;
}

Part<Message> clusters_section(const DumpSource& source) {
  using Entry = envoy::admin::v3::ClustersConfigDump::DynamicCluster;
  auto dump = std::make_unique<envoy::admin::v3::ClustersConfigDump>();
  dump->set_version_info(source.dynamic.clusters_version);
  for (const auto& cluster : source.bootstrap.static_resources().clusters()) {
    if (!source.wanted(cluster.name())) continue;
    auto& entry = *dump->add_static_clusters();
    entry.mutable_cluster()->PackFrom(cluster);
    *entry.mutable_last_updated() = to_timestamp(source.loaded_at);
  }
  for (const DynamicResource& cluster : source.dynamic.clusters) {
    if (!source.wanted(cluster.name)) continue;
    Entry& entry =
        cluster.state == ResourceState::kWarming ? *dump->add_dynamic_warming_clusters() : *dump->add_dynamic_active_clusters();
    set_dynamic<Entry>(cluster, entry, [](Entry& e) -> google::protobuf::Any& { return *e.mutable_cluster(); });
    if (cluster.refused) set_refused(*cluster.refused, *entry.mutable_error_state());
  }
  return dump;
}

// One entry for a name, with what is active, warms and drains under it.
Part<Message> listeners_section(const DumpSource& source) {
  using Dump = envoy::admin::v3::ListenersConfigDump;
  using State = Dump::DynamicListenerState;
  auto dump = std::make_unique<Dump>();
  dump->set_version_info(source.dynamic.listeners_version);
  for (const auto& listener : source.bootstrap.static_resources().listeners()) {
    if (!source.wanted(listener.name())) continue;
    auto& entry = *dump->add_static_listeners();
    entry.mutable_listener()->PackFrom(listener);
    *entry.mutable_last_updated() = to_timestamp(source.loaded_at);
  }
  std::map<std::string, Dump::DynamicListener*> by_name;
  for (const DynamicResource& listener : source.dynamic.listeners) {
    if (!source.wanted(listener.name)) continue;
    auto*& entry = by_name[listener.name];
    if (entry == nullptr) {
      entry = dump->add_dynamic_listeners();
      entry->set_name(listener.name);
    }
    if (listener.refused) set_refused(*listener.refused, *entry->mutable_error_state());
    if (listener.content == nullptr) continue;
    State& state = listener.state == ResourceState::kActive    ? *entry->mutable_active_state()
                   : listener.state == ResourceState::kWarming ? *entry->mutable_warming_state()
                                                               : *entry->mutable_draining_state();
    set_dynamic<State>(listener, state, [](State& s) -> google::protobuf::Any& { return *s.mutable_listener(); });
  }
  return dump;
}

/// visit(route configuration) for those that stand in connection managers of `listener`.
template <typename Visit>
void for_each_inline_route(const envoy::config::listener::v3::Listener& listener, Visit&& visit) {
  for_each_manager(listener, [&](const auto& manager) {
    if (manager.has_route_config()) visit(manager.route_config());
  });
}

Part<Message> routes_section(const DumpSource& source) {
  using Entry = envoy::admin::v3::RoutesConfigDump::DynamicRouteConfig;
  auto dump = std::make_unique<envoy::admin::v3::RoutesConfigDump>();
  const auto add_static = [&](const envoy::config::listener::v3::Listener& listener,
                              std::chrono::system_clock::time_point updated) {
    for_each_inline_route(listener, [&](const envoy::config::route::v3::RouteConfiguration& routes) {
      if (!source.wanted(routes.name())) return;
      auto& entry = *dump->add_static_route_configs();
      entry.mutable_route_config()->PackFrom(routes);
      *entry.mutable_last_updated() = to_timestamp(updated);
    });
  };
  for (const auto& listener : source.bootstrap.static_resources().listeners()) add_static(listener, source.loaded_at);
  for (const DynamicResource& listener : source.dynamic.listeners) {
    const auto* message = google::protobuf::DynamicCastToGenerated<envoy::config::listener::v3::Listener>(listener.content.get());
    if (message != nullptr) add_static(*message, listener.updated);
  }
  for (const DynamicResource& routes : source.dynamic.routes) {
    if (!source.wanted(routes.name)) continue;
    Entry& entry = *dump->add_dynamic_route_configs();
    set_dynamic<Entry>(routes, entry, [](Entry& e) -> google::protobuf::Any& { return *e.mutable_route_config(); });
    if (routes.refused) set_refused(*routes.refused, *entry.mutable_error_state());
  }
  return dump;
}

Part<Message> scopes_section(const DumpSource& source) {
  auto dump = std::make_unique<envoy::admin::v3::ScopedRoutesConfigDump>();
  const auto add_inline = [&](const envoy::config::listener::v3::Listener& listener,
                              std::chrono::system_clock::time_point updated) {
    for_each_manager(listener, [&](const auto& manager) {
      const auto& scoped = manager.scoped_routes();
      if (!scoped.has_scoped_route_configurations_list() || !source.wanted(scoped.name())) return;
      auto& entry = *dump->add_inline_scoped_route_configs();
      entry.set_name(scoped.name());
      for (const auto& scope : scoped.scoped_route_configurations_list().scoped_route_configurations())
        entry.add_scoped_route_configs()->PackFrom(scope);
      *entry.mutable_last_updated() = to_timestamp(updated);
    });
  };
  for (const auto& listener : source.bootstrap.static_resources().listeners()) add_inline(listener, source.loaded_at);
  for (const DynamicResource& listener : source.dynamic.listeners) {
    const auto* message = google::protobuf::DynamicCastToGenerated<envoy::config::listener::v3::Listener>(listener.content.get());
    if (message != nullptr) add_inline(*message, listener.updated);
  }
  for (const ScopesOfListener& scopes : source.dynamic.scopes) {
    if (!source.wanted(scopes.name)) continue;
    auto& entry = *dump->add_dynamic_scoped_route_configs();
    entry.set_name(scopes.name);
    std::chrono::system_clock::time_point updated{};
    for (const DynamicResource& scope : scopes.scopes) {
      entry.add_scoped_route_configs()->PackFrom(*scope.content);
      if (scope.updated < updated) continue;
      updated = scope.updated;
      entry.set_version_info(scope.version);
    }
    *entry.mutable_last_updated() = to_timestamp(updated);
  }
  return dump;
}

Part<Message> extensions_section(const DumpSource& source) {
  using Entry = envoy::admin::v3::EcdsConfigDump::EcdsFilterConfig;
  auto dump = std::make_unique<envoy::admin::v3::EcdsConfigDump>();
  for (const DynamicResource& extension : source.dynamic.extensions) {
    if (!source.wanted(extension.name)) continue;
    Entry& entry = *dump->add_ecds_filters();
    set_dynamic<Entry>(extension, entry, [](Entry& e) -> google::protobuf::Any& { return *e.mutable_ecds_filter(); });
    if (extension.refused) set_refused(*extension.refused, *entry.mutable_error_state());
  }
  return dump;
}

Part<Message> secrets_section(const DumpSource& source) {
  using Entry = envoy::admin::v3::SecretsConfigDump::DynamicSecret;
  auto dump = std::make_unique<envoy::admin::v3::SecretsConfigDump>();
  for (const auto& secret : source.bootstrap.static_resources().secrets()) {
    if (!source.wanted(secret.name())) continue;
    auto& entry = *dump->add_static_secrets();
    entry.set_name(secret.name());
    entry.mutable_secret()->PackFrom(secret);
    *entry.mutable_last_updated() = to_timestamp(source.loaded_at);
  }
  for (const DynamicResource& secret : source.dynamic.secrets) {
    if (!source.wanted(secret.name)) continue;
    Entry& entry =
        secret.state == ResourceState::kWarming ? *dump->add_dynamic_warming_secrets() : *dump->add_dynamic_active_secrets();
    entry.set_name(secret.name);
    set_dynamic<Entry>(secret, entry, [](Entry& e) -> google::protobuf::Any& { return *e.mutable_secret(); });
    if (secret.refused) set_refused(*secret.refused, *entry.mutable_error_state());
  }
  return dump;
}

envoy::config::core::v3::HealthStatus coarse_health(const config::Endpoint& endpoint) {
  switch (config::health_of(endpoint)) {
    case config::EndpointHealth::kHealthy: return envoy::config::core::v3::HEALTHY;
    case config::EndpointHealth::kDegraded: return envoy::config::core::v3::DEGRADED;
    case config::EndpointHealth::kUnhealthy:
    case config::EndpointHealth::kExcluded: return envoy::config::core::v3::UNHEALTHY;
  }
  return envoy::config::core::v3::UNKNOWN;
}

void add_endpoint(const config::Endpoint& endpoint, envoy::config::endpoint::v3::LocalityLbEndpoints& out) {
  auto& entry = *out.add_lb_endpoints();
  entry.mutable_load_balancing_weight()->set_value(endpoint.weight);
  entry.set_health_status(coarse_health(endpoint));
  auto& shown = *entry.mutable_endpoint();
  shown.set_hostname(endpoint.extras().hostname);
  *shown.mutable_address() = to_message(endpoint.address, endpoint.extras().pipe);
  shown.mutable_health_check_config();
}

// As load balancing has them, by priority and locality: what the control plane gave, and what has been found here.
envoy::config::endpoint::v3::ClusterLoadAssignment assignment_of(const config::Cluster& cluster) {
  envoy::config::endpoint::v3::ClusterLoadAssignment out;
  std::map<std::pair<std::uint32_t, std::uint32_t>, envoy::config::endpoint::v3::LocalityLbEndpoints> groups;
  for (const config::Endpoint& endpoint : cluster.endpoints) {
    auto& group = groups[{endpoint.priority, endpoint.locality}];
    if (group.lb_endpoints().empty()) {
      const config::Locality& locality = config::locality_of(cluster, endpoint);
      *group.mutable_locality() = to_message(locality);
      group.set_priority(endpoint.priority);
      if (locality.weight > 0) group.mutable_load_balancing_weight()->set_value(locality.weight);
    }
    add_endpoint(endpoint, group);
  }
  for (auto& [key, group] : groups) *out.add_endpoints() = std::move(group);
  return out;
}

Part<Message> endpoints_section(const DumpSource& source) {
  auto dump = std::make_unique<envoy::admin::v3::EndpointsConfigDump>();
  if (source.snapshot == nullptr) return dump;
  const auto services = service_names(source.bootstrap, source.dynamic);
  std::map<std::string, const DynamicResource*> given;
  for (const DynamicResource& assignment : source.dynamic.endpoints) given.emplace(assignment.name, &assignment);
  for (const auto& [name, cluster] : sorted_clusters(*source.snapshot)) {
    auto assignment = assignment_of(*cluster);
    const auto service = services.find(name);
    assignment.set_cluster_name(service == services.end() ? name : service->second);
    if (!source.wanted(assignment.cluster_name())) continue;
    if (!cluster->added_via_api) {
      dump->add_static_endpoint_configs()->mutable_endpoint_config()->PackFrom(assignment);
      continue;
    }
    auto& entry = *dump->add_dynamic_endpoint_configs();
    entry.mutable_endpoint_config()->PackFrom(assignment);
    const auto at = given.find(assignment.cluster_name());
    if (at == given.end()) continue;
    entry.set_version_info(at->second->version);
    if (at->second->content != nullptr) *entry.mutable_last_updated() = to_timestamp(at->second->updated);
    if (at->second->refused) set_refused(*at->second->refused, *entry.mutable_error_state());
  }
  return dump;
}

}  // namespace

std::vector<Part<Message>> config_sections(const DumpSource& source, bool include_eds) {
  std::vector<Part<Message>> out;
  out.push_back(bootstrap_section(source));
  out.push_back(clusters_section(source));
  out.push_back(extensions_section(source));
  if (include_eds) out.push_back(endpoints_section(source));
  out.push_back(listeners_section(source));
  out.push_back(scopes_section(source));
  out.push_back(routes_section(source));
  out.push_back(secrets_section(source));
  return out;
}

}  // namespace millrace::agent
