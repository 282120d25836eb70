#include "control-agent/discovery/runtime_layers.h"

#include <algorithm>
#include <utility>

#include "control-agent/discovery/snapshot_publisher.h"

namespace millrace::agent {

using envoy::config::bootstrap::v3::LayeredRuntime;

RuntimePlan plan_runtime(const LayeredRuntime& runtime, const std::string& path, Diagnostics& diagnostics) {
  RuntimePlan out;
  for (int i = 0; i < runtime.layers_size(); ++i) {
    const auto& given = runtime.layers(i);
    const std::string at = index_path(join_path(path, "layers"), static_cast<std::size_t>(i));
    if (std::ranges::find(out, given.name(), &PlannedLayer::name) != out.end())
      diagnostics.error(join_path(at, "name"), "the name \"" + given.name() + "\" is already taken by a layer before it");
    if (given.has_admin_layer() && std::ranges::any_of(out, &PlannedLayer::is_admin))
      diagnostics.error(join_path(at, "admin_layer"), "there is one before it: the administrator has one layer");
    PlannedLayer layer{.name = given.name(), .is_admin = given.has_admin_layer()};
    layer.entries = read_runtime_layer(given.static_layer(), join_path(at, "static_layer"), diagnostics);
    if (given.has_rtds_layer()) {
      const auto& discovered = given.rtds_layer();
      if (discovered.name().empty()) diagnostics.error(join_path(at, "rtds_layer.name"), "must be set: it is what is asked for");
      if (!discovered.has_rtds_config())
        diagnostics.error(join_path(at, "rtds_layer.rtds_config"), "must be set: it says where the layer comes from");
      layer.discovered = ResourceKey{source_key(discovered.rtds_config()), discovered.name()};
    }
    out.push_back(std::move(layer));
  }
  if (out.empty()) out.push_back({.name = {}, .is_admin = true});
  return out;
}

RuntimeSources runtime_sources(const LayeredRuntime& runtime) {
  RuntimeSources out;
  for (const auto& layer : runtime.layers()) {
    if (!layer.has_rtds_layer()) continue;
    const auto& source = layer.rtds_layer().rtds_config();
    out.emplace(ResourceKey{source_key(source), layer.rtds_layer().name()}, source);
  }
  return out;
}

std::shared_ptr<const Runtime> make_runtime(const RuntimePlan& plan, const Resources& resources,
                                            const std::function<RuntimeEntries(const ResourcePtr<RuntimeMessage>&)>& read,
                                            const Runtime* before) {
  auto out = std::make_shared<Runtime>();
  if (before != nullptr) out->loads = before->loads + 1;
  for (const PlannedLayer& planned : plan) {
    RuntimeLayer& layer = out->layers.emplace_back(planned.name, planned.entries);
    if (planned.discovered) {
      const auto resource = find_resource(resources.runtimes, *planned.discovered);
      if (resource != nullptr) layer.entries = read(resource);
    } else if (planned.is_admin && resources.runtime_overrides != nullptr) {
      layer.entries = *resources.runtime_overrides;
      out->is_overridden = !layer.entries.empty();
    }
  }
  out->values = RuntimeValues(out->layers);
  return out;
}

Result<void, std::string> override_runtime(SnapshotPublisher& publisher, const RuntimeEntries& values) {
  if (std::ranges::none_of(publisher.runtime_plan(), &PlannedLayer::is_admin))
    return Error<std::string>("No admin layer specified: give layered_runtime one (admin_layer: {})");
  for (const auto& [key, text] : values) {
    if (!text.empty() && !is_runtime_text(key, text)) return Error<std::string>(key + " must be a whole number: of connections");
  }
  std::string error;
  publisher.update([&](SnapshotPublisher::Batch& batch) {
    const auto& before = batch.resources().runtime_overrides;
    auto next = before == nullptr ? std::make_shared<RuntimeEntries>() : std::make_shared<RuntimeEntries>(*before);
    for (const auto& [key, text] : values) {
      if (text.empty()) {
        next->erase(key);
      } else {
        (*next)[key] = text;
      }
    }
    const auto outcome = batch.apply([&](Resources& resources) { resources.runtime_overrides = std::move(next); });
    if (!outcome.errors.empty()) error = outcome.errors.front().to_string();
  });
  if (!error.empty()) return Error<std::string>(std::move(error));
  return {};
}

}  // namespace millrace::agent
