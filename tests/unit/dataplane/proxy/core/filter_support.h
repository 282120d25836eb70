// Filters in the configuration of a ProxyHarness.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {

inline constexpr config::Fraction kAlways{100, 100};

/// Behind those that the connection manager has.
inline void add_filter(config::Listener& listener, std::string_view name, config::HttpFilterConfig config) {
  listener.chains[0].http()->filters.push_back({.name = std::string(name), .disabled = false, .config = std::move(config)});
}

/// In the route's typed_per_filter_config.
inline void add_route_config(config::Route& route, std::string_view name, config::RouteFilterConfig config) {
  route.filters.entries.push_back({.name = std::string(name), .disabled = false, .config = std::move(config)});
}

/// A change of a header field to a text without formats.
inline config::HeaderMutation write_field(
    std::string name, std::string value,
    config::HeaderMutation::Action action = config::HeaderMutation::Action::kOverwriteIfExistsOrAdd) {
  config::HeaderMutation mutation;
  mutation.name = std::move(name);
  mutation.value.elements.emplace_back().text = std::move(value);
  mutation.action = action;
  return mutation;
}

}  // namespace millrace::proxy::test
