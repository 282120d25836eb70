#include "dataplane/wire/tcp_header.h"

#include <algorithm>

#include "dataplane/base/assert.h"
#include "dataplane/wire/endian.h"

namespace millrace::wire {
namespace {

enum Kind : std::uint8_t { kEnd = 0, kNop = 1, kMss = 2, kWindowScale = 3, kSackPermitted = 4, kSack = 5, kTimestamps = 8 };

void parse_sack(std::span<const std::uint8_t> value, TcpOptions& options) {
  if (value.empty() || value.size() % 8 != 0) return;
  options.sack_count = static_cast<std::uint8_t>(std::min(value.size() / 8, TcpOptions::kMaxSackBlocks));
  for (std::size_t i = 0; i < options.sack_count; ++i) {
    options.sack_blocks[i] = {load_be32(value.data() + 8 * i), load_be32(value.data() + 8 * i + 4)};
  }
}

// One option's value, its bounds already checked.
void parse_option(std::uint8_t kind, std::span<const std::uint8_t> value, TcpOptions& options) {
  switch (kind) {
    case kMss:
      if (value.size() == 2) options.mss = load_be16(value.data());
      break;
    case kWindowScale:
      if (value.size() == 1) options.window_scale = std::min(value[0], kTcpMaxWindowScale);
      break;
    case kSackPermitted:
      if (value.empty()) options.sack_permitted = true;
      break;
    case kSack: parse_sack(value, options); break;
    case kTimestamps:
      if (value.size() == 8) options.timestamps = {load_be32(value.data()), load_be32(value.data() + 4)};
      break;
    default: break;  // RFC 9293 MUST-6: an unknown option is passed over
  }
}

// What most segments carry, two NOPs and timestamps, as a word.
constexpr std::uint32_t kAlignedTimestamps = kNop << 24 | kNop << 16 | kTimestamps << 8 | 10;
constexpr std::size_t kAlignedTimestampsBytes = 12;

bool parse_options(std::span<const std::uint8_t> rest, TcpOptions& options) {
  if (rest.size() == kAlignedTimestampsBytes && load_be32(rest.data()) == kAlignedTimestamps) {
    options.timestamps = {load_be32(rest.data() + 4), load_be32(rest.data() + 8)};
    return true;
  }
  while (!rest.empty()) {
    const std::uint8_t kind = rest[0];
    if (kind == kEnd) return true;
    if (kind == kNop) {
      rest = rest.subspan(1);
      continue;
    }
    if (rest.size() < 2 || rest[1] < 2 || rest[1] > rest.size()) return false;
    parse_option(kind, rest.subspan(2, rest[1] - 2u), options);
    rest = rest.subspan(rest[1]);
  }
  return true;
}

// Each option but SACK, with the NOPs that align it.
std::size_t fixed_options_size(const TcpOptions& options) {
  return (options.mss ? 4u : 0u) + (options.window_scale ? 4u : 0u) + (options.timestamps ? 12u : 0u) +
         (options.sack_permitted && !options.timestamps ? 4u : 0u);
}

class OptionWriter {
 public:
  explicit OptionWriter(std::uint8_t* to) : to_(to) {}
  OptionWriter& u8(std::uint8_t value) {
    *to_++ = value;
    return *this;
  }
  OptionWriter& u16(std::uint16_t value) {
    store_be16(to_, value);
    to_ += 2;
    return *this;
  }
  OptionWriter& u32(std::uint32_t value) {
    store_be32(to_, value);
    to_ += 4;
    return *this;
  }

 private:
  std::uint8_t* to_;
};

// Every option fills whole 32-bit words: the header needs no padding at its end.
void write_options(OptionWriter out, const TcpOptions& options) {
  if (options.mss) out.u8(kMss).u8(4).u16(*options.mss);
  if (options.window_scale) out.u8(kNop).u8(kWindowScale).u8(3).u8(*options.window_scale);
  if (options.sack_permitted) {  // takes the place of the timestamps' two NOPs
    if (!options.timestamps) out.u8(kNop).u8(kNop);
    out.u8(kSackPermitted).u8(2);
  }
  if (options.timestamps) {
    if (options.sack_permitted) {
      out.u8(kTimestamps).u8(10);
    } else {
      out.u32(kAlignedTimestamps);
    }
    out.u32(options.timestamps->value).u32(options.timestamps->echo);
  }
  const std::size_t sacks = sack_blocks_that_fit(options);
  if (sacks == 0) return;
  out.u8(kNop).u8(kNop).u8(kSack).u8(static_cast<std::uint8_t>(2 + 8 * sacks));
  for (const TcpOptions::SackBlock& block : options.sacks().first(sacks)) out.u32(block.left).u32(block.right);
}

}  // namespace

Result<TcpHeaderView, DropReason> TcpHeaderView::parse(std::span<const std::uint8_t> segment) {
  if (segment.size() < kTcpMinHeaderBytes) return Error(DropReason::kTcpTruncated);
  const std::uint8_t* p = segment.data();
  const std::size_t header_size = (p[12] >> 4) * 4u;
  if (header_size < kTcpMinHeaderBytes || header_size > segment.size()) return Error(DropReason::kTcpBadDataOffset);
  TcpHeaderView view;
  view.source_port = load_be16(p);
  view.destination_port = load_be16(p + 2);
  view.seq = load_be32(p + 4);
  view.ack = load_be32(p + 8);
  view.header_size = static_cast<std::uint8_t>(header_size);
  view.flags = p[13];
  view.window = load_be16(p + 14);
  view.checksum = load_be16(p + kTcpChecksumOffset);
  view.urgent = load_be16(p + 18);
  if (!parse_options(segment.subspan(kTcpMinHeaderBytes, header_size - kTcpMinHeaderBytes), view.options)) {
    return Error(DropReason::kTcpBadOption);
  }
  return view;
}

std::size_t sack_blocks_that_fit(const TcpOptions& options) {
  const std::size_t room = kTcpMaxHeaderBytes - kTcpMinHeaderBytes - fixed_options_size(options);
  return room < 4 ? 0 : std::min<std::size_t>(options.sack_count, (room - 4) / 8);
}

std::size_t tcp_header_size(const TcpOptions& options) {
  const std::size_t sacks = sack_blocks_that_fit(options);
  return kTcpMinHeaderBytes + fixed_options_size(options) + (sacks == 0 ? 0 : 4 + 8 * sacks);
}

std::size_t write_tcp_header(std::span<std::uint8_t> out, const TcpFields& fields) {
  const std::size_t size = tcp_header_size(fields.options);
  MR_ASSERT(out.size() >= size);
  std::uint8_t* p = out.data();
  store_be16(p, fields.source_port);
  store_be16(p + 2, fields.destination_port);
  store_be32(p + 4, fields.seq);
  store_be32(p + 8, fields.ack);
  p[12] = static_cast<std::uint8_t>(size / 4 << 4);
  p[13] = fields.flags;
  store_be16(p + 14, fields.window);
  store_be16(p + kTcpChecksumOffset, 0);
  store_be16(p + 18, fields.urgent);
  write_options(OptionWriter(p + kTcpMinHeaderBytes), fields.options);
  return size;
}

}  // namespace millrace::wire
