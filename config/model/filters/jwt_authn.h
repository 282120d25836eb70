// JSON Web Tokens that requests have to show. Source: envoy.extensions.filters.http.jwt_authn.v3.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/model/filters/json_web_keys.h"
#include "config/model/matcher.h"
#include "config/model/route_match.h"
#include "dataplane/base/text_cache.h"
#include "dataplane/base/time.h"

namespace millrace::config {

/// Where a token may stand in a request.
struct JwtLocation {
  enum class Kind : std::uint8_t { kHeader, kParameter, kCookie };
  Kind kind = Kind::kHeader;
  std::string name;                  ///< of the field, in lower case; of the query parameter or cookie
  std::string prefix;                ///< of a field's value: what stands before the token, anywhere in it
  std::vector<std::string> issuers;  ///< whose tokens may stand there; empty: anybody's
};

struct JwtProvider {
  struct ClaimToHeader {
    std::string header;             ///< lower case
    std::vector<std::string> path;  ///< of the claim: names, from the outermost on
  };

  std::string name;
  std::string issuer;                    ///< empty: any
  std::vector<std::string> audiences;    ///< as bare_audience() leaves them; empty: any
  std::optional<StringMatcher> subject;  ///< nothing: any
  bool require_expiration = false;
  std::optional<Duration> max_lifetime;  ///< from now on; needs an expiration
  std::uint32_t clock_skew_seconds = 60;
  JsonWebKeys keys;                             ///< of local_jwks; none: every token fails
  std::shared_ptr<JsonWebKeySlot> remote_keys;  ///< of remote_jwks, in place of `keys`; null: these count
  std::vector<JwtLocation> locations;           ///< tokens are looked at from the last one's on

  bool forward = false;        ///< the token goes on to the upstream
  std::string payload_header;  ///< forward_payload_header, lower case; empty: none
  bool pad_payload = false;    ///< pad_forward_payload_header
  std::string payload_key;     ///< payload_in_metadata; empty: none
  std::string header_key;      ///< header_in_metadata; empty: none
  std::string failed_key;      ///< failed_status_in_metadata; empty: none
  std::vector<std::string> space_delimited_claims;
  std::vector<ClaimToHeader> claims_to_headers;
  bool clear_route_cache = false;
  /// Tokens whose signature is known to be good, one for each worker and only its; empty: none is remembered.
  std::vector<std::shared_ptr<TextCache>> verified;
};

struct JwtRequirement {
  enum class Kind : std::uint8_t {
    kNothing,
    kProvider,              ///< a token of `provider`
    kAny,                   ///< one of `others` is enough
    kAll,                   ///< each of `others`
    kAllowMissing,          ///< no token, or a good one of any provider
    kAllowMissingOrFailed,  ///< whatever there is; what tokens say is taken where they are good
  };
  Kind kind = Kind::kNothing;
  std::uint32_t provider = 0;                              ///< index of JwtAuthn::providers
  std::optional<std::vector<std::string>> audiences = {};  ///< in place of the provider's, as bare_audience() leaves them
  std::vector<JwtRequirement> others = {};
  // Of kAny: what else it lets pass.
  bool allow_missing = false;
  bool allow_failed = false;
};

/// In the connection manager.
struct JwtAuthn {
  struct Rule {
    RouteMatch match;
    JwtRequirement requirement;
  };

  std::vector<JwtProvider> providers;                                ///< in the order of their names
  std::vector<JwtLocation> locations;                                ///< of all providers together
  std::vector<Rule> rules;                                           ///< the first that matches; none: nothing is required
  std::vector<std::pair<std::string, JwtRequirement>> requirements;  ///< requirement_map, in the order of the names
  bool bypass_cors_preflight = false;
  bool strip_failure_response = false;
};

/// Of a route.
struct JwtAuthnPerRoute {
  bool disabled = false;
  std::string requirement_name;  ///< unless `disabled`
};

/// Audiences are compared without the scheme ("http://", "https://") and without a slash at the end.
[[nodiscard]] inline std::string_view bare_audience(std::string_view audience) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!audience.starts_with(scheme)) continue;
    audience.remove_prefix(scheme.size());
    break;
  }
  if (audience.ends_with('/')) audience.remove_suffix(1);
  return audience;
}

}  // namespace millrace::config
