#include "control-agent/rule_checks.h"

#include <re2/re2.h>

#include <algorithm>

#include "dataplane/base/addresses.h"

namespace millrace::agent {
namespace {

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

template <typename List>
bool contains(const List& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

template <typename List>
std::string quoted_list(const List& list) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "\"" : ", \"") + item + "\"";
  return out;
}

std::string check_length(bool exact, std::uint64_t length, bool min, std::uint64_t least, bool max, std::uint64_t most,
                         std::uint64_t actual, const std::string& unit) {
  const auto units = [&](std::uint64_t n) { return std::to_string(n) + " " + unit + (n == 1 ? "" : "s"); };
  if (exact && actual != length) return "must be " + units(length) + " long, is " + std::to_string(actual);
  if (min && actual < least)
    return actual == 0 && least == 1 ? "must not be empty"
                                     : "must have at least " + units(least) + ", has " + std::to_string(actual);
  if (max && actual > most) return "must have at most " + units(most) + ", has " + std::to_string(actual);
  return {};
}

std::string check_pattern(const std::string& pattern, const std::string& value) {
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 regex(pattern, options);
  return !regex.ok() || RE2::PartialMatch(value, regex) ? "" : "must match the pattern " + pattern;
}

bool is_hostname(std::string_view host) {
  if (host.size() > 253) return false;
  if (host.ends_with('.')) host.remove_suffix(1);
  while (true) {
    const auto dot = host.find('.');
    const auto label = host.substr(0, dot);
    const auto is_part = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    };
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' || !std::ranges::all_of(label, is_part))
      return false;
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

bool is_email(const std::string& text) {
  const auto at = text.rfind('@');
  return at != std::string::npos && at > 0 && at <= 64 && text.size() <= 254 &&
         is_hostname(std::string_view(text).substr(at + 1)) && text.find_first_of(" \t\r\n<>") == std::string::npos;
}

bool is_uri(const std::string& text, bool absolute) {
  static constexpr const char* kAbsolute = R"(^[A-Za-z][A-Za-z0-9+.-]*:[!#$%&'()*+,/:;=?@\[\]A-Za-z0-9._~-]*$)";
  static constexpr const char* kReference = R"(^[!#$%&'()*+,/:;=?@\[\]A-Za-z0-9._~-]*$)";
  return RE2::FullMatch(text, absolute ? kAbsolute : kReference);
}

/// Fields of HTTP (RFC 9110, section 5); without `strict` only NUL, CR and LF are forbidden.
std::string check_http_field(validate::KnownRegex kind, bool strict, const std::string& value) {
  const auto has = [&](auto is_bad) {
    return std::ranges::any_of(value, [&](char c) { return is_bad(static_cast<unsigned char>(c)); });
  };
  const auto breaks_line = [](unsigned char c) { return c == 0 || c == '\r' || c == '\n'; };
  if (kind == validate::HTTP_HEADER_NAME) {
    if (!strict) return has(breaks_line) ? "must not hold NUL, CR or LF" : "";
    if (value.empty()) return "must not be empty";
    static constexpr std::string_view kSigns = "!#$%&'*+-.^_|~`";
    const auto name = std::string_view(value).substr(value.front() == ':' ? 1 : 0);
    const bool good = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
      return (c < 0x80 && std::isalnum(c)) || kSigns.contains(static_cast<char>(c));
    });
    return good ? "" : "must be a valid HTTP field name";
  }
  if (!strict) return has(breaks_line) ? "must not hold NUL, CR or LF" : "";
  return has([](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; })
             ? "must be a valid HTTP field value (no control characters)"
             : "";
}

std::string check_known_form(const validate::StringRules& rules, const std::string& value) {
  const auto ip = [&] { return IpAddress::parse(value); };
  switch (rules.well_known_case()) {
    case validate::StringRules::kEmail: return !rules.email() || is_email(value) ? "" : "must be an e-mail address";
    case validate::StringRules::kHostname: return !rules.hostname() || is_hostname(value) ? "" : "must be a host name";
    case validate::StringRules::kIp: return !rules.ip() || ip() ? "" : "must be an IP address";
    case validate::StringRules::kIpv4: return !rules.ipv4() || (ip() && ip()->is_v4()) ? "" : "must be an IPv4 address";
    case validate::StringRules::kIpv6: return !rules.ipv6() || (ip() && value.contains(':')) ? "" : "must be an IPv6 address";
    case validate::StringRules::kUri: return !rules.uri() || is_uri(value, true) ? "" : "must be a URI";
    case validate::StringRules::kUriRef: return !rules.uri_ref() || is_uri(value, false) ? "" : "must be a URI reference";
    case validate::StringRules::kAddress:
      return !rules.address() || ip() || is_hostname(value) ? "" : "must be an IP address or a host name";
    case validate::StringRules::kUuid:
      return !rules.uuid() || RE2::FullMatch(value, "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}") ? "" : "must be a UUID";
    case validate::StringRules::kWellKnownRegex:
      if (rules.well_known_regex() == validate::UNKNOWN) return {};
      return check_http_field(rules.well_known_regex(), rules.strict(), value);
    case validate::StringRules::WELL_KNOWN_NOT_SET: break;
  }
  return {};
}

/// The rules that strings and bytes share, apart from lengths.
template <typename Rules>
std::string check_content(const Rules& rules, const std::string& value) {
  if (rules.has_const_() && value != rules.const_()) return "must be \"" + rules.const_() + "\"";
  if (rules.has_prefix() && !value.starts_with(rules.prefix())) return "must start with \"" + rules.prefix() + "\"";
  if (rules.has_suffix() && !value.ends_with(rules.suffix())) return "must end with \"" + rules.suffix() + "\"";
  if (rules.has_contains() && !value.contains(rules.contains())) return "must contain \"" + rules.contains() + "\"";
  if (rules.in_size() > 0 && !contains(rules.in(), value)) return "must be one of " + quoted_list(rules.in());
  if (contains(rules.not_in(), value)) return "must not be \"" + value + "\"";
  if (rules.has_pattern()) return check_pattern(rules.pattern(), value);
  return {};
}

}  // namespace

std::string check_string(const validate::StringRules& rules, const std::string& value) {
  if (rules.ignore_empty() && value.empty()) return {};
  auto reason = check_length(rules.has_len(), rules.len(), rules.has_min_len(), rules.min_len(), rules.has_max_len(),
                             rules.max_len(), count_characters(value), "character");
  if (reason.empty()) {
    reason = check_length(rules.has_len_bytes(), rules.len_bytes(), rules.has_min_bytes(), rules.min_bytes(),
                          rules.has_max_bytes(), rules.max_bytes(), value.size(), "byte");
  }
  if (reason.empty()) reason = check_content(rules, value);
  if (reason.empty() && rules.has_not_contains() && value.contains(rules.not_contains())) {
    reason = "must not contain \"" + rules.not_contains() + "\"";
  }
  if (reason.empty()) reason = check_known_form(rules, value);
  return reason;
}

std::string check_bytes(const validate::BytesRules& rules, const std::string& value) {
  if (rules.ignore_empty() && value.empty()) return {};
  auto reason = check_length(rules.has_len(), rules.len(), rules.has_min_len(), rules.min_len(), rules.has_max_len(),
                             rules.max_len(), value.size(), "byte");
  if (reason.empty()) reason = check_content(rules, value);
  if (!reason.empty()) return reason;
  if (rules.ip() && value.size() != 4 && value.size() != 16) return "must be an IP address of 4 or 16 bytes";
  if (rules.ipv4() && value.size() != 4) return "must be an IPv4 address of 4 bytes";
  if (rules.ipv6() && value.size() != 16) return "must be an IPv6 address of 16 bytes";
  return {};
}

}  // namespace millrace::agent
