// What rules and the model of a SmartNIC see of a frame. Checked: nothing past its end is read; and what the stack takes for a
// datagram, rules see with the same addresses, protocol and ports, so that no header hides a packet from a rule.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ipv4.h"
#include "dataplane/wire/ipv6.h"
#include "nic/model/receive_engine.h"
#include "nic/rules/frame_key.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using namespace millrace;  // NOLINT(google-build-using-namespace)
using fuzz::require;

template <typename View>
void check(const View& view, std::span<const std::uint8_t> packet, const std::optional<nic::FrameKey>& key) {
  require(key && key->flow.source == view.source && key->flow.destination == view.destination);
  require(!view.is_fragment || (key->fragment && !key->plain));
  if (view.is_fragment) return;
  require(key->flow.protocol == view.protocol);
  const auto transport = packet.first(view.total_length).subspan(view.header_size);
  if ((view.protocol != FlowMatch::kTcp && view.protocol != FlowMatch::kUdp) || transport.size() < 4) return;
  require(key->flow.has_ports && key->flow.source_port == wire::load_be16(transport.data()) &&
          key->flow.destination_port == wire::load_be16(transport.data() + 2));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);  // of exactly that size: an over-read is found
  const auto key = nic::frame_key(bytes);
  static_cast<void>(nic::receive_checksum_bits(bytes));
  const auto ethernet = wire::EthernetView::parse(bytes);
  if (!ethernet) return 0;
  const auto packet = std::span<const std::uint8_t>(bytes).subspan(ethernet->header_size);
  if (ethernet->type == wire::kEtherTypeIpv4) {
    if (const auto view = wire::Ipv4View::parse(packet, true)) check(*view, packet, key);
  } else if (ethernet->type == wire::kEtherTypeIpv6) {
    if (const auto view = wire::Ipv6View::parse(packet)) check(*view, packet, key);
  } else {
    require(!key);
  }
  return 0;
}
