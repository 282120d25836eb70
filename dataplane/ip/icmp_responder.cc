#include "dataplane/ip/icmp_responder.h"

#include <algorithm>

#include "dataplane/wire/icmp.h"

namespace millrace::ip {

Result<nic::Packet, wire::DropReason> IcmpResponder::error(const ErrorMessage& message, Instant now) {
  if (!errors_.take(now)) return Error(wire::DropReason::kIcmpRateLimited);
  nic::Packet packet = pool_.allocate();
  if (!packet) return Error(wire::DropReason::kSendNoBuffer);
  const std::size_t most = message.source.is_v4() ? kMaxQuoteIpv4 : kMaxQuoteIpv6;
  wire::write_icmp_header({packet.append(wire::kIcmpHeaderBytes), wire::kIcmpHeaderBytes}, message.type, message.code,
                          message.rest);
  packet.append(message.about.first(std::min(most, message.about.size())));
  wire::write_icmp_checksum(packet.bytes(), message.source, message.destination);
  return packet;
}

void IcmpResponder::turn_into_reply(std::span<std::uint8_t> message, const IpAddress& source, const IpAddress& destination) {
  message[0] = source.is_v4() ? wire::Icmpv4Type::kEchoReply : wire::Icmpv6Type::kEchoReply;
  wire::write_icmp_checksum(message, source, destination);
}

}  // namespace millrace::ip
