#include "dataplane/ip/duplicate_detection.h"

#include "dataplane/ip/nd_packet.h"

namespace millrace::ip {

using Use = LocalAddresses::Use;
using wire::DropReason;
using wire::NeighbourMessage;

void DuplicateDetection::start(std::uint8_t interface, Instant now) {
  if (ports_[interface].rounds == 0) next_round(ports_[interface], now);
}

void DuplicateDetection::stop(std::uint8_t interface) {
  ports_[interface].rounds = 0;
  ports_[interface].timer.disarm();
}

// A round: who has been asked for often enough in silence is ours, the others are asked for (again).
void DuplicateDetection::next_round(Port& port, Instant now) {
  bool asked = false;
  for (const LocalAddresses::Entry& entry : addresses_.entries()) {
    if (entry.interface != port.interface || entry.use != Use::kTentative) continue;
    if (port.rounds >= link_.config(entry.interface).duplicate_probes) {
      addresses_.set_use(entry, Use::kUsable);
      advertise(pool_, link_, entry);
      continue;
    }
    asked = true;
    if (link_.config(entry.interface).silent) continue;
    const NeighbourMessage message{.target = entry.prefix.address, .nonce = nonce(entry.interface)};
    send_nd_to_group(pool_, link_, entry.interface, IpAddress(), wire::solicited_node_group(message.target), message.size(),
                     [&](std::span<std::uint8_t> bytes) { message.write(bytes); });
  }
  ++port.rounds;
  if (asked) timers_.arm(port.timer, now + kProbeInterval);
}

// RFC 4862 5.4.3: who probes for the address wants it as we do, and neither gets it; who has an address only looks for its owner.
void DuplicateDetection::on_solicitation(const LocalAddresses::Entry& entry, const NeighbourMessage& message, bool probe) {
  if (message.nonce == nonce(entry.interface)) return link_.count(DropReason::kNdOwnProbe);
  if (!probe) return link_.count(DropReason::kNdNotForUs);
  set_duplicate(entry);
}

void DuplicateDetection::set_duplicate(const LocalAddresses::Entry& entry) {
  if (entry.use != Use::kTentative) return link_.count(DropReason::kNdNotForUs);
  addresses_.set_use(entry, Use::kDuplicate);
  link_.count(DropReason::kNdDuplicateAddress);
}

void advertise(nic::PacketPool& pool, Link& link, const LocalAddresses::Entry& entry) {
  if (link.config(entry.interface).silent) return;
  const NeighbourMessage message{.is_advertisement = true,
                                 .override_ = true,
                                 .target = entry.prefix.address,
                                 .link_address = link.config(entry.interface).mac};
  send_nd_to_group(pool, link, entry.interface, message.target, wire::all_nodes_group(), message.size(),
                   [&](std::span<std::uint8_t> bytes) { message.write(bytes); });
}

}  // namespace millrace::ip
