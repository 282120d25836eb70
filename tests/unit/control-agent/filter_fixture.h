// Configurations with one HTTP filter, as text, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {

/// An Any of `type` with these fields, as flow-style YAML.
inline std::string any(std::string_view type, const std::string& fields) {
  return "{\"@type\": " + std::string(type) + (fields.empty() ? "" : ", " + fields) + "}";
}

/// The text of a gateway whose connection manager has one filter before the router.
inline BootstrapText with_filter(const std::string& typed_config, const std::string& more = "") {
  BootstrapText text;
  text.filters = "{name: f, typed_config: " + typed_config + more + "}, ";
  return text;
}

/// And whose route says this of it.
inline BootstrapText with_route_config(std::string_view filter_type, const std::string& route_config) {
  BootstrapText text = with_filter(any(filter_type, ""));
  text.route = ", typed_per_filter_config: {f: " + route_config + "}";
  return text;
}

/// That filter, translated.
template <typename Config>
Config filter(std::string_view type, const std::string& fields) {
  const auto snapshot = snapshot_of(with_filter(any(type, fields)));
  if (snapshot == nullptr) return {};
  const auto& filters = snapshot->listeners[0]->chains[0].http()->filters;
  EXPECT_EQ(filters.size(), 1u);
  return std::get<Config>(filters[0].config);
}

/// What the route says of it, translated.
template <typename Config>
Config route_filter(std::string_view filter_type, const std::string& route_config) {
  const auto snapshot = snapshot_of(with_route_config(filter_type, route_config));
  if (snapshot == nullptr) return {};
  const config::RouteFilter* entry = route_of(snapshot).filters.find("f");
  EXPECT_NE(entry, nullptr);
  return entry == nullptr ? Config{} : std::get<Config>(entry->config);
}

}  // namespace millrace::agent::test
