// Changes of header fields. Source: envoy.config.core.v3.HeaderValueOption.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model/format.h"

namespace millrace::config {

/// envoy.config.core.v3.HeaderValueOption
struct HeaderMutation {
  enum class Action : std::uint8_t { kAppendIfExistsOrAdd, kAddIfAbsent, kOverwriteIfExistsOrAdd, kOverwriteIfExists };
  std::string name;  ///< lower case
  Format value;
  Action action = Action::kAppendIfExistsOrAdd;
  bool keep_empty_value = false;
};

/// What one level (route configuration, virtual host, route, weighted cluster) does to header fields.
struct HeaderMutations {
  std::vector<HeaderMutation> request_add;
  std::vector<std::string> request_remove;
  std::vector<HeaderMutation> response_add;
  std::vector<std::string> response_remove;
};

}  // namespace millrace::config
