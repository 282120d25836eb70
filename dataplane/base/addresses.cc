#include "dataplane/base/addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "dataplane/base/hash.h"

namespace millrace {
namespace {

// inet_pton wants a terminated string; a longer text than any address is no address.
template <typename Bytes>
bool parse_with(int family, std::string_view text, Bytes* out) {
  char terminated[IpAddress::kMaxText + 1];
  if (text.size() >= sizeof(terminated)) return false;
  std::copy(text.begin(), text.end(), terminated);
  terminated[text.size()] = '\0';
  return inet_pton(family, terminated, out) == 1;
}

template <typename Int>
std::optional<Int> parse_decimal(std::string_view text) {
  Int value{};
  if (text.empty() || text[0] == '-' || text[0] == '+') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string printed(const auto& value, std::size_t most) {
  std::string text(most, '\0');
  text.resize(value.format_to(text));
  return text;
}

// Addresses are written into header fields and log lines of each request.
char* put_decimal(char* to, unsigned byte) {
  const auto digit = [](unsigned value) { return static_cast<char>('0' + value); };
  if (byte >= 100) *to++ = digit(byte / 100);
  if (byte >= 10) *to++ = digit(byte / 10 % 10);
  *to++ = digit(byte % 10);
  return to;
}

}  // namespace

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    if (error != std::errc{} || end != at + 2 || (i < 5 && *end != ':')) return std::nullopt;
  }
  return mac;
}

std::string MacAddress::to_string() const {
  char text[18];
  std::snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]);
  return text;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  std::array<std::uint8_t, 4> four{};
  if (parse_with(AF_INET, text, four.data())) return v4(four);
  std::array<std::uint8_t, 16> sixteen{};
  if (parse_with(AF_INET6, text, sixteen.data())) return v6(sixteen);
  return std::nullopt;
}

bool IpAddress::is_link_local() const {
  return is_v4() ? bytes_[12] == 169 && bytes_[13] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

bool IpAddress::is_private() const {
  if (is_loopback()) return true;
  if (is_v6()) return (bytes_[0] & 0xfe) == 0xfc;
  return bytes_[12] == 10 || (bytes_[12] == 172 && (bytes_[13] & 0xf0) == 16) || (bytes_[12] == 192 && bytes_[13] == 168);
}

// Written for each request, in several fields: not by inet_ntop(), which formats with sprintf().
std::size_t IpAddress::format_to(std::span<char> out) const {
  char text[INET6_ADDRSTRLEN];
  char* end = text;
  if (is_v4()) {
    for (const std::uint8_t byte : v4_bytes()) {
      if (end != text) *end++ = '.';
      end = put_decimal(end, byte);
    }
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
    end = text + std::strlen(text);
  }
  const std::size_t size = std::min(static_cast<std::size_t>(end - text), out.size());
  std::memcpy(out.data(), text, size);
  return size;
}

std::string IpAddress::to_string() const { return printed(*this, kMaxText); }

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(text.substr(0, slash));
  const auto length = parse_decimal<std::uint8_t>(text.substr(slash + 1));
  if (!address || !length || *length > (address->is_v4() ? 32 : 128)) return std::nullopt;
  return IpPrefix{*address, *length};
}

bool IpPrefix::contains(const IpAddress& ip) const {
  return ip.is_v4() == address.is_v4() && ip.masked(bits()) == address.masked(bits());
}

std::optional<IpAddress> IpPrefix::broadcast() const {
  if (address.is_v6() || length > 30) return std::nullopt;
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = 0; i < 4; ++i) {
    const int network_bits = std::clamp(static_cast<int>(length) - static_cast<int>(8 * i), 0, 8);
    bytes[i] = static_cast<std::uint8_t>(address.v4_bytes()[i] | (0xff >> network_bits));
  }
  return IpAddress::v4(bytes);
}

std::string IpPrefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

// 112 bits of a hash: paths that somebody has written down do not meet in them.
SocketAddress SocketAddress::of_pipe(std::string_view path) {
  const std::array<std::uint64_t, 2> hash{xx_hash_64(path, 1), xx_hash_64(path, 2)};
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), hash.data(), bytes.size());
  bytes[0] = bytes[1] = 0xff;
  return {IpAddress::v6(bytes), 0};
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto ip = IpAddress::parse(host);
  const auto port = parse_decimal<std::uint16_t>(text.substr(colon + 1));
  if (!ip || !port || bracketed != (host.find(':') != std::string_view::npos)) return std::nullopt;
  return SocketAddress{*ip, *port};
}

std::size_t SocketAddress::format_to(std::span<char> out) const {
  char text[kMaxText + 1];
  char* end = text;
  if (ip.is_v6()) *end++ = '[';
  end += ip.format_to(std::span(end, IpAddress::kMaxText));
  if (ip.is_v6()) *end++ = ']';
  *end++ = ':';
  end = std::to_chars(end, text + sizeof(text), port).ptr;
  const std::size_t size = std::min(static_cast<std::size_t>(end - text), out.size());
  std::memcpy(out.data(), text, size);
  return size;
}

std::string SocketAddress::to_string() const { return printed(*this, kMaxText); }

}  // namespace millrace
