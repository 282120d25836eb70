// What was good last stands in for what nobody says.
#include <utility>

#include "control-agent/tls_secrets.h"
#include "control-agent/xds/xds_client.h"
#include "control-agent/xds/xds_sources.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

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

}  // namespace millrace::agent
