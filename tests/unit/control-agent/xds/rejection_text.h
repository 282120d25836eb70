// What every rejection must say: which resource, and which field of it.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "control-agent/discovery/resources.h"

namespace millrace::agent::test {

/// `text` is or begins with an error that names a resource ('Cluster "a"') and the path of a field ('.lb_policy: ...'). Three
/// kinds have no field: what cannot be read, what has no name, and a name that comes twice.
inline bool names_its_fault(std::string_view text) {
  const auto says = [&](std::string_view words) { return text.find(words) != std::string_view::npos; };
  if (text.starts_with("a resource") && says("\" cannot be read as a ")) return true;
  if (text.starts_with("a ") && says(" has no name: ")) return true;
  constexpr std::string_view kMessages[] = {
      "Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration", "ScopedRouteConfiguration", "Secret", "secret",
      "Runtime", "TypedExtensionConfig"};
  const std::string_view message = text.substr(0, text.find(" \""));
  if (std::ranges::find(kMessages, message) == std::end(kMessages)) return false;
  if (says("\": the name comes twice in one response")) return true;
  // Names may hold anything: the field is what stands behind some quote.
  for (std::size_t at = text.find("\".", message.size() + 2); at != std::string_view::npos; at = text.find("\".", at + 1)) {
    std::string_view path = text.substr(at + 2);
    const auto* end =
        std::ranges::find_if(path, [](unsigned char c) { return std::islower(c) == 0 && std::isdigit(c) == 0 && c != '_'; });
    if (end != path.begin() && path.substr(static_cast<std::size_t>(end - path.begin())).find(": ") != std::string_view::npos)
      return true;
  }
  return false;
}

}  // namespace millrace::agent::test
