// Cross-origin resource sharing. Sources: envoy.extensions.filters.http.cors.v3, envoy.config.route.v3.CorsPolicy.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/model/matcher.h"

namespace millrace::config {

/// In the connection manager: routes say the rest.
struct Cors {};

struct CorsPolicy {
  std::vector<StringMatcher> allow_origins;  ///< one has to match; empty: as a less specific level says, as with what follows
  std::string allow_methods;                 ///< this and the next three: values of fields; empty: no such field
  std::string allow_headers;
  std::string expose_headers;
  std::string max_age;
  std::optional<bool> allow_credentials;                ///< this and the next two: nothing: as a less specific level says
  std::optional<bool> allow_private_network_access;     ///< without a word: no
  std::optional<bool> forward_not_matching_preflights;  ///< without a word: yes
  Fraction enabled;                                     ///< filter_enabled
  Fraction shadow = {0, 100};  ///< shadow_enabled: counts origins of requests for which it is not enabled
};

}  // namespace millrace::config
