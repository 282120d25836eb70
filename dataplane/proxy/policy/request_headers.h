// What the connection manager and the router do to a request by themselves: checks and defaults, hop-by-hop fields (RFC 9110
// 7.6.1), who the client is, what external clients may not set, request id, and the changes of the chosen route.
// Envoy: "HTTP header manipulation" of the connection manager, "HTTP header sanitizing", the router's headers.
#pragma once

#include <cstdint>
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

/// The time the whole response may take: the route's, or x-envoy-upstream-rq-timeout-ms of an internal client, which is removed.
/// Zero: none. Call before prepare_forward.
[[nodiscard]] Duration take_response_timeout(const config::ForwardAction& action, http::RequestHead& head);

/// The time that a request may take. Zero: no limit.
struct ForwardTimeouts {
  Duration response;      ///< all tries together: take_response_timeout()
  Duration per_try = {};  ///< each of them: take_try_timeout() in retry.h
};

struct ForwardContext {
  const config::HttpConnectionManager& manager;
  MutationLevels levels;  ///< all four set; the route's action is a ForwardAction
  ForwardTimeouts timeouts;
  std::uint32_t worker = 0;
  FormatEnvironment environment = {};
};
/// The router's part: x-envoy-expected-rq-timeout-ms, header mutations, host and path rewrites, x-envoy-original-path,
/// x-forwarded-host, x-envoy-attempt-count. Idempotence is not given: call it once, and the two below for a retry.
/// False: out of memory; answer kOverloaded.
[[nodiscard]] bool prepare_forward(const ForwardContext& context, http::RequestHead& head, const StreamInfo& info);

/// Replaces x-envoy-attempt-count when the virtual host asks for it.
[[nodiscard]] bool set_attempt_count(const config::VirtualHost& host, http::RequestHead& head, std::uint32_t attempt);
/// Replaces x-envoy-expected-rq-timeout-ms: how long the upstream may take, with `elapsed` of the whole time gone; at least 1.
/// Where nothing is limited, or the manager suppresses such fields, no effect.
[[nodiscard]] bool set_expected_timeout(const config::HttpConnectionManager& manager, const ForwardTimeouts& timeouts,
                                        Duration elapsed, http::RequestHead& head);

}  // namespace millrace::proxy
