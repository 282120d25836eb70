#include "dataplane/ip/link_control.h"

#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/icmp.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::ip {

bool is_link_control(std::span<const std::uint8_t> frame) {
  constexpr std::size_t kNextHeaderAt = 6;
  constexpr std::size_t kDestinationAt = 24;
  constexpr std::uint8_t kRedirect = 137;
  const auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return false;
  if (ethernet->type != wire::kEtherTypeIpv6) return ethernet->type == wire::kEtherTypeArp;
  const auto packet = frame.subspan(ethernet->header_size);
  if (packet.size() <= wire::kIpv6HeaderBytes) return false;
  if (packet[kDestinationAt] == 0xff) return true;
  const std::uint8_t type = packet[wire::kIpv6HeaderBytes];
  return packet[kNextHeaderAt] == wire::kProtocolIcmpv6 && type >= wire::Icmpv6Type::kRouterSolicitation && type <= kRedirect;
}

}  // namespace millrace::ip
