// The layers of the bootstrap's layered_runtime, for /runtime, and the values that /runtime_modify lays over them. Nothing of the
// gateway reads its runtime but the keys of static layers that limit connections, and those at the start.
#pragma once

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace envoy::config::bootstrap::v3 {
class LayeredRuntime;
}

namespace millrace::agent {

/// Any thread may call.
class RuntimeLayers {
 public:
  /// Without any layer there is one for the administrator, as in Envoy.
  explicit RuntimeLayers(const envoy::config::bootstrap::v3::LayeredRuntime& runtime);

  /// {"layers": [names], "entries": {key: {"final_value", "layer_values": [a text for each layer, empty: it has none]}}}
  [[nodiscard]] nlohmann::ordered_json to_json() const;
  /// Sets keys in the last admin_layer; an empty value takes one out. An error says why nothing has changed.
  [[nodiscard]] Result<void, std::string> modify(const std::map<std::string, std::string>& values);

 private:
  struct Layer {
    std::string name;
    std::map<std::string, std::string> values;
  };

  mutable std::mutex mutex_;
  std::vector<Layer> layers_;
  std::optional<std::size_t> admin_;  // index; none: modify() is refused
};

}  // namespace millrace::agent
