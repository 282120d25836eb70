#include "dataplane/proxy/policy/request_headers.h"
#include "dataplane/proxy/policy/forwarded_client_cert.h"

#include <array>
#include <charconv>

#include "dataplane/proxy/policy/path.h"
#include "dataplane/proxy/policy/scoped_routes.h"

namespace millrace::proxy {
namespace {

using config::HttpConnectionManager;
using http::HeaderId;
using http::RequestHead;

RequestOutcome answer(LocalReplyReason reason) { return {RequestOutcome::Kind::kReply, reply_of(reason)}; }

bool is_connect(const RequestHead& head) { return head.method == "CONNECT"; }

// An absolute-form target of HTTP/1 may not claim more security than its connection has.
bool scheme_acceptable(const RequestHead& head, bool tls) {
  if (head.scheme.empty() || head.version == http::Version::kHttp2) return true;
  return equal_ignoring_case(head.scheme, "http") || (tls && equal_ignoring_case(head.scheme, "https"));
}

void strip_port(const HttpConnectionManager& manager, RequestHead& head, std::uint16_t listener_port) {
  if (is_connect(head) || (!manager.strip_any_host_port && !manager.strip_matching_host_port)) return;
  const std::string_view host = host_without_port(head.authority);
  if (host.size() == head.authority.size()) return;
  if (!manager.strip_any_host_port) {
    const std::string_view digits = head.authority.substr(host.size() + 1);
    std::uint16_t port = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (result.ec != std::errc() || port != listener_port) return;
  }
  head.authority = host;
}

/// Authority and path as Envoy checks them, in its order.
RequestOutcome check_target(const HttpConnectionManager& manager, RequestHead& head, const StreamInfo& info, bool tls) {
  if (!scheme_acceptable(head, tls)) return {RequestOutcome::Kind::kReply, reply_of(http::ProtocolError::kBadTarget)};
  if (head.authority.empty() && head.version == http::Version::kHttp10) head.authority = manager.default_host_for_http_10;
  if (head.authority.empty()) return answer(LocalReplyReason::kMissingHost);
  if (head.path.empty() && !is_connect(head)) return answer(LocalReplyReason::kMissingPath);
  if (!head.path.empty() && head.path.front() != '/') return answer(LocalReplyReason::kAbsolutePath);

  switch (normalize_path(manager, head.path, head.headers.arena())) {
    case PathAction::kContinue: break;
    case PathAction::kReject: return answer(LocalReplyReason::kPathRejected);
    case PathAction::kOutOfMemory: return answer(LocalReplyReason::kOverloaded);
    case PathAction::kRedirect: {
      RequestOutcome outcome = answer(LocalReplyReason::kPathRedirect);
      outcome.reply.location = head.path;
      return outcome;
    }
  }
  strip_port(manager, head, info.downstream_local.port);
  return {};
}

struct Origin {
  bool internal = false;
  bool edge = false;  ///< external, and we are the first that the client meets
};

/// Finds the trusted client, maintains x-forwarded-for and x-forwarded-proto. False: out of memory.
bool determine_client(const HttpConnectionManager& manager, RequestHead& head, StreamInfo& info, bool tls, Origin& origin) {
  http::HeaderMap& headers = head.headers;
  const std::string_view forwarded_for = headers.joined_value(HeaderId::kXForwardedFor);
  const bool has_forwarded_for = headers.contains(HeaderId::kXForwardedFor);
  if (has_forwarded_for && forwarded_for.data() == nullptr) return false;

  const SocketAddress connected = info.downstream_remote;  // the connection's, from a PROXY header or its packets
  bool only = false;                                       // may the address tell an internal client?
  if (manager.use_remote_address) {
    only = !has_forwarded_for;
    if (manager.xff_num_trusted_hops > 0) {
      const ForwardedClient client = last_forwarded_for(forwarded_for, manager.xff_num_trusted_hops - 1);
      if (client.found) info.downstream_remote = client.address;
    }
    if (!manager.skip_xff_append && !connected.is_pipe()) {
      // A loopback address says nothing to upstream; our own does.
      const IpAddress& peer = connected.ip;
      char text[IpAddress::kMaxText];
      const std::size_t size = (peer.is_loopback() ? info.downstream_local.ip : peer).format_to(text);
      if (!append_to_list(headers, HeaderId::kXForwardedFor, {text, size}, ",")) return false;
    }
  } else {
    const ForwardedClient client = last_forwarded_for(forwarded_for, manager.xff_num_trusted_hops);
    if (client.found) info.downstream_remote = client.address;
    only = client.found && client.only;
  }

  const bool proto_untrusted = manager.use_remote_address && manager.xff_num_trusted_hops == 0;
  if (proto_untrusted || !headers.contains(HeaderId::kXForwardedProto)) {
    if (!headers.set_copy(HeaderId::kXForwardedProto, tls ? "https" : "http")) return false;
  }
  if (head.scheme.empty()) head.scheme = canonical_scheme(headers.value(HeaderId::kXForwardedProto));
  head.scheme = canonical_scheme(head.scheme);
  if (head.scheme.empty()) head.scheme = tls ? "https" : "http";

  origin.internal = only && info.downstream_remote.ip.is_private();
  origin.edge = !origin.internal && manager.use_remote_address;
  return true;
}

void remove_what_only_insiders_may_say(http::HeaderMap& headers, bool edge) {
  constexpr http::HeaderSet kOfTheEdge = {HeaderId::kXEnvoyDecoratorOperation, HeaderId::kXEnvoyDownstreamServiceCluster,
                                          HeaderId::kXEnvoyDownstreamServiceNode, HeaderId::kXEnvoyOriginalPath};
  constexpr http::HeaderSet kOfAnyStranger = {HeaderId::kXEnvoyUpstreamRqTimeoutMs,
                                              HeaderId::kXEnvoyExpectedRqTimeoutMs,
                                              HeaderId::kXEnvoyRetryOn,
                                              HeaderId::kXEnvoyRetryGrpcOn,
                                              HeaderId::kXEnvoyMaxRetries,
                                              HeaderId::kXEnvoyRetriableStatusCodes,
                                              HeaderId::kXEnvoyRetriableHeaderNames,
                                              HeaderId::kXEnvoyUpstreamAltStatName,
                                              HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs,
                                              HeaderId::kXEnvoyUpstreamRqTimeoutAltResponse,
                                              HeaderId::kXEnvoyUpstreamStreamDurationMs,
                                              HeaderId::kXEnvoyHedgeOnPerTryTimeout,
                                              HeaderId::kXEnvoyForceTrace,
                                              HeaderId::kXEnvoyIpTags,
                                              HeaderId::kXEnvoyOriginalUrl};
  if (edge) headers.remove_all(kOfTheEdge);
  headers.remove_all(kOfAnyStranger);
}

// A referer that is not one absolute http URL is dropped.
void sanitize_referer(http::HeaderMap& headers) {
  const http::HeaderField* first = headers.find(HeaderId::kReferer);
  if (first == nullptr) return;
  std::size_t count = 0;
  for (const http::HeaderField& field : headers.fields()) count += field.id == HeaderId::kReferer ? 1 : 0;
  const std::size_t colon = first->value.find("://");
  const bool is_url = colon != std::string_view::npos && !canonical_scheme(first->value.substr(0, colon)).empty() &&
                      first->value.size() > colon + 3 && first->value[colon + 3] != '/';
  if (count > 1 || !is_url) headers.remove(HeaderId::kReferer);
}

/// What tells upstream who asks. False: out of memory.
bool add_identity(const HttpConnectionManager& manager, RequestHead& head, const StreamInfo& info, const Origin& origin,
                  Rng& rng) {
  http::HeaderMap& headers = head.headers;
  if (manager.add_user_agent) {
    if (!headers.set_copy(HeaderId::kXEnvoyDownstreamServiceCluster, manager.service_cluster)) return false;
    if (headers.value(HeaderId::kUserAgent).empty() && !headers.set_copy(HeaderId::kUserAgent, manager.service_cluster))
      return false;
    if (!manager.service_node.empty() && !headers.set_copy(HeaderId::kXEnvoyDownstreamServiceNode, manager.service_node))
      return false;
  }
  if (!manager.via.empty() && !append_to_list(headers, HeaderId::kVia, manager.via, ", ")) return false;
  if (origin.edge && !info.downstream_remote.is_pipe()) {
    char text[IpAddress::kMaxText];
    const std::size_t size = info.downstream_remote.ip.format_to(text);
    if (!headers.set_copy(HeaderId::kXEnvoyExternalAddress, {text, size})) return false;
  }
  const bool keeps_id = headers.contains(HeaderId::kXRequestId) && (!origin.edge || manager.preserve_external_request_id);
  if (manager.generate_request_id && !keeps_id) {
    char uuid[kUuidBytes];
    write_uuid(rng, uuid);
    if (!headers.set_copy(HeaderId::kXRequestId, {uuid, kUuidBytes})) return false;
  }
  const bool has_certificate = info.downstream_tls != nullptr && info.downstream_tls->peer != nullptr;
  return forward_client_cert(manager.forward_client_cert, has_certificate, info.client_cert_element, headers);
}

/// Strips what concerns the client's connection only; an Upgrade asked for stays visible. False: out of memory.
bool strip_connection_fields(RequestHead& head) {
  if (!strip_hop_by_hop(head.headers)) return false;
  if (head.upgrade.empty() || is_connect(head)) return true;
  return head.headers.add_reference(HeaderId::kConnection, "upgrade") &&
         head.headers.add_reference(HeaderId::kUpgrade, head.upgrade);
}

}  // namespace

RequestOutcome prepare_request(const HttpConnectionManager& manager, RequestHead& head, StreamInfo& info, Rng& rng) {
  const bool tls = info.downstream_tls != nullptr;
  const RequestOutcome checked = check_target(manager, head, info, tls);
  if (!checked.continues()) return checked;

  Origin origin;
  head.headers.remove(HeaderId::kXEnvoyInternal);
  if (!strip_connection_fields(head) || !determine_client(manager, head, info, tls, origin)) {
    return answer(LocalReplyReason::kOverloaded);
  }
  sanitize_referer(head.headers);
  if (origin.internal) {
    if (!head.headers.add_reference(HeaderId::kXEnvoyInternal, "true")) return answer(LocalReplyReason::kOverloaded);
  } else {
    remove_what_only_insiders_may_say(head.headers, origin.edge);
    if (const config::RouteTable* table = route_table_of(manager, head)) {
      for (const std::string& name : table->internal_only_headers) head.headers.remove(name);
    }
  }
  return add_identity(manager, head, info, origin, rng) ? RequestOutcome() : answer(LocalReplyReason::kOverloaded);
}

}  // namespace millrace::proxy
