// Redirects of upstreams that the gateway follows itself. Source: envoy.config.route.v3.InternalRedirectPolicy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::config {

struct InternalRedirectPolicy {
  std::uint32_t most = 1;                        ///< of one request, whichever routes it meets
  std::vector<std::uint16_t> statuses{302};      ///< that are followed: 301, 302, 303, 307, 308
  bool allow_cross_scheme = false;               ///< from http to https and back
  bool forbid_http_to_https = false;             ///< predicate safe_cross_scheme
  bool forbid_previous_routes = false;           ///< predicate previous_routes: not twice from this route to the same one
  bool only_allowed_routes = false;              ///< predicate allow_listed_routes
  std::vector<std::string> allowed_routes = {};  ///< their names, for only_allowed_routes
  std::vector<std::string> copied_headers = {};  ///< lower case; fields of the redirect that the next request gets
};

}  // namespace millrace::config
