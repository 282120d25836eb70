// Builds ICMP messages of ours: echo replies in place and errors, each under a rate limit of its own, so that a flood of pings
// does not silence the errors (RFC 1122 3.2.2, RFC 4443 2.4). Whether an error may be sent at all (never about an error, a group,
// a broadcast) is decided by its caller, the IpLayer.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/result.h"
#include "dataplane/base/time.h"
#include "dataplane/ip/token_bucket.h"
#include "dataplane/wire/drop_reason.h"
#include "nic/packet.h"

namespace millrace::ip {

class IcmpResponder {
 public:
  /// Bytes of the packet that an error quotes at most: the error stays within 576 and 1280 bytes.
  static constexpr std::size_t kMaxQuoteIpv4 = 576 - 20 - 8;
  static constexpr std::size_t kMaxQuoteIpv6 = 1280 - 40 - 8;

  explicit IcmpResponder(nic::PacketPool& pool) : pool_(pool) {}

  struct ErrorMessage {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
    std::uint32_t rest = 0;
    IpAddress source;                     ///< ours
    IpAddress destination;                ///< who sent `about`
    std::span<const std::uint8_t> about;  ///< the offending packet, from its IP header on
  };
  /// The ICMP message, checksum included; kIcmpRateLimited or kSendNoBuffer.
  [[nodiscard]] Result<nic::Packet, wire::DropReason> error(const ErrorMessage& message, Instant now);

  /// Whether one more echo request may be answered now.
  [[nodiscard]] bool may_reply(Instant now) { return replies_.take(now); }
  /// Turns a checked echo request into the reply that goes from `source` to `destination`.
  static void turn_into_reply(std::span<std::uint8_t> message, const IpAddress& source, const IpAddress& destination);

 private:
  nic::PacketPool& pool_;
  TokenBucket errors_{limits::kIcmpErrorsPerSecond, limits::kIcmpErrorBurst};
  TokenBucket replies_{limits::kIcmpEchoRepliesPerSecond, limits::kIcmpEchoReplyBurst};
};

}  // namespace millrace::ip
