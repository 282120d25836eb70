#include "dataplane/http/http1/request_line.h"

#include <algorithm>

#include "dataplane/http/http1/authority.h"
#include "dataplane/http/http1/characters.h"

namespace millrace::http::http1 {
namespace {

using Outcome = Result<RequestLine, ProtocolError>;

// RFC 9112 2.3. A higher minor version speaks 1.1 with us; another major version speaks something else.
Result<Version, ProtocolError> parse_version(std::string_view text) {
  if (text.size() != 8 || !text.starts_with("HTTP/") || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7])) {
    return Error(ProtocolError::kBadVersion);
  }
  if (text[5] != '1') return Error(ProtocolError::kUnsupportedVersion);
  return text[7] == '0' ? Version::kHttp10 : Version::kHttp11;
}

// RFC 9112 3.2.2: scheme "://" authority path-abempty [ "?" query ]
Outcome parse_absolute(RequestLine line, std::string_view target, const Settings& settings) {
  if (!settings.allow_absolute_url) return Error(ProtocolError::kBadTarget);
  const std::size_t colon = target.find("://");
  if (colon == std::string_view::npos) return Error(ProtocolError::kBadTarget);
  const std::string_view scheme = target.substr(0, colon);
  if (equal_ignoring_case(scheme, "http")) {
    line.scheme = "http";
  } else if (equal_ignoring_case(scheme, "https")) {
    line.scheme = "https";
  } else {
    return Error(ProtocolError::kBadTarget);
  }
  target.remove_prefix(colon + 3);
  const std::size_t end = std::min(target.find_first_of("/?"), target.size());
  line.form = TargetForm::kAbsolute;
  line.authority = target.substr(0, end);
  line.path = target.substr(end);
  if (line.authority.empty() || !is_authority(line.authority)) return Error(ProtocolError::kBadTarget);
  if (line.path.empty()) {
    line.path = line.method == "OPTIONS" ? "*" : "/";  // RFC 9112 3.2.4
  } else if (line.path.front() == '?') {
    line.needs_slash = true;
  }
  return line;
}

Outcome parse_target(RequestLine line, std::string_view target, const Settings& settings) {
  if (target.empty() || !std::all_of(target.begin(), target.end(), is_target_char)) return Error(ProtocolError::kBadTarget);
  if (line.method == "CONNECT") {  // RFC 9112 3.2.3; the port must be there (RFC 9110 9.3.6)
    if (!is_authority_with_port(target)) return Error(ProtocolError::kBadTarget);
    line.form = TargetForm::kAuthority;
    line.authority = target;
    return line;
  }
  if (target.front() == '/') {
    line.path = target;
    return line;
  }
  if (target == "*") {
    if (line.method != "OPTIONS") return Error(ProtocolError::kBadTarget);
    line.form = TargetForm::kAsterisk;
    line.path = target;
    return line;
  }
  return parse_absolute(line, target, settings);
}

}  // namespace

Result<RequestLine, ProtocolError> parse_request_line(std::string_view line, const Settings& settings) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Error(ProtocolError::kBadRequestLine);
  RequestLine parsed;
  parsed.method = line.substr(0, first);
  if (!is_token(parsed.method)) return Error(ProtocolError::kBadMethod);
  const auto version = parse_version(line.substr(last + 1));
  if (!version) return Error(version.error());
  parsed.version = *version;
  if (parsed.version == Version::kHttp10 && !settings.accept_http_10) return Error(ProtocolError::kHttp10NotAccepted);
  return parse_target(parsed, line.substr(first + 1, last - first - 1), settings);
}

}  // namespace millrace::http::http1
