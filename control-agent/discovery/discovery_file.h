// A file that holds a DiscoveryResponse -> resources of one type, checked for form, for rules and for support.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "control-agent/diagnostics.h"
#include "control-agent/discovery/resources.h"

namespace millrace::agent {

/// What the file holds; of a type, everything.
template <typename Message>
struct DiscoveryFile {
  std::vector<ResourcePtr<Message>> resources;
  std::string version;
  std::vector<ConfigError> errors;  ///< empty: it is good
  std::vector<ConfigError> warnings;
  bool readable = false;  ///< errors are about what it says, not about how it is written
};

/// Message: that of any type but secrets. Names must be given, and differ. With `names` those must be among them.
template <typename Message>
[[nodiscard]] DiscoveryFile<Message> read_discovery_file(const std::string& path, const std::set<std::string>& names);

}  // namespace millrace::agent
