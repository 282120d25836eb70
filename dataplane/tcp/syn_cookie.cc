#include "dataplane/tcp/syn_cookie.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

constexpr std::int64_t kPeriodNanoseconds = SynCookies::kLifetime.to_nanoseconds() / 2;
constexpr int kHashBits = 29;
// What peers announce: the IPv6 and IPv4 minima, tunnels, Ethernet, jumbo frames. The next smaller one is taken.
constexpr std::array<std::uint16_t, 8> kSizes = {kMinMss, 536, 1'220, 1'360, 1'400, 1'440, 1'460, 8'940};

constexpr std::uint32_t kOptionBits = 0x3f;
constexpr std::uint32_t kScaleBits = 0x0f;
constexpr std::uint32_t kNoScale = 0x0f;
constexpr std::uint32_t kSackBit = 0x10;
constexpr std::uint32_t kEcnBit = 0x20;

std::uint64_t period_of(Instant now) { return static_cast<std::uint64_t>(now.to_nanoseconds() / kPeriodNanoseconds); }

std::uint32_t size_index(std::uint16_t mss) {
  std::uint32_t index = 0;
  while (index + 1 < kSizes.size() && kSizes[index + 1] <= mss) ++index;
  return index;
}

// The clock with its low bits replaced, never ahead of it: the connection's later timestamps must not seem older.
std::uint32_t put_options(std::uint32_t clock, const Terms& terms) {
  std::uint32_t bits = terms.scaling ? terms.peer_scale : kNoScale;
  if (terms.sack) bits |= kSackBit;
  if (terms.ecn) bits |= kEcnBit;
  const std::uint32_t stamped = (clock & ~kOptionBits) | bits;
  return stamped <= clock || clock < kOptionBits ? stamped : stamped - (kOptionBits + 1);
}

}  // namespace

std::uint32_t SynCookies::sign(const FlowKey& flow, SeqNum irs, std::uint32_t mss_index, std::uint64_t period) const {
  const std::uint64_t words[2] = {hash_flow(hash_, flow, HashPurpose::kCookie),
                                  std::uint64_t{irs.raw()} << 32 | std::uint64_t{mss_index} << 29 | (period & 0x1fff'ffff)};
  return static_cast<std::uint32_t>(hash_(words, static_cast<std::uint64_t>(HashPurpose::kCookie))) >> (32 - kHashBits);
}

OutgoingSegment SynCookies::answer(const FlowKey& flow, const LocalTerms& local, const Segment& syn, Instant now) const {
  Terms terms;
  terms.local = local;
  terms.accept(syn);
  if (!terms.timestamps) terms.scaling = terms.sack = terms.ecn = false;
  const std::uint32_t index = size_index(terms.peer_mss);
  terms.local.iss = SeqNum(index << kHashBits | sign(flow, terms.irs, index, period_of(now)));
  OutgoingSegment out = make_syn(terms, true, now);
  if (terms.timestamps) out.options.timestamps->value = put_options(out.options.timestamps->value, terms);
  return out;
}

std::optional<Terms> SynCookies::open(const FlowKey& flow, const LocalTerms& local, const Segment& ack, Instant now) const {
  const std::uint32_t cookie = ack.ack.raw() - 1;
  const SeqNum irs = ack.seq - SeqLen(1);
  const std::uint32_t index = cookie >> kHashBits;
  const std::uint32_t signature = cookie & ((1u << kHashBits) - 1);
  const std::uint64_t period = period_of(now);
  if (signature != sign(flow, irs, index, period) && (period == 0 || signature != sign(flow, irs, index, period - 1))) {
    return std::nullopt;
  }
  Terms terms;
  terms.local = local;
  terms.local.iss = SeqNum(cookie);
  terms.irs = irs;
  terms.peer_mss = kSizes[index];
  if (ack.options.timestamps) {
    const std::uint32_t bits = ack.options.timestamps->echo & kOptionBits;
    terms.timestamps = true;
    terms.ts_recent = ack.options.timestamps->value;
    terms.scaling = (bits & kScaleBits) <= wire::kTcpMaxWindowScale;
    terms.peer_scale = terms.scaling ? static_cast<std::uint8_t>(bits & kScaleBits) : std::uint8_t{0};
    terms.sack = (bits & kSackBit) != 0;
    terms.ecn = (bits & kEcnBit) != 0;
  }
  return terms;
}

}  // namespace millrace::tcp
