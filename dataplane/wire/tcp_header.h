// The TCP header with its options (RFC 9293 3.1 and 3.2, RFC 7323, RFC 2018): decoded in one pass, and written.
// Neither checks nor fills the checksum; sequence numbers are raw. Urgent data and unknown options are carried, not judged.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::size_t kTcpMinHeaderBytes = 20;
inline constexpr std::size_t kTcpMaxHeaderBytes = 60;
inline constexpr std::size_t kTcpChecksumOffset = 16;
inline constexpr std::uint8_t kTcpMaxWindowScale = 14;

/// Bits of TcpHeaderView::flags.
struct TcpFlags {
  static constexpr std::uint8_t kFin = 0x01;
  static constexpr std::uint8_t kSyn = 0x02;
  static constexpr std::uint8_t kRst = 0x04;
  static constexpr std::uint8_t kPsh = 0x08;
  static constexpr std::uint8_t kAck = 0x10;
  static constexpr std::uint8_t kUrg = 0x20;
  static constexpr std::uint8_t kEce = 0x40;
  static constexpr std::uint8_t kCwr = 0x80;
};

struct TcpOptions {
  struct Timestamps {
    std::uint32_t value = 0;
    std::uint32_t echo = 0;
    constexpr bool operator==(const Timestamps&) const = default;
  };
  struct SackBlock {
    std::uint32_t left = 0;   ///< first sequence number of the block
    std::uint32_t right = 0;  ///< the one after its last
    constexpr bool operator==(const SackBlock&) const = default;
  };
  static constexpr std::size_t kMaxSackBlocks = 4;

  std::optional<std::uint16_t> mss = {};
  std::optional<std::uint8_t> window_scale = {};  ///< at most 14: a greater shift count is taken as 14 (RFC 7323 2.3)
  std::optional<Timestamps> timestamps = {};
  bool sack_permitted = false;
  std::uint8_t sack_count = 0;
  std::array<SackBlock, kMaxSackBlocks> sack_blocks{};  ///< the first sack_count count

  [[nodiscard]] std::span<const SackBlock> sacks() const { return std::span(sack_blocks).first(sack_count); }
  bool operator==(const TcpOptions&) const = default;
};

/// A received header. All fields are in host order.
struct TcpHeaderView {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0;        ///< TcpFlags
  std::uint8_t header_size = 0;  ///< bytes; the payload follows
  std::uint16_t window = 0;      ///< not scaled
  std::uint16_t checksum = 0;
  std::uint16_t urgent = 0;
  TcpOptions options = {};

  /// `segment` is the header with its payload. A known option of wrong length is passed over; options that leave the header are
  /// an error.
  [[nodiscard]] static Result<TcpHeaderView, DropReason> parse(std::span<const std::uint8_t> segment);
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

/// A header to write.
struct TcpFields {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint16_t urgent = 0;
  TcpOptions options = {};
};

/// How many SACK blocks fit beside the other options.
[[nodiscard]] std::size_t sack_blocks_that_fit(const TcpOptions& options);

/// Bytes that write_tcp_header() will write: 20 to 60, a multiple of 4.
[[nodiscard]] std::size_t tcp_header_size(const TcpOptions& options);

/// Writes the header with checksum 0 and returns its size; `out` must hold tcp_header_size(fields.options) bytes.
/// SACK blocks that do not fit beside the other options are left out, the last first.
std::size_t write_tcp_header(std::span<std::uint8_t> out, const TcpFields& fields);

}  // namespace millrace::wire
