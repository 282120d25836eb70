#include "tests/simulation/spread.h"

#include "dataplane/ip/interface.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::sim {

std::uint16_t queue_of(const FlowSteering& rule, std::span<const std::uint8_t> frame) {
  const auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return 0;
  const auto packet = frame.subspan(ethernet->header_size);
  const auto steer = [&](const auto& view) -> std::uint16_t {
    const auto transport = packet.subspan(view.header_size);
    if (view.is_fragment || view.protocol != ip::kProtocolTcp || transport.size() < 4) return 0;
    return rule.worker_of({view.source, wire::load_be16(transport.data())},
                          {view.destination, wire::load_be16(transport.data() + 2)});
  };
  if (ethernet->type == wire::kEtherTypeIpv4) {
    const auto view = wire::Ipv4View::parse(packet, true);
    return view ? steer(*view) : std::uint16_t{0};
  }
  if (ethernet->type == wire::kEtherTypeIpv6) {
    const auto view = wire::Ipv6View::parse(packet);
    return view ? steer(*view) : std::uint16_t{0};
  }
  return 0;
}

}  // namespace millrace::sim
