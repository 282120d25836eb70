// What the connection manager and the router do to a request by themselves: checks and defaults, hop-by-hop fields (RFC 9110
// 7.6.1), who the client is, what external clients may not set, request id, and the changes of the chosen route.
// Envoy: "HTTP header manipulation" of the connection manager, "HTTP header sanitizing", the router's headers.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/model/listener.h"
#include "config/model/route.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/policy/local_reply.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

struct RequestOutcome {
  enum class Kind : std::uint8_t { kContinue, kReply };
  Kind kind = Kind::kContinue;
  LocalReply reply;  ///< when kReply
  [[nodiscard]] bool continues() const { return kind == Kind::kContinue; }
};

/// Before routing. Needs info.downstream_direct_remote, downstream_local and downstream_tls; sets info.downstream_remote. Sets
/// head.scheme.
/// An Upgrade that the client asked for stays as "connection: upgrade" and "upgrade: ..." until upgrade_allowed() is asked.
[[nodiscard]] RequestOutcome prepare_request(const config::HttpConnectionManager& manager, http::RequestHead& head,
                                             StreamInfo& info, Rng& rng);

/// After find_virtual_host: the virtual host wants TLS and the client came without: answer kTlsRedirect.
[[nodiscard]] bool needs_tls_redirect(const config::VirtualHost& host, const http::RequestHead& head);

/// After routing: may this Upgrade or CONNECT be forwarded? True when head.upgrade is empty. False: answer kUpgradeRefused.
[[nodiscard]] bool upgrade_allowed(const config::HttpConnectionManager& manager, const config::ForwardAction& action,
                                   const http::RequestHead& head);

/// The time the whole response may take: the route's, a gRPC request's own where the route says so, or
/// x-envoy-upstream-rq-timeout-ms of an internal client, which is removed. Zero: none. Call before prepare_forward.
[[nodiscard]] Duration take_response_timeout(const config::ForwardAction& action, http::RequestHead& head);

/// How long a try may last from when it has a connection: as long as the cluster says, or as an internal client asks by
/// x-envoy-upstream-stream-duration-ms, which is removed. Zero: without end. Call before prepare_forward.
[[nodiscard]] Duration take_upstream_duration(Duration of_cluster, http::RequestHead& head);

/// How long the stream may last from its start, by the route; nothing: as the connection manager says. Zero: without end; less
/// than zero: it should have ended.
[[nodiscard]] std::optional<Duration> stream_duration(const config::ForwardAction& action, const http::RequestHead& head);
/// Tells the upstream of a gRPC request the same by grpc-timeout, where the route has a duration. False: out of memory.
[[nodiscard]] bool announce_stream_duration(const config::ForwardAction& action, Duration duration, http::RequestHead& head);

/// The time that a request may take. Zero: no limit.
struct ForwardTimeouts {
  Duration response;      ///< all tries together: take_response_timeout()
  Duration per_try = {};  ///< each of them: take_try_timeout() in retry.h
  bool for_grpc = false;  ///< grpc-timeout tells it, too: follows_grpc_timeout()
};
/// The response timeout of this request is a matter of its grpc-timeout.
[[nodiscard]] bool follows_grpc_timeout(const config::ForwardAction& action, const http::RequestHead& head);

struct ForwardContext {
  const config::HttpConnectionManager& manager;
  MutationLevels levels;  ///< all four set; the route's action is a ForwardAction
  ForwardTimeouts timeouts;
  std::uint32_t worker = 0;
  FormatEnvironment environment = {};
  std::string_view endpoint_host = {};  ///< of the chosen endpoint, for auto_host_rewrite; empty: it has none
};
/// The router's part: x-envoy-expected-rq-timeout-ms, header mutations, host and path rewrites, x-envoy-original-path,
/// x-forwarded-host, x-envoy-attempt-count. Idempotence is not given: call it once, and those below for a retry.
/// False: out of memory; answer kOverloaded.
[[nodiscard]] bool prepare_forward(const ForwardContext& context, http::RequestHead& head, const StreamInfo& info);

/// Where the route rewrites the host to the endpoint's, that of another one. False: out of memory.
[[nodiscard]] bool follow_endpoint_host(const config::ForwardAction& action, std::string_view endpoint_host,
                                        http::RequestHead& head);

/// Of a retry: x-envoy-is-timeout-retry, where the virtual host asks for it. False: out of memory.
[[nodiscard]] bool set_is_timeout_retry(const config::VirtualHost& host, http::RequestHead& head, bool timed_out);
/// Replaces x-envoy-attempt-count when the virtual host asks for it.
[[nodiscard]] bool set_attempt_count(const config::VirtualHost& host, http::RequestHead& head, std::uint32_t attempt);
/// Replaces x-envoy-expected-rq-timeout-ms, and grpc-timeout where it counts: how long the upstream may take, with `elapsed` of
/// the whole time gone; at least 1. Where nothing is limited, no effect; where the manager suppresses x-envoy fields, none on
/// that one.
[[nodiscard]] bool set_expected_timeout(const config::HttpConnectionManager& manager, const ForwardTimeouts& timeouts,
                                        Duration elapsed, http::RequestHead& head);

}  // namespace millrace::proxy
