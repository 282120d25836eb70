// What the router does between the choice of a route and the upstream connection.
#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/base/assert.h"
#include "dataplane/proxy/policy/grpc_timeout.h"
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

// The endpoint's host, the weighted cluster's, the route's, that of a field named by the route, or one made of the path. Empty:
// the request's stays. Null data(): out of memory.
std::string_view new_host(const ForwardContext& context, const config::ForwardAction& action, const http::RequestHead& head) {
  const config::WeightedCluster* cluster = context.levels.cluster;
  if (action.auto_host_rewrite && !context.endpoint_host.empty()) return head.headers.arena().copy(context.endpoint_host);
  if (cluster != nullptr && !cluster->host_rewrite.empty()) return cluster->host_rewrite;
  if (!action.host_rewrite_literal.empty()) return action.host_rewrite_literal;
  if (!action.host_rewrite_header.empty()) {
    const std::string_view host = first_request_value(head, action.host_rewrite_header);
    return host.empty() ? "" : host;
  }
  if (action.host_rewrite_path && !head.path.empty())
    return replace_all(*action.host_rewrite_path, without_query(head.path), context.worker, head.headers.arena());
  return "";
}

// x-forwarded-host already ends with it.
bool was_forwarded_last(const http::HeaderMap& headers, std::string_view host) {
  const std::string_view list = headers.joined_value(HeaderId::kXForwardedHost);
  return trim(list.substr(list.rfind(',') + 1)) == host;
}

bool rewrite_host(const ForwardContext& context, const config::ForwardAction& action, http::RequestHead& head) {
  const std::string_view host = new_host(context, action, head);
  if (host.data() == nullptr) return false;
  if (host.empty()) return true;
  if (action.append_x_forwarded_host && !head.authority.empty() && !was_forwarded_last(head.headers, head.authority) &&
      !append_to_list(head.headers, HeaderId::kXForwardedHost, head.authority, ",")) {
    return false;
  }
  head.authority = host;
  return true;
}

// Zero: it may take any time.
Duration timeout_by_grpc(const config::GrpcTimeout& limits, const http::HeaderMap& headers) {
  Duration timeout = grpc_timeout(headers).value_or(Duration());
  if (timeout.is_infinite()) timeout = Duration();
  if (limits.offset < timeout) timeout = timeout - limits.offset;
  const bool too_long = timeout == Duration() || timeout > limits.max;
  return limits.max > Duration() && too_long ? limits.max : timeout;
}

// Removes the field. Nothing: it is not there, or no whole number.
std::optional<Duration> take_milliseconds(http::HeaderMap& headers, HeaderId id) {
  const std::string_view text = headers.value(id);
  std::uint32_t milliseconds = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), milliseconds);
  const bool is_number = !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
  headers.remove(id);
  if (!is_number) return std::nullopt;
  return Duration::milliseconds(milliseconds);
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
  if (head.method == "CONNECT") return action.connect.value_or(manager.connect);
  return equal_ignoring_case(head.upgrade, "websocket") && action.websocket.value_or(manager.websocket);
}

Duration take_response_timeout(const config::ForwardAction& action, http::RequestHead& head) {
  Duration timeout = action.stream_duration ? Duration() : action.timeout;  // as Envoy: the one replaces the other
  if (follows_grpc_timeout(action, head)) timeout = timeout_by_grpc(*action.grpc_timeout, head.headers);
  return take_milliseconds(head.headers, HeaderId::kXEnvoyUpstreamRqTimeoutMs).value_or(timeout);
}

Duration take_upstream_duration(Duration of_cluster, http::RequestHead& head) {
  return take_milliseconds(head.headers, HeaderId::kXEnvoyUpstreamStreamDurationMs).value_or(of_cluster);
}

bool follows_grpc_timeout(const config::ForwardAction& action, const http::RequestHead& head) {
  return action.grpc_timeout && !action.stream_duration && is_grpc(head);
}

std::optional<Duration> stream_duration(const config::ForwardAction& action, const http::RequestHead& head) {
  if (!action.stream_duration) return std::nullopt;
  const config::StreamDuration& route = *action.stream_duration;
  const std::optional<Duration> asked = route.grpc_header_max ? grpc_timeout(head.headers) : std::nullopt;
  if (!asked) return route.limit;
  Duration duration = *asked;
  if (duration.is_infinite() && *route.grpc_header_max == Duration()) return duration;
  if (*route.grpc_header_max > Duration()) duration = std::min(duration, *route.grpc_header_max);
  constexpr auto kOver = Duration::nanoseconds(-1);
  return duration > route.grpc_header_offset ? duration - route.grpc_header_offset : kOver;
}

bool announce_stream_duration(const config::ForwardAction& action, Duration duration, http::RequestHead& head) {
  if (!action.stream_duration || !is_grpc(head)) return true;
  if (duration == Duration() || duration.is_infinite()) return true;
  return set_grpc_timeout(head.headers, duration);
}

bool prepare_forward(const ForwardContext& context, http::RequestHead& head, const StreamInfo& info) {
  MR_ASSERT(context.levels.route != nullptr && context.levels.virtual_host != nullptr);
  const auto* action = std::get_if<config::ForwardAction>(&context.levels.route->action);
  MR_ASSERT(action != nullptr);
  return set_expected_timeout(context.manager, context.timeouts, Duration(), head) &&
         set_attempt_count(*context.levels.virtual_host, head, 1) &&
         apply_request_mutations(context.levels, head, info, context.environment) && rewrite_host(context, *action, head) &&
         rewrite_request_path(context, *action, head);
}

bool follow_endpoint_host(const config::ForwardAction& action, std::string_view endpoint_host, http::RequestHead& head) {
  if (!action.auto_host_rewrite || endpoint_host.empty()) return true;
  const std::string_view host = head.headers.arena().copy(endpoint_host);
  if (host.data() == nullptr) return false;
  head.authority = host;
  return true;
}

bool set_is_timeout_retry(const config::VirtualHost& host, http::RequestHead& head, bool timed_out) {
  return !host.include_is_timeout_retry_header || head.headers.set_copy("x-envoy-is-timeout-retry", timed_out ? "true" : "false");
}

bool set_attempt_count(const config::VirtualHost& host, http::RequestHead& head, std::uint32_t attempt) {
  return !host.include_request_attempt_count || set_number(head.headers, HeaderId::kXEnvoyAttemptCount, attempt);
}

bool set_expected_timeout(const config::HttpConnectionManager& manager, const ForwardTimeouts& timeouts, Duration elapsed,
                          http::RequestHead& head) {
  const auto limits = [](Duration timeout) { return timeout > Duration() && !timeout.is_infinite(); };
  if (!limits(timeouts.response) && !limits(timeouts.per_try)) return true;
  if (manager.suppress_envoy_headers && !timeouts.for_grpc) return true;
  std::int64_t expected = (limits(timeouts.per_try) ? timeouts.per_try : timeouts.response).to_milliseconds();
  if (limits(timeouts.response)) expected = std::min(expected, (timeouts.response - elapsed).to_milliseconds());
  if (elapsed > Duration()) expected = std::max<std::int64_t>(expected, 1);  // zero would mean: no limit
  if (timeouts.for_grpc && !set_grpc_timeout(head.headers, Duration::milliseconds(expected))) return false;
  return manager.suppress_envoy_headers ||
         set_number(head.headers, HeaderId::kXEnvoyExpectedRqTimeoutMs, static_cast<std::uint64_t>(expected));
}

}  // namespace millrace::proxy
