#include "dataplane/proxy/policy/format.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "config/model/route.h"
#include "dataplane/base/assert.h"
#include "dataplane/base/hex.h"
#include "dataplane/proxy/policy/json.h"
#include "dataplane/proxy/policy/local_reply.h"
#include "dataplane/proxy/policy/path.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/policy/text_writer.h"
#include "tls/handshake.h"

namespace millrace::proxy {
namespace {

using config::FormatCommand;

// Where a value may be missing; put() writes it or the text that stands for a missing one.
class Element {
 public:
  Element(TextWriter& out, const StreamInfo& info, const FormatEnvironment& environment)
      : out_(out), info_(info), environment_(environment) {}

  void put(const config::FormatElement& element);

 private:
  void missing() { out_.put(environment_.missing); }
  void text(std::string_view value) { value.empty() ? missing() : out_.put(value); }
  /// Milliseconds between two instants; missing while one has not happened.
  void milliseconds(Instant from, Instant to) {
    if (from.is_never() || to.is_never() || to < from) return missing();
    out_.put_number(static_cast<std::uint64_t>((to - from).to_milliseconds()));
  }
  /// `pipe`: the path that the address may stand for.
  void address(const SocketAddress& value, std::string_view pipe) {
    if (value.is_pipe()) return text(pipe);
    value.port == 0 && value.ip.is_unspecified() ? missing() : out_.put_address(value);
  }
  void ip(const SocketAddress& value, std::string_view pipe) {
    if (value.is_pipe()) return text(pipe);
    value.port == 0 && value.ip.is_unspecified() ? missing() : out_.put_address(value.ip);
  }
  // Of the client's connection, which is always there.
  void downstream(const SocketAddress& value) { value.is_pipe() ? text(info_.downstream_pipe) : out_.put_address(value); }
  void downstream_ip(const SocketAddress& value) { value.is_pipe() ? text(info_.downstream_pipe) : out_.put_address(value.ip); }
  void downstream_port(const SocketAddress& value) { value.is_pipe() ? missing() : out_.put_number(value.port); }
  void port(const SocketAddress& value) { value.port == 0 ? missing() : out_.put_number(value.port); }
  void request_field(const config::FormatElement& element);
  void request_field_without_query(const config::FormatElement& element);
  void query_parameter(std::string_view name);
  std::string_view request_field(std::string_view name) const;
  void field(const http::HeaderMap* headers, const config::FormatElement& element);
  void dynamic_metadata(const config::FormatElement& element);
  void flags(bool long_names);
  void protocol();
  void tls(FormatCommand command);
  void fingerprint(const tls::CertificateFacts& certificate);
  void names(const tls::CertificateFacts& certificate, tls::NameKind kind);

  TextWriter& out_;
  const StreamInfo& info_;
  const FormatEnvironment& environment_;
};

// Null data(): not there.
std::string_view Element::request_field(std::string_view name) const {
  const http::RequestHead& head = *info_.request;
  if (name.starts_with(':') || name == "host") return first_request_value(head, name);
  const http::HeaderField* found = head.headers.find(name);
  if (found == nullptr) return {};
  return found->value.data() == nullptr ? "" : found->value;
}

void Element::request_field(const config::FormatElement& element) {
  if (info_.request == nullptr) return missing();
  std::string_view value = request_field(element.text);
  if (value.data() == nullptr && !element.alternative.empty()) value = request_field(element.alternative);
  value.data() == nullptr ? missing() : out_.put(value);
}

void Element::request_field_without_query(const config::FormatElement& element) {
  if (info_.request == nullptr) return missing();
  std::string_view value = request_field(element.text);
  if (value.data() == nullptr && !element.alternative.empty()) value = request_field(element.alternative);
  value.data() == nullptr ? missing() : out_.put(value.substr(0, value.find('?')));
}

// The first of that name. As Envoy does, only escapes of characters that a URL may hold are undone.
void Element::query_parameter(std::string_view name) {
  const auto found = info_.request == nullptr ? std::nullopt : first_query_parameter(info_.request->path, name);
  if (!found) return missing();
  constexpr std::string_view kAllowed = "-._~!$&'()*+,;=:/?#[]@";
  for (std::size_t i = 0; i < found->size(); ++i) {
    const int byte = escaped_byte(*found, i);
    const char c = byte < 0 ? (*found)[i] : static_cast<char>(byte);
    const bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool undone = byte >= 0 && (is_alphanumeric || kAllowed.find(c) != std::string_view::npos);
    out_.put(undone ? std::string_view(&c, 1) : found->substr(i, 1));
    if (undone) i += 2;
  }
}

void Element::field(const http::HeaderMap* headers, const config::FormatElement& element) {
  if (headers == nullptr) return missing();
  const http::HeaderField* found = headers->find(element.text);
  if (found == nullptr && !element.alternative.empty()) found = headers->find(element.alternative);
  found == nullptr ? missing() : out_.put(found->value);
}

// A text as it is, all else as JSON.
void Element::dynamic_metadata(const config::FormatElement& element) {
  const MetadataValue* value = info_.metadata.find(element.text);
  for (const std::string& key : element.path) {
    if (value != nullptr) value = value->member(key);
  }
  if (value == nullptr) return missing();
  value->kind == MetadataValue::Kind::kString ? out_.put(value->text) : write_json(*value, out_);
}

void Element::flags(bool long_names) {
  char text[512];
  const std::size_t size = format_flags(info_.flags, long_names, text);
  info_.flags.any() ? out_.put({text, size}) : missing();
}

void Element::protocol() {
  if (info_.request == nullptr) return missing();
  switch (info_.request->version) {
    case http::Version::kHttp10: return out_.put("HTTP/1.0");
    case http::Version::kHttp11: return out_.put("HTTP/1.1");
    case http::Version::kHttp2: return out_.put("HTTP/2");
  }
}

// What TLS tells of both ends.
void Element::tls(FormatCommand command) {
  const tls::SessionFacts* session = info_.downstream_tls;
  if (session == nullptr) return missing();
  switch (command) {
    case FormatCommand::kDownstreamTlsVersion: return out_.put(session->version == tls::Version::kTls13 ? "TLSv1.3" : "TLSv1.2");
    case FormatCommand::kDownstreamTlsCipher: return text(session->cipher);
    case FormatCommand::kDownstreamTlsSessionId: return text(session->session_id);
    case FormatCommand::kDownstreamLocalSubject: return session->own ? text(session->own->subject) : missing();
    case FormatCommand::kDownstreamLocalUriSan: return session->own ? names(*session->own, tls::NameKind::kUri) : missing();
    default: break;
  }
  if (!session->peer) return missing();
  const tls::CertificateFacts& peer = *session->peer;
  switch (command) {
    case FormatCommand::kDownstreamPeerSubject: return text(peer.subject);
    case FormatCommand::kDownstreamPeerIssuer: return text(peer.issuer);
    case FormatCommand::kDownstreamPeerSerial: return text(peer.serial);
    case FormatCommand::kDownstreamPeerFingerprint: return fingerprint(peer);
    case FormatCommand::kDownstreamPeerUriSan: return names(peer, tls::NameKind::kUri);
    case FormatCommand::kDownstreamPeerDnsSan: return names(peer, tls::NameKind::kDns);
    default: return missing();
  }
}

void Element::fingerprint(const tls::CertificateFacts& certificate) {
  for (const std::uint8_t byte : certificate.fingerprint) {
    const auto digits = hex_digits(byte);
    out_.put({digits.data(), digits.size()});
  }
}

void Element::names(const tls::CertificateFacts& certificate, tls::NameKind kind) {
  bool any = false;
  for (const tls::SubjectName& name : certificate.names) {
    if (name.kind != kind) continue;
    if (std::exchange(any, true)) out_.put(",");
    out_.put(name.value);
  }
  if (!any) missing();
}

void Element::put(const config::FormatElement& element) {
  switch (element.command) {
    case FormatCommand::kLiteral: return out_.put(element.text);
    case FormatCommand::kStartTime: {
      char time[256];
      return out_.put({time, format_time(info_.start_wall_nanoseconds, element.text, time)});
    }
    case FormatCommand::kReq: return request_field(element);
    case FormatCommand::kReqWithoutQuery: return request_field_without_query(element);
    case FormatCommand::kQueryParam: return query_parameter(element.text);
    case FormatCommand::kResp: {
      if (element.text == ":status") return info_.response_code == 0 ? missing() : out_.put_number(info_.response_code);
      return field(info_.response == nullptr ? nullptr : &info_.response->headers, element);
    }
    case FormatCommand::kDynamicMetadata: return dynamic_metadata(element);
    case FormatCommand::kTrailer: return field(info_.response_trailers, element);
    case FormatCommand::kProtocol: return protocol();
    case FormatCommand::kResponseCode: return out_.put_number(info_.response_code);
    case FormatCommand::kResponseCodeDetails: return text(info_.response_code_details);
    case FormatCommand::kResponseFlags: return flags(false);
    case FormatCommand::kResponseFlagsLong: return flags(true);
    case FormatCommand::kBytesReceived: return out_.put_number(info_.bytes_received);
    case FormatCommand::kBytesSent: return out_.put_number(info_.bytes_sent);
    case FormatCommand::kDuration: return milliseconds(info_.start, info_.response_sent);
    case FormatCommand::kRequestDuration: return milliseconds(info_.start, info_.request_received);
    case FormatCommand::kResponseDuration: return milliseconds(info_.start, info_.upstream_response_started);
    case FormatCommand::kResponseTxDuration: return milliseconds(info_.upstream_response_started, info_.response_sent);
    case FormatCommand::kUpstreamHost: return address(info_.upstream_host, info_.upstream_pipe);
    case FormatCommand::kUpstreamRemoteAddress: return address(info_.upstream_remote, info_.upstream_pipe);
    case FormatCommand::kUpstreamRemoteAddressWithoutPort: return ip(info_.upstream_remote, info_.upstream_pipe);
    case FormatCommand::kUpstreamRemotePort: return port(info_.upstream_remote);
    case FormatCommand::kUpstreamLocalAddressWithoutPort: return ip(info_.upstream_local, {});
    case FormatCommand::kUpstreamLocalPort: return port(info_.upstream_local);
    case FormatCommand::kUpstreamCluster: return text(info_.cluster);
    case FormatCommand::kUpstreamLocalAddress: return address(info_.upstream_local, {});
    case FormatCommand::kUpstreamTransportFailureReason: return text(info_.upstream_transport_failure);
    case FormatCommand::kUpstreamRequestAttemptCount: return out_.put_number(info_.attempts);
    case FormatCommand::kDownstreamRemoteAddress: return downstream(info_.downstream_remote);
    case FormatCommand::kDownstreamRemoteAddressWithoutPort: return downstream_ip(info_.downstream_remote);
    case FormatCommand::kDownstreamDirectRemoteAddress: return downstream(info_.downstream_direct_remote);
    case FormatCommand::kDownstreamDirectRemoteAddressWithoutPort: return downstream_ip(info_.downstream_direct_remote);
    case FormatCommand::kDownstreamRemotePort: return downstream_port(info_.downstream_remote);
    case FormatCommand::kDownstreamDirectRemotePort: return downstream_port(info_.downstream_direct_remote);
    case FormatCommand::kDownstreamLocalAddress: return downstream(info_.downstream_local);
    case FormatCommand::kDownstreamLocalAddressWithoutPort: return downstream_ip(info_.downstream_local);
    case FormatCommand::kDownstreamLocalPort: return downstream_port(info_.downstream_local);
    case FormatCommand::kConnectionId: return out_.put_number(info_.connection_id);
    case FormatCommand::kConnectionTerminationDetails: return text(info_.connection_termination_details);
    case FormatCommand::kRouteName: return text(info_.route == nullptr ? std::string_view() : info_.route->name);
    case FormatCommand::kVirtualHostName:
      return text(info_.virtual_host == nullptr ? std::string_view() : info_.virtual_host->name);
    case FormatCommand::kRequestedServerName: return text(info_.server_name);
    case FormatCommand::kDownstreamTlsVersion:
    case FormatCommand::kDownstreamTlsCipher:
    case FormatCommand::kDownstreamTlsSessionId:
    case FormatCommand::kDownstreamPeerSubject:
    case FormatCommand::kDownstreamPeerIssuer:
    case FormatCommand::kDownstreamPeerSerial:
    case FormatCommand::kDownstreamPeerFingerprint:
    case FormatCommand::kDownstreamPeerUriSan:
    case FormatCommand::kDownstreamPeerDnsSan:
    case FormatCommand::kDownstreamLocalSubject:
    case FormatCommand::kDownstreamLocalUriSan: return tls(element.command);
    case FormatCommand::kHostname: return text(environment_.hostname);
    case FormatCommand::kFilterChainName: return text(info_.filter_chain);
    case FormatCommand::kStreamId: return out_.put_number(info_.stream_id);
  }
}

}  // namespace

std::size_t evaluate(const config::Format& format, const StreamInfo& info, const FormatEnvironment& environment,
                     std::span<char> out) {
  TextWriter writer(out);
  Element each(writer, info, environment);
  for (const config::FormatElement& element : format.elements) {
    const std::size_t start = writer.size();
    each.put(element);
    if (element.max_length) writer.cut(start + *element.max_length);
  }
  return writer.size();
}

std::string_view evaluate_header_value(const config::Format& format, const StreamInfo& info, const FormatEnvironment& environment,
                                       Arena& arena) {
  char buffer[kMaxHeaderValueBytes];
  const FormatEnvironment here{.hostname = environment.hostname, .missing = ""};
  const std::size_t size = evaluate(format, info, here, buffer);
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  char* const end = std::remove_if(buffer, buffer + size, is_control);
  const std::string_view value = trim({buffer, static_cast<std::size_t>(end - buffer)});
  return value.empty() ? std::string_view("") : arena.copy(value);
}

std::size_t render_access_log(const config::Format& format, const StreamInfo& info, const FormatEnvironment& environment,
                              std::span<char> out) {
  MR_ASSERT(!out.empty());
  std::size_t size = evaluate(format, info, environment, out.first(out.size() - 1));
  if (size == 0 || out[size - 1] != '\n') out[size++] = '\n';
  return size;
}

}  // namespace millrace::proxy
