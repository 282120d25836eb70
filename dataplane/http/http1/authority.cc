#include "dataplane/http/http1/authority.h"

#include <algorithm>
#include <array>

#include "dataplane/http/http1/characters.h"

namespace millrace::http::http1 {
namespace {

// unreserved and sub-delims
constexpr auto kNameChars = [] {
  std::array<bool, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const char ch = static_cast<char>(c);
    table[static_cast<std::size_t>(c)] = is_alpha(ch) || is_digit(ch) || std::string_view("-._~!$&'()*+,;=").contains(ch);
  }
  return table;
}();
bool is_name_char(char c) { return kNameChars[static_cast<std::uint8_t>(c)]; }

bool is_registered_name(std::string_view host) {
  for (std::size_t i = 0; i < host.size(); ++i) {
    if (host[i] == '%') {
      if (i + 2 >= host.size() || hex_value(host[i + 1]) < 0 || hex_value(host[i + 2]) < 0) return false;
      i += 2;
    } else if (!is_name_char(host[i])) {
      return false;
    }
  }
  return true;
}

bool is_address_literal(std::string_view host) {
  const std::string_view inner = host.substr(1, host.size() - 2);
  return !inner.empty() && std::all_of(inner.begin(), inner.end(), [](char c) { return c == ':' || is_name_char(c); });
}

bool is_port(std::string_view port) {
  if (port.size() > 5 || !std::all_of(port.begin(), port.end(), is_digit)) return false;
  unsigned value = 0;
  for (char c : port) value = value * 10 + static_cast<unsigned>(c - '0');
  return value <= 65'535;
}

struct Parts {
  std::string_view host;
  std::string_view port;
  bool valid = false;
};

Parts split(std::string_view text) {
  Parts parts;
  const bool literal = text.starts_with('[');
  const std::size_t host_end = literal ? text.find(']') : std::min(text.find(':'), text.size());
  if (host_end == std::string_view::npos) return parts;
  parts.host = text.substr(0, host_end + (literal ? 1 : 0));
  std::string_view rest = text.substr(parts.host.size());
  if (!rest.empty()) {
    if (rest.front() != ':') return parts;
    parts.port = rest.substr(1);
  }
  parts.valid = (literal ? is_address_literal(parts.host) : is_registered_name(parts.host)) && is_port(parts.port) &&
                !(parts.host.empty() && !rest.empty());
  return parts;
}

}  // namespace

bool is_authority(std::string_view text) { return split(text).valid; }

bool is_authority_with_port(std::string_view text) {
  const Parts parts = split(text);
  return parts.valid && !parts.host.empty() && !parts.port.empty();
}

}  // namespace millrace::http::http1
