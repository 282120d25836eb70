// Rate limits: what a request counts as, and the buckets that its tokens come from.
// Sources: envoy.config.route.v3.RateLimit, envoy.extensions.common.ratelimit.v3, envoy.type.v3.TokenBucket.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/model/matcher.h"
#include "dataplane/base/shared_token_bucket.h"
#include "dataplane/report/cells.h"

namespace millrace::config {

/// One entry of a descriptor: its key, and where its value comes from.
struct RateLimitAction {
  enum class Kind : std::uint8_t {
    kConstant,             ///< `value`
    kDestinationCluster,   ///< the cluster that the request goes to
    kRemoteAddress,        ///< the trusted client's, as text
    kMaskedRemoteAddress,  ///< its network: "198.18.0.0/24"
    kRequestHeader,        ///< of the field `header`
    kHeaderMatch,          ///< `value`, for requests that match
    kQueryMatch,           ///< `value`, for requests that match
  };
  Kind kind = Kind::kConstant;
  std::string key;
  std::string value;
  std::string header;           ///< lower case
  bool skip_if_absent = false;  ///< of kRequestHeader: no entry, rather than no descriptor
  std::uint8_t v4_bits = 32;    ///< of kMaskedRemoteAddress
  std::uint8_t v6_bits = 128;
  bool expect_match = true;                                  ///< false: for requests that do not match
  std::vector<HeaderMatcher> headers = {};                   ///< all have to match
  std::vector<QueryParameterMatcher> query_parameters = {};  ///< all have to match
};

/// A descriptor of the requests of a route or of a virtual host. A request for which an action finds no value has none.
struct RateLimit {
  std::uint32_t stage = 0;
  std::vector<RateLimitAction> actions;
};

/// Key and value of each entry.
using RateLimitDescriptor = std::vector<std::pair<std::string, std::string>>;

struct RateLimitBucket {
  SharedTokenBucket::Limits limits;
  std::shared_ptr<report::TokenBucketCell> cell;
};

}  // namespace millrace::config
