// What the router does between the choice of a route and the upstream connection.
#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/base/assert.h"
#include "dataplane/proxy/policy/path.h"
#include "dataplane/proxy/policy/request_headers.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

using http::HeaderId;

bool set_number(http::HeaderMap& headers, HeaderId id, std::uint64_t value) {
  std::array<char, kMaxDecimalBytes> digits;
  return headers.set_copy(id, write_decimal(value, digits));
}

// The weighted cluster's host, the route's, or that of a field named by the route.
bool rewrite_host(const config::ForwardAction& action, const config::WeightedCluster* cluster, http::RequestHead& head) {
  std::string_view host;
  if (cluster != nullptr && !cluster->host_rewrite.empty()) {
    host = cluster->host_rewrite;
  } else if (!action.host_rewrite_literal.empty()) {
    host = action.host_rewrite_literal;
  } else if (!action.host_rewrite_header.empty()) {
    host = request_value(head, action.host_rewrite_header);
  }
  if (host.empty()) return true;
  if (action.append_x_forwarded_host && !head.authority.empty() &&
      !append_to_list(head.headers, HeaderId::kXForwardedHost, head.authority, ",")) {
    return false;
  }
  head.authority = host;
  return true;
}

bool rewrite_request_path(const ForwardContext& context, const config::ForwardAction& action, http::RequestHead& head) {
  if (head.path.empty()) return true;  // CONNECT
  const std::string_view path =
      rewrite_path(context.levels.route->match.path, action, head.path, context.worker, head.headers.arena());
  if (path.data() == nullptr) return false;
  if (path.data() == head.path.data()) return true;
  if (!context.manager.suppress_envoy_headers && !head.headers.set_copy(HeaderId::kXEnvoyOriginalPath, head.path)) return false;
  head.path = path;
  return true;
}

}  // namespace

bool needs_tls_redirect(const config::VirtualHost& host, const http::RequestHead& head) {
  using RequireTls = config::VirtualHost::RequireTls;
  if (host.require_tls == RequireTls::kNone || head.headers.value(HeaderId::kXForwardedProto) == "https") return false;
  return host.require_tls == RequireTls::kAll || !head.headers.contains(HeaderId::kXEnvoyInternal);
}

bool upgrade_allowed(const config::HttpConnectionManager& manager, const config::ForwardAction& action,
                     const http::RequestHead& head) {
  if (head.upgrade.empty()) return true;
  if (head.method == "CONNECT") return manager.connect;
  return equal_ignoring_case(head.upgrade, "websocket") && action.websocket.value_or(manager.websocket);
}

Duration take_response_timeout(const config::ForwardAction& action, http::RequestHead& head) {
  Duration timeout = action.timeout;
  const std::string_view text = head.headers.value(HeaderId::kXEnvoyUpstreamRqTimeoutMs);
  std::uint32_t milliseconds = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  if (!text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size()) {
    timeout = Duration::milliseconds(milliseconds);
  }
  head.headers.remove(HeaderId::kXEnvoyUpstreamRqTimeoutMs);
  return timeout;
}

bool prepare_forward(const ForwardContext& context, http::RequestHead& head, const StreamInfo& info) {
  MR_ASSERT(context.levels.route != nullptr && context.levels.virtual_host != nullptr);
  const auto* action = std::get_if<config::ForwardAction>(&context.levels.route->action);
  MR_ASSERT(action != nullptr);
  return set_expected_timeout(context.manager, context.timeouts, Duration(), head) &&
         set_attempt_count(*context.levels.virtual_host, head, 1) &&
         apply_request_mutations(context.levels, head, info, context.environment) &&
         rewrite_host(*action, context.levels.cluster, head) && rewrite_request_path(context, *action, head);
}

bool set_attempt_count(const config::VirtualHost& host, http::RequestHead& head, std::uint32_t attempt) {
  return !host.include_request_attempt_count || set_number(head.headers, HeaderId::kXEnvoyAttemptCount, attempt);
}

bool set_expected_timeout(const config::HttpConnectionManager& manager, const ForwardTimeouts& timeouts, Duration elapsed,
                          http::RequestHead& head) {
  const auto limits = [](Duration timeout) { return timeout > Duration() && !timeout.is_infinite(); };
  if (manager.suppress_envoy_headers || (!limits(timeouts.response) && !limits(timeouts.per_try))) return true;
  std::int64_t expected = (limits(timeouts.per_try) ? timeouts.per_try : timeouts.response).to_milliseconds();
  if (limits(timeouts.response)) expected = std::min(expected, (timeouts.response - elapsed).to_milliseconds());
  if (elapsed > Duration()) expected = std::max<std::int64_t>(expected, 1);  // zero would mean: no limit
  return set_number(head.headers, HeaderId::kXEnvoyExpectedRqTimeoutMs, static_cast<std::uint64_t>(expected));
}

}  // namespace millrace::proxy
