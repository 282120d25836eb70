#include "dataplane/proxy/proxy_protocol_reader.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace millrace::proxy {
namespace {

constexpr std::string_view kV1Signature = "PROXY ";
constexpr std::string_view kV2Signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t kFrameBytes = 16;
constexpr std::size_t kIpv4Bytes = 12;
constexpr std::size_t kIpv6Bytes = 36;
static_assert(kFrameBytes + kIpv6Bytes <= ProxyProtocolReader::kHeldBytes);

std::uint16_t word_at(const std::uint8_t* bytes) { return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]); }

/// Cuts the text before the next space off `rest`.
std::string_view next_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && (text.size() == 1 || text.front() != '0');
}

// The family is that of the text: the mapped form of an IPv4 address is one of IPv6 here.
bool parse_ip(std::string_view text, bool v6, IpAddress& ip) {
  const auto parsed = IpAddress::parse(text);
  if (!parsed || (text.find(':') != std::string_view::npos) != v6) return false;
  ip = *parsed;
  return true;
}

bool is_of_one_host(const IpAddress& ip) { return !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(); }

}  // namespace

std::size_t ProxyProtocolReader::feed(std::span<const std::uint8_t> bytes) {
  std::size_t taken = 0;
  while (status_ == Status::kNeedMore && taken < bytes.size()) {
    if (is_behind_addresses()) {
      taken += take_rest(bytes.subspan(taken));
      continue;
    }
    take(bytes[taken]);
    if (status_ == Status::kAbsent) break;  // the byte is not ours
    ++taken;
  }
  return taken;
}

void ProxyProtocolReader::take(std::uint8_t byte) {
  held_[held_bytes_++] = byte;
  switch (version_) {
    case Version::kNone: take_signature(); break;
    case Version::kV1: take_line(); break;
    case Version::kV2: held_bytes_ <= kFrameBytes ? take_frame() : take_addresses(); break;
  }
}

void ProxyProtocolReader::begin(Version version, bool allowed) {
  version_ = version;
  if (!allowed) status_ = Status::kDisallowed;
}

// A version that is not taken is not even looked for where connections may come without a header.
void ProxyProtocolReader::take_signature() {
  const std::string_view so_far(reinterpret_cast<const char*>(held_.data()), held_bytes_);
  const bool v1 = (wanted_.v1 || !wanted_.optional) && kV1Signature.starts_with(so_far);
  const bool v2 = (wanted_.v2 || !wanted_.optional) && kV2Signature.starts_with(so_far);
  if (v1 && held_bytes_ == kV1Signature.size()) return begin(Version::kV1, wanted_.v1);
  if (v2 && held_bytes_ == kV2Signature.size()) return begin(Version::kV2, wanted_.v2);
  if (v1 || v2) return;
  --held_bytes_;
  status_ = Status::kAbsent;
}

// "PROXY TCP4 192.0.2.1 198.18.0.2 40000 80\r\n"
void ProxyProtocolReader::take_line() {
  const std::string_view so_far(reinterpret_cast<const char*>(held_.data()), held_bytes_);
  if (so_far.ends_with("\r\n")) {
    const std::string_view line = so_far.substr(kV1Signature.size(), held_bytes_ - kV1Signature.size() - 2);
    status_ = parse_line(line) ? Status::kDone : Status::kMalformed;
  } else if (held_bytes_ == kHeldBytes || so_far.back() == '\n') {
    status_ = Status::kMalformed;
  }
}

bool ProxyProtocolReader::parse_line(std::string_view line) {
  const std::string_view protocol = next_word(line);
  if (protocol == "UNKNOWN") return true;  // whatever follows
  const bool v6 = protocol == "TCP6";
  if (!v6 && protocol != "TCP4") return false;
  Addresses& found = addresses_.emplace();
  return parse_ip(next_word(line), v6, found.source.ip) && parse_ip(next_word(line), v6, found.destination.ip) &&
         parse_port(next_word(line), found.source.port) && parse_port(next_word(line), found.destination.port) && line.empty() &&
         is_of_one_host(found.source.ip) && is_of_one_host(found.destination.ip);
}

//   0            12                 13                   14       16
//   | signature  | version, command | family, transport  | length | addresses | extensions |
void ProxyProtocolReader::take_frame() {
  enum Command : std::uint8_t { kLocal = 0x20, kProxy = 0x21 };
  enum Family : std::uint8_t { kIpv4 = 1, kIpv6 = 2 };
  constexpr std::uint8_t kUnspecified = 0;
  constexpr std::uint8_t kStream = 1;
  constexpr std::uint8_t kDatagram = 2;
  if (held_bytes_ < kFrameBytes) return;
  const std::uint8_t command = held_[12];
  const std::uint8_t family = held_[13] >> 4;
  const std::uint8_t transport = held_[13] & 0xf;
  const std::size_t length = word_at(&held_[14]);
  const bool names_addresses = command == kProxy && held_[13] != kUnspecified;
  if (names_addresses) address_bytes_ = family == kIpv4 ? kIpv4Bytes : family == kIpv6 ? kIpv6Bytes : 0;
  const bool served = address_bytes_ > 0 && address_bytes_ <= length && (transport == kStream || transport == kDatagram);
  if ((command != kLocal && command != kProxy) || (names_addresses && !served)) {
    status_ = Status::kMalformed;
    return;
  }
  rest_ = length - address_bytes_;
  if (length == 0) status_ = Status::kDone;
}

void ProxyProtocolReader::take_addresses() {
  if (held_bytes_ < kFrameBytes + address_bytes_) return;
  const std::uint8_t* at = &held_[kFrameBytes];
  Addresses& found = addresses_.emplace();
  if (address_bytes_ == kIpv4Bytes) {
    found.source = {IpAddress::v4(std::span<const std::uint8_t, 4>(at, 4)), word_at(at + 8)};
    found.destination = {IpAddress::v4(std::span<const std::uint8_t, 4>(at + 4, 4)), word_at(at + 10)};
  } else {
    found.source = {IpAddress::v6(std::span<const std::uint8_t, 16>(at, 16)), word_at(at + 32)};
    found.destination = {IpAddress::v6(std::span<const std::uint8_t, 16>(at + 16, 16)), word_at(at + 34)};
  }
  if (!is_of_one_host(found.source.ip) || !is_of_one_host(found.destination.ip)) {
    status_ = Status::kMalformed;
  } else if (rest_ == 0) {
    status_ = Status::kDone;
  }
}

bool ProxyProtocolReader::is_behind_addresses() const {
  return version_ == Version::kV2 && held_bytes_ >= kFrameBytes && held_bytes_ == kFrameBytes + address_bytes_;
}

// Extensions. As in Envoy, their form only matters to those who want some.
std::size_t ProxyProtocolReader::take_rest(std::span<const std::uint8_t> bytes) {
  const std::size_t count = std::min(bytes.size(), rest_);
  rest_ -= count;
  if (addresses_ && wanted_.kept.any()) {
    for (const std::uint8_t byte : bytes.first(count)) {
      take_extension(byte);
      if (status_ != Status::kNeedMore) return count;
    }
  }
  if (rest_ == 0) status_ = addresses_ && extension_bytes_ > 0 ? Status::kMalformed : Status::kDone;
  return count;
}

void ProxyProtocolReader::take_extension(std::uint8_t byte) {
  const bool kept = extension_bytes_ >= 1 && wanted_.kept[extension_[0]];
  if (extension_bytes_ == extension_.size()) {
    if (kept) extensions_.push_back(static_cast<char>(byte));
    if (--value_bytes_ == 0) extension_bytes_ = 0;
    return;
  }
  extension_[extension_bytes_++] = byte;
  if (extension_bytes_ < extension_.size()) return;
  value_bytes_ = word_at(&extension_[1]);
  if (kept) extensions_.append(reinterpret_cast<const char*>(extension_.data()), extension_.size());
  if (value_bytes_ == 0) extension_bytes_ = 0;
}

}  // namespace millrace::proxy
