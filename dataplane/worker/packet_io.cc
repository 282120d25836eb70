#include "dataplane/worker/packet_io.h"

#include <algorithm>
#include <utility>

#include "dataplane/ip/link_control.h"
#include "dataplane/wire/endian.h"
#include "dataplane/worker/capture_taps.h"

namespace millrace::worker {
namespace {

constexpr std::size_t kMostParcels = limits::kRxBurstPackets * limits::kRxBurstsPerTurn;

// Ports from the first bytes of a TCP header.
std::uint16_t source_port(const std::uint8_t* header) { return wire::load_be16(header); }
std::uint16_t destination_port(const std::uint8_t* header) { return wire::load_be16(header + 2); }

}  // namespace

PortBinding bind_port(nic::Port& port, std::size_t index, std::size_t worker, std::size_t workers) {
  const std::size_t queues = port.info().queues;
  PortBinding binding{.port = &port, .receive_queue = {}, .transmit_queue = static_cast<std::uint16_t>(worker % queues)};
  const std::size_t queue = queues == workers ? worker : (worker + workers - index % workers) % workers;
  if (queue < queues) binding.receive_queue = static_cast<std::uint16_t>(queue);
  return binding;
}

PacketIo::PacketIo(std::vector<PortBinding> ports, ip::IpLayer& ip, tcp::Stack& tcp, nic::PacketPool& packets, CaptureTaps* taps,
                   const Team& team)
    : ports_(std::move(ports)), ip_(ip), tcp_(tcp), packets_(packets), taps_(taps), team_(team) {}

bool PacketIo::receive(Instant now) {
  bool any = false;
  for (std::size_t port = 0; port < ports_.size(); ++port) any |= receive_from(port, now);
  if (team_.exchange != nullptr) {
    // Before our own work: the others need not wait for it.
    team_.exchange->publish(team_.index);
    any |= team_.exchange->take(team_.index, kMostParcels, [&](Parcel&& parcel) { deliver(std::move(parcel), now); }) > 0;
  }
  if (any) tcp_.end_burst(now);
  return any;
}

bool PacketIo::receive_from(std::size_t index, Instant now) {
  const PortBinding& binding = ports_[index];
  if (!binding.receive_queue) return false;
  bool any = false;
  for (std::size_t i = 0; i < limits::kRxBurstsPerTurn; ++i) {
    const std::size_t count = binding.port->receive(*binding.receive_queue, burst_);
    counters_.frames_received += count;
    if (taps_ != nullptr && taps_->active()) taps_->on_received(index, std::span(burst_).first(count), now);
    for (nic::Packet& frame : std::span(burst_).first(count)) handle_frame(std::move(frame), now);
    any |= count > 0;
    if (count < burst_.size()) break;
  }
  return any;
}

void PacketIo::handle_frame(nic::Packet frame, Instant now) {
  const bool alone = team_.exchange == nullptr;
  if (!alone && ip::is_link_control(frame.bytes())) tell_all(frame);
  ip::IpLayer::Received received = ip_.receive(std::move(frame), now);
  const std::optional<std::uint16_t> other = alone ? std::nullopt : other_owner(received);
  if (auto* datagram = std::get_if<ip::Datagram>(&received)) {
    if (other) return hand_over(*other, std::move(*datagram));
    tcp_.on_datagram(std::move(*datagram), now);
  } else if (const auto* error = std::get_if<ip::TransportError>(&received)) {
    if (other) return hand_over(*other, *error);
    tcp_.on_transport_error(*error, now);
  }
}

// Fragments have been put together by now, and errors are told apart from what they quote: this is the one place to ask.
std::optional<std::uint16_t> PacketIo::other_owner(const ip::IpLayer::Received& received) const {
  constexpr std::size_t kPortBytes = 4;
  std::uint16_t owner = team_.index;
  if (const auto* datagram = std::get_if<ip::Datagram>(&received)) {
    if (datagram->packet.size() < kPortBytes) return std::nullopt;
    const std::uint8_t* header = datagram->packet.data();
    owner = team_.steering->worker_of({datagram->source, source_port(header)}, {datagram->destination, destination_port(header)});
  } else if (const auto* error = std::get_if<ip::TransportError>(&received)) {
    // It quotes what went the other way.
    owner = team_.steering->worker_of({error->destination, destination_port(error->quoted)},
                                      {error->source, source_port(error->quoted)});
  }
  return owner == team_.index ? std::nullopt : std::optional(owner);
}

void PacketIo::hand_over(std::uint16_t to, Parcel&& parcel) {
  const bool put = team_.exchange->put(team_.index, to, std::move(parcel));
  ++(put ? counters_.handed_over : counters_.hand_over_dropped);
}

void PacketIo::tell_all(const nic::Packet& frame) {
  for (std::size_t to = 0; to < team_.exchange->workers(); ++to) {
    if (to == team_.index) continue;
    nic::Packet copy = packets_.allocate();
    if (!copy || copy.tailroom() < frame.size()) {
      ++counters_.hand_over_dropped;
      continue;
    }
    copy.append(frame.bytes());
    copy.set_port(frame.port());
    hand_over(static_cast<std::uint16_t>(to), Overheard{std::move(copy)});
  }
}

void PacketIo::deliver(Parcel&& parcel, Instant now) {
  if (auto* overheard = std::get_if<Overheard>(&parcel)) {
    ++counters_.overheard;
    return ip_.overhear(std::move(overheard->frame), now);
  }
  ++counters_.taken_over;
  if (auto* datagram = std::get_if<ip::Datagram>(&parcel)) {
    tcp_.on_datagram(std::move(*datagram), now);
  } else if (const auto* error = std::get_if<ip::TransportError>(&parcel)) {
    tcp_.on_transport_error(*error, now);
  }
}

// What a port does not take now stays queued, in order, for the next turn; the queue's bound is ip's.
bool PacketIo::transmit(Instant now) {
  bool any = false;
  waits_ = false;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    while (true) {
      std::span<nic::Packet> frames = ip_.outgoing(i);
      if (frames.empty()) break;
      if (frames.size() > limits::kTxBurstPackets) frames = frames.first(limits::kTxBurstPackets);
      const std::size_t offered = frames.size();
      const bool tapped = taps_ != nullptr && taps_->active();
      if (tapped) taps_->on_transmit(i, frames, now);
      const std::size_t taken = ports_[i].port->transmit(ports_[i].transmit_queue, frames);
      if (tapped) taps_->on_transmitted(i, offered, taken);
      ip_.outgoing_taken(i, taken);
      counters_.frames_sent += taken;
      any |= taken > 0;
      if (taken == offered) continue;
      waits_ = true;
      break;
    }
  }
  return any;
}

void PacketIo::follow_links(Instant now) {
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    const auto interface = static_cast<std::uint8_t>(i);
    const bool up = ports_[i].port->link_up();
    if (up == ip_.is_link_up(interface)) continue;
    ip_.set_link_up(interface, up, now);
    if (!up && taps_ != nullptr) taps_->on_discarded(i);
  }
}

}  // namespace millrace::worker
