// Link-layer and internet addresses as values: comparable, hashable, parsed and printed in their standard text forms
// (RFC 5952 for IPv6). Bytes are kept in network order.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace millrace {

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  [[nodiscard]] static constexpr MacAddress broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
  [[nodiscard]] static std::optional<MacAddress> parse(std::string_view text);
  [[nodiscard]] constexpr bool is_multicast() const { return (bytes[0] & 1) != 0; }
  [[nodiscard]] std::string to_string() const;
  constexpr auto operator<=>(const MacAddress&) const = default;
};

/// An IPv4 or IPv6 address. IPv4 is kept in the mapped form ::ffff:a.b.c.d, so that one key serves both.
class IpAddress {
 public:
  /// The unspecified IPv6 address.
  constexpr IpAddress() = default;
  [[nodiscard]] static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    IpAddress ip;
    ip.bytes_ = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
    return ip;
  }
  [[nodiscard]] static constexpr IpAddress v4(std::span<const std::uint8_t, 4> b) { return v4(b[0], b[1], b[2], b[3]); }
  [[nodiscard]] static constexpr IpAddress v6(std::span<const std::uint8_t, 16> b) {
    IpAddress ip;
    for (std::size_t i = 0; i < 16; ++i) ip.bytes_[i] = b[i];
    return ip;
  }
  /// Dotted quad or RFC 4291 text; no zone, no port, no brackets.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr bool is_v4() const {
    const Halves halves = this->halves();
    return halves[0] == 0 && static_cast<std::uint32_t>(halves[1]) == kMappedMark;
  }
  [[nodiscard]] constexpr bool is_v6() const { return !is_v4(); }
  /// 0.0.0.0 or ::
  [[nodiscard]] constexpr bool is_unspecified() const {
    const Halves halves = this->halves();
    return halves[0] == 0 && (halves[1] == 0 || halves[1] == kMappedMark);
  }
  /// 127.0.0.0/8 or ::1
  [[nodiscard]] constexpr bool is_loopback() const {
    return is_v4() ? bytes_[12] == 127 : halves() == Halves{0, std::uint64_t{1} << 56};
  }
  /// 224.0.0.0/4 or ff00::/8
  [[nodiscard]] constexpr bool is_multicast() const { return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }
  /// Stands for the path of a Unix socket (SocketAddress::of_pipe); no packet has it.
  [[nodiscard]] constexpr bool is_pipe() const { return bytes_[0] == 0xff && bytes_[1] == 0xff; }
  /// 255.255.255.255
  [[nodiscard]] constexpr bool is_broadcast() const { return halves() == Halves{0, 0xffff'ffff'0000'0000 | kMappedMark}; }
  [[nodiscard]] bool is_link_local() const;  ///< 169.254.0.0/16 or fe80::/10
  /// RFC 1918, RFC 4193 and loopback: what Envoy takes for an internal address by default.
  [[nodiscard]] bool is_private() const;

  [[nodiscard]] constexpr std::span<const std::uint8_t, 4> v4_bytes() const {
    return std::span<const std::uint8_t, 4>(bytes_.data() + 12, 4);
  }
  [[nodiscard]] constexpr std::span<const std::uint8_t, 16> bytes() const { return bytes_; }
  /// The first `bits` of the 128 in bytes(); the others are zero.
  [[nodiscard]] constexpr IpAddress masked(unsigned bits) const {
    const auto mask = [](unsigned leading) {  // in memory order
      return leading == 0 ? 0 : std::byteswap(~std::uint64_t{0} << (64 - leading));
    };
    const Halves halves = this->halves();
    IpAddress ip;
    ip.bytes_ = std::bit_cast<std::array<std::uint8_t, 16>>(
        std::array<std::uint64_t, 2>{halves[0] & mask(bits < 64 ? bits : 64), halves[1] & mask(bits <= 64   ? 0
                                                                                               : bits < 128 ? bits - 64
                                                                                                            : 64)});
    return ip;
  }
  /// Writes the text form without a terminator and returns its length; never more than kMaxText.
  std::size_t format_to(std::span<char> out) const;
  [[nodiscard]] std::string to_string() const;
  static constexpr std::size_t kMaxText = 45;

  constexpr auto operator<=>(const IpAddress&) const = default;
  // Asked several times for each packet: not byte by byte.
  constexpr bool operator==(const IpAddress& other) const { return halves() == other.halves(); }

 private:
  struct Halves : std::array<std::uint64_t, 2> {
    constexpr bool operator==(const Halves& other) const { return (((*this)[0] ^ other[0]) | ((*this)[1] ^ other[1])) == 0; }
  };
  static_assert(std::endian::native == std::endian::little);
  static constexpr std::uint32_t kMappedMark = 0xffff'0000;  // bytes 8 to 11 of ::ffff:a.b.c.d
  [[nodiscard]] constexpr Halves halves() const { return {std::bit_cast<std::array<std::uint64_t, 2>>(bytes_)}; }

  std::array<std::uint8_t, 16> bytes_{};
};

/// A network: an address and the number of leading bits that count (of 32 for IPv4, of 128 for IPv6).
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;

  /// Of the 128 bits that an IpAddress keeps.
  [[nodiscard]] constexpr unsigned bits() const { return length + (address.is_v4() ? 96u : 0u); }
  /// "198.18.0.0/24", "2001:db8::/64".
  [[nodiscard]] static std::optional<IpPrefix> parse(std::string_view text);
  [[nodiscard]] bool contains(const IpAddress& ip) const;
  /// The all-ones host address of an IPv4 network of at most 30 bits; nothing otherwise.
  [[nodiscard]] std::optional<IpAddress> broadcast() const;
  [[nodiscard]] std::string to_string() const;
  constexpr bool operator==(const IpPrefix&) const = default;
};

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;  ///< host order

  /// Stands for a Unix socket where an address is wanted: the same path, the same address (a multicast one of a reserved scope,
  /// with bits of a hash), without a port. The path itself stands beside it, where it is needed.
  [[nodiscard]] static SocketAddress of_pipe(std::string_view path);
  [[nodiscard]] constexpr bool is_pipe() const { return ip.is_pipe(); }
  /// "198.18.0.2:80", "[2001:db8::2]:80".
  [[nodiscard]] static std::optional<SocketAddress> parse(std::string_view text);
  std::size_t format_to(std::span<char> out) const;
  [[nodiscard]] std::string to_string() const;
  static constexpr std::size_t kMaxText = IpAddress::kMaxText + 8;
  constexpr auto operator<=>(const SocketAddress&) const = default;
};

}  // namespace millrace
