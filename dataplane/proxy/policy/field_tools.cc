#include "dataplane/proxy/policy/field_tools.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace millrace::proxy {
namespace {

using http::HeaderId;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// An end-to-end field that a client could otherwise make us drop by naming it in Connection: it would get rid of what trusted
// proxies say about it, or of the message's framing.
bool may_be_nominated(std::string_view name) {
  if (name.starts_with("x-forwarded-") || name.starts_with("x-envoy-")) return false;
  switch (http::header_id(name)) {
    case HeaderId::kAuthorization:
    case HeaderId::kCacheControl:
    case HeaderId::kConnection:  // removed when the list has been read
    case HeaderId::kContentLength:
    case HeaderId::kCookie:
    case HeaderId::kHost:
    case HeaderId::kTe:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
    case HeaderId::kXRequestId: return false;
    default: return true;
  }
}

void remove_nominated(http::HeaderMap& headers, std::string_view list) {
  constexpr std::size_t kLongestName = 256;
  char lower[kLongestName];
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view option = trim(list.substr(0, comma));
    if (!option.empty() && option.size() <= kLongestName) {
      std::ranges::transform(option, lower, to_lower);
      const std::string_view name(lower, option.size());
      if (may_be_nominated(name)) headers.remove(name);
    }
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

std::size_t port_colon(std::string_view authority) {
  std::size_t at = authority.size();
  while (at > 0 && is_digit(authority[at - 1])) --at;
  if (at == 0 || authority[at - 1] != ':') return std::string_view::npos;
  const std::string_view host = authority.substr(0, at - 1);
  // An IPv6 address without brackets has colons of its own.
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  return bracketed || host.find(':') == std::string_view::npos ? at - 1 : std::string_view::npos;
}

// Sixteen digits at once: each half byte becomes a byte, from 10 on a letter.
void write_hex(std::uint64_t value, std::span<char, 16> out) {
  const auto spread = [](std::uint64_t half) {  // 32 bits: eight half bytes, the first digit in the lowest byte
    half = __builtin_bswap32(static_cast<std::uint32_t>(half));
    half = (half & 0xff) | (half & 0xff00) << 8 | (half & 0xff0000) << 16 | (half & 0xff000000) << 24;
    half = (half >> 4 & 0x000f000f000f000f) | (half & 0x000f000f000f000f) << 8;
    const std::uint64_t letters = (half + 0x0606060606060606) >> 4 & 0x0101010101010101;
    return half + 0x3030303030303030 + letters * ('a' - '0' - 10);
  };
  const std::uint64_t words[2] = {spread(value >> 32), spread(value & 0xffffffff)};
  std::memcpy(out.data(), words, sizeof(words));
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return to_lower(x) == to_lower(y); });
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return text.substr(0, 0);
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string_view canonical_scheme(std::string_view scheme) {
  if (scheme == "http" || scheme == "https") return scheme;
  if (equal_ignoring_case(scheme, "http")) return "http";
  if (equal_ignoring_case(scheme, "https")) return "https";
  return {};
}

std::string_view host_without_port(std::string_view authority) { return authority.substr(0, port_colon(authority)); }

ForwardedClient last_forwarded_for(std::string_view value, std::uint32_t hops_to_skip) {
  ForwardedClient client;
  if (trim(value).empty()) return client;
  for (std::uint32_t skipped = 0; skipped < hops_to_skip; ++skipped) {
    const std::size_t comma = value.rfind(',');
    if (comma == std::string_view::npos) return client;
    value = value.substr(0, comma);
  }
  const std::size_t comma = value.rfind(',');
  const bool first = comma == std::string_view::npos;
  const std::string_view text = trim(first ? value : value.substr(comma + 1));
  if (const auto ip = IpAddress::parse(text)) {
    client.address.ip = *ip;
  } else if (const auto with_port = SocketAddress::parse(text)) {
    client.address = *with_port;
  } else {
    return client;
  }
  client.found = true;
  client.only = first && hops_to_skip == 0;
  return client;
}

bool append_to_list(http::HeaderMap& headers, HeaderId id, std::string_view value, std::string_view separator) {
  const std::string_view before = headers.joined_value(id);
  if (before.data() == nullptr && headers.contains(id)) return false;  // the arena could not hold the joined value
  if (before.empty()) return headers.set_copy(id, value);
  const std::string_view joined = headers.arena().concat({before, separator, value});
  if (joined.data() == nullptr) return false;
  headers.remove(id);
  return headers.add_reference(id, joined);
}

bool strip_hop_by_hop(http::HeaderMap& headers) {
  if (headers.contains(HeaderId::kConnection)) {
    const std::string_view options = headers.joined_value(HeaderId::kConnection);
    if (options.data() == nullptr) return false;
    remove_nominated(headers, options);
    headers.remove(HeaderId::kConnection);
  }
  headers.remove(HeaderId::kKeepAlive);
  headers.remove(HeaderId::kProxyConnection);
  headers.remove(HeaderId::kTransferEncoding);
  headers.remove(HeaderId::kUpgrade);
  if (headers.contains(HeaderId::kTe)) {
    const std::string_view codings = headers.joined_value(HeaderId::kTe);
    if (codings.data() == nullptr) return false;
    headers.remove(HeaderId::kTe);
    if (http::list_contains(codings, "trailers") && !headers.add_reference(HeaderId::kTe, "trailers")) return false;
  }
  return true;
}

void write_uuid(Rng& rng, std::span<char, kUuidBytes> out) {
  std::uint64_t words[2] = {rng.next(), rng.next()};
  words[0] = (words[0] & ~std::uint64_t{0xf000}) | 0x4000;                       // version
  words[1] = (words[1] & ~(std::uint64_t{3} << 62)) | (std::uint64_t{2} << 62);  // variant
  std::array<char, 32> digits;
  write_hex(words[0], std::span(digits).first<16>());
  write_hex(words[1], std::span(digits).last<16>());
  std::size_t from = 0;
  char* to = out.data();
  for (const int group : {8, 4, 4, 4, 12}) {
    if (from > 0) *to++ = '-';
    to = std::copy_n(digits.data() + from, group, to);
    from += static_cast<std::size_t>(group);
  }
}

std::string_view write_decimal(std::uint64_t value, std::span<char, kMaxDecimalBytes> out) {
  const auto result = std::to_chars(out.data(), out.data() + out.size(), value);
  return {out.data(), static_cast<std::size_t>(result.ptr - out.data())};
}

}  // namespace millrace::proxy
