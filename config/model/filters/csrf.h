// Protection against cross-site request forgery. Source: envoy.extensions.filters.http.csrf.v3.CsrfPolicy.
#pragma once

#include <vector>

#include "config/model/matcher.h"

namespace millrace::config {

/// The same in the connection manager and for a route, which replaces it as a whole.
struct Csrf {
  Fraction enabled;
  Fraction shadow = {0, 100};                     ///< requests for which it is not enabled, and that are counted all the same
  std::vector<StringMatcher> additional_origins;  ///< besides the one that the request goes to: "host" or "host:port"
};

}  // namespace millrace::config
