#include "dataplane/proxy/policy/forwarded_client_cert.h"

#include <array>
#include <cstdint>

#include "dataplane/base/hex.h"
#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

using http::HeaderId;
using Mode = config::HttpConnectionManager::ForwardClientCert;

void add(std::string& to, std::string_view key, std::string_view value) {
  if (!to.empty()) to += ';';
  to.append(key).append("=").append(value);
}

// A value between quotation marks, which those inside of it must not end.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

constexpr char kUpperHex[] = "0123456789ABCDEF";

// RFC 3986 2.1, all but the unreserved characters.
std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                       c == '_' || c == '~';
    const auto byte = static_cast<std::uint8_t>(c);
    if (plain) {
      out += c;
    } else {
      out += {'%', kUpperHex[byte >> 4], kUpperHex[byte & 15]};
    }
  }
  return out;
}

void add_names(std::string& to, std::string_view key, const tls::CertificateFacts& certificate, tls::NameKind kind) {
  for (const tls::SubjectName& name : certificate.names) {
    // What would end the value, and begin another, stands between quotation marks.
    if (name.kind == kind) add(to, key, name.value.find_first_of(",;=\"") == std::string::npos ? name.value : quoted(name.value));
  }
}

}  // namespace

std::string client_cert_element(const tls::SessionFacts& facts, const config::HttpConnectionManager::ClientCertDetails& details) {
  std::string element;
  if (!facts.peer) return element;
  if (facts.own) add_names(element, "By", *facts.own, tls::NameKind::kUri);
  add(element, "Hash", to_hex(facts.peer->fingerprint));
  if (details.cert) add(element, "Cert", '"' + percent_encoded(facts.peer->pem) + '"');
  if (details.chain) add(element, "Chain", '"' + percent_encoded(facts.peer->chain) + '"');
  if (details.subject) add(element, "Subject", quoted(facts.peer->subject));
  if (details.uri) add_names(element, "URI", *facts.peer, tls::NameKind::kUri);
  if (details.dns) add_names(element, "DNS", *facts.peer, tls::NameKind::kDns);
  return element;
}

bool forward_client_cert(Mode mode, bool has_certificate, std::string_view element, http::HeaderMap& headers) {
  if (mode == Mode::kAlwaysForwardOnly || (mode == Mode::kForwardOnly && has_certificate)) return true;
  if (!has_certificate || mode == Mode::kSanitize) {
    headers.remove(HeaderId::kXForwardedClientCert);
    return true;
  }
  if (mode == Mode::kAppendForward) return append_to_list(headers, HeaderId::kXForwardedClientCert, element, ",");
  return headers.set_copy(HeaderId::kXForwardedClientCert, element);
}

}  // namespace millrace::proxy
