#include "control-agent/last_good/last_good.h"

#include <utility>

#include "control-agent/discovery/world.h"
#include "control-agent/private_data.h"
#include "control-agent/tls_secrets.h"

namespace millrace::agent {
namespace {

class Collector {
 public:
  explicit Collector(bool with_private_data) : with_private_data_(with_private_data) {}

  void add(const KindKey& kind, const std::string& name, const std::string& version, const google::protobuf::Message& message) {
    if (!with_private_data_ && holds_private_data(message)) {
      out_.left_out.push_back(message.GetDescriptor()->name() + " \"" + name + "\"");
      return;
    }
    LastGood::Saved& saved = out_.last_good.kinds[kind][name];
    saved.version = version;
    saved.body.PackFrom(message);
  }

  /// Clusters and listeners, whose names are their keys.
  template <typename Message>
  void add_all(ResourceType type, const NamedResources<Message>& table) {
    for (const auto& [name, resource] : table) {
      if (resource->origin().is_static || !is_control_plane(resource->origin().source)) continue;
      add({type, resource->origin().source}, name, resource->origin().version, resource->message());
    }
  }

  template <typename Message>
  void add_all(ResourceType type, const KeyedResources<Message>& table) {
    for (const auto& [key, resource] : table) {
      if (resource == nullptr || !is_control_plane(key.source)) continue;
      add({type, key.source}, key.name, resource->origin().version, resource->message());
    }
  }

  [[nodiscard]] CollectedGood take() && { return std::move(out_); }

 private:
  const bool with_private_data_;
  CollectedGood out_;
};

}  // namespace

std::size_t LastGood::resources() const {
  std::size_t sum = 0;
  for (const auto& [key, kind] : kinds) sum += kind.size();
  return sum;
}

CollectedGood collect_last_good(const World& world, const DiscoveredSecrets& secrets, bool with_private_data) {
  Collector collector(with_private_data);
  collector.add_all(ResourceType::kCluster, world.resources.clusters);
  collector.add_all(ResourceType::kAssignment, world.resources.assignments);
  collector.add_all(ResourceType::kListener, world.resources.listeners);
  collector.add_all(ResourceType::kRoutes, world.resources.routes);
  collector.add_all(ResourceType::kExtension, world.resources.extensions);
  collector.add_all(ResourceType::kScope, world.resources.scopes);
  collector.add_all(ResourceType::kRuntime, world.resources.runtimes);
  for (const auto& [name, secret] : secrets.all()) {
    if (secret != nullptr) collector.add({ResourceType::kSecret, name.source}, name.name, {}, *secret);
  }
  return std::move(collector).take();
}

}  // namespace millrace::agent
