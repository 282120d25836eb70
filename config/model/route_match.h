// Which requests a route is for; filters with rules of their own ask the same. Source: envoy.config.route.v3.RouteMatch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model/matcher.h"

namespace millrace::config {

struct PathMatcher {
  enum class Kind : std::uint8_t { kPrefix, kExact, kPathSeparatedPrefix, kRegex };
  Kind kind = Kind::kPrefix;
  std::string text;
  bool case_sensitive = true;
  Regex regex;
};

struct RouteMatch {
  PathMatcher path;
  std::vector<HeaderMatcher> headers;
  std::vector<QueryParameterMatcher> query_parameters;
  std::optional<Fraction> runtime_fraction;
};

}  // namespace millrace::config
