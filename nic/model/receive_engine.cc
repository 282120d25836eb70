#include "nic/model/receive_engine.h"

#include "dataplane/wire/checksum.h"
#include "dataplane/wire/endian.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"

namespace millrace::nic {
namespace {

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::size_t kUdpChecksumOffset = 6;

// `View`: what wire/ parsed, whole datagrams only.
template <typename View>
std::uint16_t transport_bits(const View& view, std::span<const std::uint8_t> packet) {
  if (view.is_fragment || (view.protocol != kTcp && view.protocol != kUdp)) return 0;
  const auto transport = packet.first(view.total_length).subspan(view.header_size);
  const bool no_udp_checksum = view.protocol == kUdp && view.source.is_v4() && transport.size() > kUdpChecksumOffset + 1 &&
                               wire::load_be16(transport.data() + kUdpChecksumOffset) == 0;
  if (no_udp_checksum) return 0;
  const std::uint32_t sum =
      wire::pseudo_header_sum(view.source, view.destination, view.protocol, static_cast<std::uint32_t>(transport.size()));
  const bool good = wire::checksum_finish(wire::checksum_add(sum, transport)) == 0;
  return good ? Offload::kL4ChecksumGood : Offload::kL4ChecksumBad;
}

}  // namespace

std::uint16_t receive_checksum_bits(std::span<const std::uint8_t> frame) {
  const auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return 0;
  const auto packet = frame.subspan(ethernet->header_size);
  if (ethernet->type == wire::kEtherTypeIpv6) {
    const auto view = wire::Ipv6View::parse(packet);
    return view ? transport_bits(*view, packet) : 0;
  }
  if (ethernet->type != wire::kEtherTypeIpv4) return 0;
  const auto view = wire::Ipv4View::parse(packet, true);
  if (!view) return 0;
  if (wire::internet_checksum(packet.first(view->header_size)) != 0) return Offload::kIpChecksumBad;
  return static_cast<std::uint16_t>(Offload::kIpChecksumGood | transport_bits(*view, packet));
}

std::uint16_t receive_queue(const FlowSteering& rule, const std::optional<FrameKey>& key) {
  if (!key || key->fragment || !key->flow.has_ports || key->flow.protocol != FlowMatch::kTcp) return 0;
  return rule.worker_of({key->flow.source, key->flow.source_port}, {key->flow.destination, key->flow.destination_port});
}

}  // namespace millrace::nic
