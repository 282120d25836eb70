// Which requests a route is for; filters with rules of their own ask the same. Source: envoy.config.route.v3.RouteMatch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model/matcher.h"
#include "config/model/metadata_matcher.h"

namespace millrace::config {

/// What a request's path has to be. Requests without one (CONNECT) meet kConnect only.
struct PathMatcher {
  enum class Kind : std::uint8_t { kPrefix, kExact, kPathSeparatedPrefix, kRegex, kConnect };
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
  bool grpc = false;                          ///< gRPC requests only
  std::optional<bool> certificate_presented;  ///< must the client have shown a certificate, or must it not
  std::optional<bool> certificate_validated;
  std::vector<MetadataMatcher> metadata;  ///< dynamic_metadata: all have to match what filters have left
};

}  // namespace millrace::config
