// The internet checksum (RFC 1071) of IPv4, ICMP, UDP and TCP, and its pseudo-headers (RFC 9293 3.1, RFC 8200 8.1).
// Sums are of the 16-bit words' numeric values, so that a finished checksum is stored with store_be16() as any other field:
//
//   std::uint32_t sum = pseudo_header_sum(source, destination, 6, segment.size());   // checksum field of `segment` is 0
//   store_be16(segment.data() + 16, checksum_finish(checksum_add(sum, segment)));
//
// Over data that contains a right checksum, checksum_finish() is 0.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/wire/endian.h"

namespace millrace::wire {

namespace detail {

[[nodiscard]] inline std::uint32_t fold(std::uint64_t sum) {
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint32_t>((sum & 0xffff) + (sum >> 16));
}

/// Ones' complement sum of the words as they lie in memory, unfolded. Four lanes of 64 bits hold 32-bit halves: no carries to
/// catch.
[[nodiscard]] inline std::uint64_t sum_in_memory_order(const std::uint8_t* from, std::size_t size) {
  using Lanes [[gnu::vector_size(32)]] = std::uint64_t;
  std::uint64_t sum = 0;
  if (size >= sizeof(Lanes)) {
    Lanes low{};
    Lanes high{};
    for (; size >= sizeof(Lanes); from += sizeof(Lanes), size -= sizeof(Lanes)) {
      Lanes words;
      std::memcpy(&words, from, sizeof(words));
      low += words & 0xffff'ffff;
      high += words >> 32;
    }
    const Lanes both = low + high;
    for (int i = 0; i < 4; ++i) sum += (both[i] & 0xffff'ffff) + (both[i] >> 32);
  }
  // Fewer than 32 bytes are left: at most one part of each size.
  const auto add = [&]<typename Word>(Word) __attribute__((always_inline)) {
    Word word;
    std::memcpy(&word, from, sizeof(word));
    from += sizeof(word);
    sum += word;
  };
  if ((size & 16) != 0) {
    for (int i = 0; i < 4; ++i) add(std::uint32_t{});
  }
  if ((size & 8) != 0) {
    for (int i = 0; i < 2; ++i) add(std::uint32_t{});
  }
  if ((size & 4) != 0) add(std::uint32_t{});
  if ((size & 2) != 0) add(std::uint16_t{});
  if ((size & 1) != 0) add(std::uint8_t{});  // an odd last byte counts as a word padded with zero
  return sum;
}

/// The words of an address as they lie in memory.
[[nodiscard]] inline std::uint32_t word_of(const IpAddress& address, std::size_t index) {
  std::uint32_t word;
  std::memcpy(&word, address.bytes().data() + 4 * index, sizeof(word));
  return word;
}

}  // namespace detail

/// `sum` plus the words of `bytes` (at most 1 MiB), which start at an even offset of what is summed.
[[nodiscard]] inline std::uint32_t checksum_add(std::uint32_t sum, std::span<const std::uint8_t> bytes) {
  if (bytes.empty()) return sum;
  const auto words = static_cast<std::uint16_t>(detail::fold(detail::sum_in_memory_order(bytes.data(), bytes.size())));
  return detail::fold(std::uint64_t{sum} + network_order(words));
}

/// The sum of the pseudo-header; both addresses are of one family. `length` counts the transport header and its data.
[[nodiscard]] inline std::uint32_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                                                     std::uint32_t length) {
  std::uint64_t addresses = 0;
  for (std::size_t i = source.is_v4() ? 3 : 0; i < 4; ++i) {
    addresses += std::uint64_t{detail::word_of(source, i)} + detail::word_of(destination, i);
  }
  return detail::fold(std::uint64_t{length} + protocol + network_order(static_cast<std::uint16_t>(detail::fold(addresses))));
}

/// The sum folded to 16 bits, not complemented: what a device that fills checksums wants to find in the field.
[[nodiscard]] inline std::uint16_t checksum_fold(std::uint32_t sum) { return static_cast<std::uint16_t>(detail::fold(sum)); }

/// The checksum to store with store_be16().
[[nodiscard]] inline std::uint16_t checksum_finish(std::uint32_t sum) { return static_cast<std::uint16_t>(~checksum_fold(sum)); }

/// The checksum of a message that has no pseudo-header (IPv4 header, ICMPv4).
[[nodiscard]] inline std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  return checksum_finish(checksum_add(0, bytes));
}

}  // namespace millrace::wire
