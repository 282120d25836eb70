// Routes: which cluster, or which answer, a request gets. Plain, immutable, shared by all workers.
// Source: envoy.config.route.v3. What is compiled here (regexes, formats) was compiled by config/compile.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "config/model/circuit_breakers.h"
#include "config/model/format.h"
#include "config/model/hash_policy.h"
#include "config/model/header_mutation.h"
#include "config/model/http_filter.h"
#include "config/model/internal_redirect.h"
#include "config/model/matcher.h"
#include "config/model/rate_limit.h"
#include "config/model/retry_policy.h"
#include "config/model/route_index.h"
#include "config/model/route_match.h"
#include "config/model/subsets.h"
#include "dataplane/base/time.h"

namespace millrace::config {

/// A regex and its substitution (RE2 rewrite syntax): envoy.type.matcher.v3.RegexMatchAndSubstitute.
struct RegexRewrite {
  Regex regex;
  std::string substitution;
};

struct WeightedCluster {
  std::string name;
  std::string name_header = {};  ///< lower case: the request's field that names the cluster instead; empty: `name` does
  std::uint32_t weight = 0;
  HeaderMutations headers;
  std::string host_rewrite;  ///< empty: none
  /// What is asked of its endpoints, the route's metadata_match included; null: nothing.
  std::shared_ptr<const MetadataMatch> metadata_match = {};
  RouteFilters filters = {};
};

/// envoy.config.route.v3.RouteAction.MaxStreamDuration
struct StreamDuration {
  std::optional<Duration> limit;            ///< replaces the connection manager's max_stream_duration; zero: none
  std::optional<Duration> grpc_header_max;  ///< set: a request's grpc-timeout counts instead, up to this; zero: whatever it says
  Duration grpc_header_offset;              ///< by which grpc-timeout is shortened
};

/// max_grpc_timeout and grpc_timeout_offset: a gRPC request's own grpc-timeout takes the place of the route's timeout.
struct GrpcTimeout {
  Duration max;     ///< zero: none
  Duration offset;  ///< by which grpc-timeout is shortened where it is longer
};

/// A cluster that gets a copy of requests: envoy.config.route.v3.RouteAction.RequestMirrorPolicy.
struct MirrorPolicy {
  std::string cluster;
  std::string cluster_header = {};  ///< lower case: the request's field that names the cluster instead; empty: `cluster` does
  Fraction fraction = {};           ///< of the requests
  bool append_suffix = true;        ///< "-shadow" to the host
};

/// envoy.config.route.v3.RouteAction
struct ForwardAction {
  std::vector<WeightedCluster> clusters;  ///< one, or several by weight
  std::uint64_t total_weight = 0;
  std::string random_value_header;  ///< lower case: the request's field whose number chooses among clusters; empty: chance does
  std::uint16_t cluster_not_found_status = 503;
  std::optional<std::string> prefix_rewrite;
  std::optional<RegexRewrite> regex_rewrite;
  std::string host_rewrite_literal;               ///< empty: none
  std::string host_rewrite_header;                ///< lower case; empty: none
  std::optional<RegexRewrite> host_rewrite_path;  ///< host_rewrite_path_regex: of the path
  bool auto_host_rewrite = false;                 ///< the endpoint's hostname, where it has one
  bool append_x_forwarded_host = false;
  Duration timeout = Duration::seconds(15);  ///< zero: none
  std::optional<Duration> idle_timeout;      ///< replaces the connection manager's stream_idle_timeout; zero: none
  std::optional<StreamDuration> stream_duration;
  std::optional<GrpcTimeout> grpc_timeout;  ///< without effect beside stream_duration
  std::optional<bool> websocket;            ///< replaces the connection manager's upgrade_configs for "websocket"
  std::optional<bool> connect;              ///< and for "CONNECT"
  bool ends_connect = false;                ///< connect_config: endpoints get the bytes of the tunnel, and no CONNECT
  RoutingPriority priority = RoutingPriority::kDefault;  ///< whose circuit breakers count its requests
  std::shared_ptr<const RetryPolicy> retry;              ///< its own, or else its virtual host's; null: none
  HashPolicies hash_policies;  ///< of a cluster that balances by hash; none: each request is balanced alone
  /// What is kept of a body for another try, at most the listener's buffer limit: per_request_buffer_limit_bytes.
  std::uint32_t retry_buffer_limit_bytes = std::numeric_limits<std::uint32_t>::max();
  bool hedge_on_try_timeout = false;                              ///< a try whose time runs out goes on beside its successor
  std::shared_ptr<const std::vector<MirrorPolicy>> mirrors = {};  ///< the most specific level's; null: none
  std::shared_ptr<const InternalRedirectPolicy> redirects = {};   ///< null: all go to the client
  std::vector<RateLimit> rate_limits = {};
  bool include_virtual_host_rate_limits = false;
};

/// envoy.config.route.v3.RedirectAction
struct RedirectAction {
  std::uint16_t status = 301;
  std::string scheme;  ///< empty: keep
  std::string host;    ///< empty: keep
  std::optional<std::uint16_t> port;
  std::optional<std::string> path;
  std::optional<std::string> prefix_rewrite;
  std::optional<RegexRewrite> regex_rewrite;
  bool strip_query = false;
};

/// envoy.config.route.v3.DirectResponseAction
struct DirectResponse {
  std::uint16_t status = 200;
  std::string body;
};

struct Route {
  std::string name;
  RouteMatch match;
  std::variant<ForwardAction, RedirectAction, DirectResponse> action;
  HeaderMutations headers;
  RouteFilters filters;
};

struct VirtualHost {
  std::string name;
  std::vector<std::string> domains;  ///< lower case; "*", "*.suffix", "prefix.*" or exact
  std::vector<Route> routes;         ///< the first that matches
  RouteIndex index;                  ///< of `routes` (config/compile/route_index.h); empty: all are looked at
  HeaderMutations headers;
  enum class RequireTls : std::uint8_t { kNone, kExternalOnly, kAll } require_tls = RequireTls::kNone;
  bool include_request_attempt_count = false;
  bool include_attempt_count_in_response = false;
  bool include_is_timeout_retry_header = false;
  std::vector<RateLimit> rate_limits = {};
  RouteFilters filters;
};

/// envoy.config.route.v3.RouteConfiguration with its domain index (config/compile/route_table.h builds it).
struct RouteTable {
  std::string name;
  std::vector<VirtualHost> virtual_hosts;
  HeaderMutations headers;
  bool ignore_port_in_host = false;
  bool ignore_path_parameters = false;  ///< what follows ";" in a path has no part in the choice of a route
  bool most_specific_header_mutations_wins = false;
  std::vector<std::string> internal_only_headers;  ///< lower case; of external requests, they are removed
  RouteFilters filters;

  /// Lets find() look up by a view without making a string.
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <typename T>
  using ByText = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;
  /// Indices into virtual_hosts. Wildcards are kept by the length of what follows or precedes "*", longest first.
  ByText<std::uint32_t> exact_domains;
  std::vector<std::pair<std::size_t, ByText<std::uint32_t>>> suffix_domains;
  std::vector<std::pair<std::size_t, ByText<std::uint32_t>>> prefix_domains;
  std::optional<std::uint32_t> default_domain;
};

}  // namespace millrace::config
