// The layers of the bootstrap's layered_runtime, those that are discovered (RTDS) and the administrator's included, and what they
// say together. Source: envoy.config.bootstrap.v3.LayeredRuntime.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control-agent/diagnostics.h"
#include "control-agent/discovery/resources.h"
#include "control-agent/runtime_values.h"
#include "dataplane/base/result.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"

namespace millrace::agent {

/// What the bootstrap says of a layer. Of one on disk nothing: it stays empty.
struct PlannedLayer {
  std::string name;
  RuntimeEntries entries = {};                 ///< of a static one
  std::optional<ResourceKey> discovered = {};  ///< of an rtds_layer
  bool is_admin = false;
};
using RuntimePlan = std::vector<PlannedLayer>;

/// Without any layer there is one for the administrator, as in Envoy.
[[nodiscard]] RuntimePlan plan_runtime(const envoy::config::bootstrap::v3::LayeredRuntime& runtime, const std::string& path,
                                       Diagnostics& diagnostics);

/// Where layers are discovered.
using RuntimeSources = std::map<ResourceKey, envoy::config::core::v3::ConfigSource>;
[[nodiscard]] RuntimeSources runtime_sources(const envoy::config::bootstrap::v3::LayeredRuntime& runtime);

struct Runtime {
  std::vector<RuntimeLayer> layers;  ///< as planned
  RuntimeValues values;
  std::uint64_t loads = 1;     ///< how often it was read, this time included
  bool is_overridden = false;  ///< by the administrator
};

/// `read`: the entries of a layer that has come.
[[nodiscard]] std::shared_ptr<const Runtime> make_runtime(
    const RuntimePlan& plan, const Resources& resources,
    const std::function<RuntimeEntries(const ResourcePtr<RuntimeMessage>&)>& read, const Runtime* before);

class SnapshotPublisher;
/// /runtime_modify: sets keys in the admin_layer; an empty value takes one out. Any thread. An error says why nothing has
/// changed.
[[nodiscard]] Result<void, std::string> override_runtime(SnapshotPublisher& publisher, const RuntimeEntries& values);

}  // namespace millrace::agent
