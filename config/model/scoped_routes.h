// Route tables of which each request has one, found by a key that is made of its header fields. Sources:
// envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes, envoy.config.route.v3.ScopedRouteConfiguration.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/route.h"
#include "dataplane/base/limits.h"

namespace millrace::config {

/// HeaderValueExtractor: what a part of the key is read from.
struct ScopeFragment {
  struct Pair {
    std::string key;
    std::string separator;
  };

  std::string header;             ///< lower case; of several fields of that name the first counts
  std::string element_separator;  ///< empty: the value is one element
  std::uint32_t index = 0;        ///< which element
  std::optional<Pair> pair = {};  ///< instead of the index: what stands behind this key, in the first element that has it
};

struct Scope {
  std::string name;
  std::vector<std::string> key;              ///< a text for each fragment
  std::shared_ptr<const RouteTable> routes;  ///< null: they have not come
  std::string route_config_name;             ///< of RDS; empty: the routes stand in the scope
};

struct ScopedRoutes {
  std::string name;
  std::vector<ScopeFragment> fragments;  ///< at most limits::kMaxScopeFragments
  std::vector<Scope> scopes;             ///< sorted by key; keys differ
  std::string source;                    ///< of scopes that are discovered: the file; empty: a control plane
  std::string route_config_source;       ///< rds_config_source, likewise
  bool is_discovered = false;            ///< scoped_rds; else the scopes stand in the listener

  /// Null: there is none with that key.
  [[nodiscard]] const Scope* find(std::span<const std::string_view> key) const {
    const auto at = std::ranges::lower_bound(scopes, key, is_less, &Scope::key);
    return at != scopes.end() && std::ranges::equal(at->key, key) ? &*at : nullptr;
  }
  /// To be called when all scopes are there.
  void sort() { std::ranges::sort(scopes, {}, &Scope::key); }

 private:
  static constexpr auto is_less = [](const auto& a, const auto& b) { return std::ranges::lexicographical_compare(a, b); };
};

}  // namespace millrace::config
