#include "tests/simulation/network.h"

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.h"
#include "nic/model/receive_engine.h"
#include "tests/simulation/router.h"
#include "tests/simulation/trace.h"

namespace millrace::sim {
namespace {

constexpr std::size_t kInitialFrames = 256;  // tests that forbid the heap during a turn stay below this
constexpr Duration kPollWithoutBuffers = Duration::milliseconds(1);

}  // namespace

Port::Port(Network& network, Node& node, nic::PacketPool& pool, std::string name, MacAddress mac, std::uint16_t mtu,
           std::uint8_t index, nic::TxOffloads tx)
    : network_(network), pool_(pool), index_(index), queues_(1) {
  info_.name = std::move(name);
  info_.driver = "simulated";
  info_.mac = mac;
  info_.mtu = mtu;
  info_.tx = tx;
  queues_[0].node = network.member_of(node);
}

void Port::set_queues(std::span<Node* const> nodes, const RssTable& rule, bool tells) {
  queues_ = std::vector<Queue>(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) queues_[i].node = network_.member_of(*nodes[i]);
  info_.queues = static_cast<std::uint16_t>(nodes.size());
  rule_.emplace(rule);
  if (tells) info_.rss = rule;
}

std::size_t Port::receive(std::uint16_t number, std::span<nic::Packet> out) {
  Queue& queue = queues_[number];
  std::size_t count = 0;
  while (count < out.size() && queue.tail != queue.head) {
    nic::Packet packet = pool_.allocate();
    if (!packet) {  // as a device without descriptors: the frame waits, later ones are missed
      ++counters_.rx_no_buffer;
      network_.wake(queue.node, network_.now_ + kPollWithoutBuffers);
      break;
    }
    const std::uint32_t index = queue.ring[queue.tail++ % kRing];
    const Frame& frame = *network_.frames_memory_[index];
    packet.append(std::span(frame.bytes.data(), frame.size));
    packet.set_port(index_);
    counters_.rx_bytes += frame.size;
    network_.free_frames_.push_back(index);
    out[count++] = std::move(packet);
  }
  counters_.rx_packets += count;
  return count;
}

std::size_t Port::transmit(std::uint16_t queue, std::span<nic::Packet> frames) {
  const std::size_t limit = transmit_limit_ == 0 ? frames.size() : std::min(transmit_limit_, frames.size());
  for (nic::Packet& packet : frames.first(limit)) {
    send(packet);
    packet = {};
  }
  if (limit < frames.size()) network_.wake(queues_[queue].node, network_.now_);
  return limit;
}

void Port::send(nic::Packet& packet) {
  const auto put = [&](std::span<std::uint8_t> frame) {
    ++counters_.tx_packets;
    counters_.tx_bytes += frame.size();
    network_.put(*this, frame);
  };
  if (packet.offload() == 0 && packet.attached().empty()) return put(packet.bytes());
  // Nothing may be asked for that the port does not offer.
  MR_ASSERT((packet.offload() & nic::Offload::kFillIpChecksum) == 0 || info_.tx.ip_checksum);
  MR_ASSERT((packet.offload() & nic::Offload::kFillTcpChecksum) == 0 || info_.tx.tcp_checksum);
  MR_ASSERT((packet.offload() & nic::Offload::kSegmentTcp) == 0 || info_.tx.tcp_segmentation);
  MR_ASSERT(packet.attached().empty() || info_.tx.multi_segment);
  engine_.start(packet);
  for (std::span<std::uint8_t> frame = engine_.next(); !frame.empty(); frame = engine_.next()) put(frame);
}

void Port::arrive(std::uint32_t frame) {
  const Frame& bytes = *network_.frames_memory_[frame];
  Queue& queue = queues_[rule_ ? nic::receive_queue(*rule_, nic::frame_key(std::span(bytes.bytes).first(bytes.size))) : 0];
  if (queue.head - queue.tail == kRing) {
    ++counters_.rx_missed;
    network_.free_frames_.push_back(frame);
    return;
  }
  queue.ring[queue.head++ % kRing] = frame;
  network_.wake(queue.node, network_.now_);
}

Network::Network(std::uint64_t seed, Instant start) : rng_(seed), now_(start) {
  flying_.reserve(kInitialFrames);
  free_frames_.reserve(kInitialFrames);
  for (std::size_t i = 0; i < kInitialFrames; ++i) {
    frames_memory_.push_back(std::make_unique<Frame>());
    free_frames_.push_back(static_cast<std::uint32_t>(i));
  }
}

void Network::add(Node& node) { members_.push_back({.node = &node, .due = now_, .last = now_ - spacing_, .paused_until = now_}); }

void Network::join(Port& a, Port& b, const LinkConfig& a_to_b, const LinkConfig& b_to_a) {
  a.peer_ = &b;
  b.peer_ = &a;
  a.link_ = std::make_unique<Link>(a_to_b, rng_.next());
  b.link_ = std::make_unique<Link>(b_to_a, rng_.next());
}

std::uint32_t Network::take_frame() {
  if (free_frames_.empty()) {
    frames_memory_.push_back(std::make_unique<Frame>());
    return static_cast<std::uint32_t>(frames_memory_.size() - 1);
  }
  const std::uint32_t frame = free_frames_.back();
  free_frames_.pop_back();
  return frame;
}

void Network::fly(Port& to, Instant arrival, std::uint32_t frame) {
  flying_.push_back({.arrival = arrival, .order = order_++, .frame = frame, .to = &to});
  std::ranges::push_heap(flying_, later);
}

std::uint32_t Network::member_of(const Node& node) const {
  const auto member = std::ranges::find(members_, &node, &Member::node);
  MR_ASSERT(member != members_.end());
  return static_cast<std::uint32_t>(member - members_.begin());
}

void Network::wake(std::uint32_t member, Instant at) { members_[member].due = std::min(members_[member].due, at); }

void Network::put(Port& from, std::span<std::uint8_t> bytes) {
  ++frames_;
  MR_ASSERT(bytes.size() <= sizeof(Frame::bytes));
  if (from.tamper_ && !from.tamper_(bytes, now_)) return;
  const Link::Outcome outcome = from.link_->put(bytes.size(), now_);
  if (trace_) trace_frame(from.info_.name, now_, bytes, outcome);
  if (outcome.fate == Fate::kTooBig && from.link_->config().tells_mtu) return answer_too_big(from, bytes);
  if (outcome.fate != Fate::kDelivered && outcome.fate != Fate::kDuplicated) return;
  const std::uint32_t index = take_frame();
  Frame& frame = *frames_memory_[index];
  frame.size = bytes.size();
  std::memcpy(frame.bytes.data(), bytes.data(), bytes.size());
  if (outcome.fate == Fate::kDuplicated) {
    const std::uint32_t copy = take_frame();
    *frames_memory_[copy] = *frames_memory_[index];
    fly(*from.peer_, outcome.second_arrival, copy);
  }
  if (outcome.corrupted) from.link_->corrupt(std::span(frames_memory_[index]->bytes).first(bytes.size()));
  fly(*from.peer_, outcome.arrival, index);
}

void Network::answer_too_big(Port& from, std::span<const std::uint8_t> frame) {
  const std::optional<Frame> answer = packet_too_big(frame, from.link_->config().mtu);
  if (!answer) return;
  const std::uint32_t index = take_frame();
  *frames_memory_[index] = *answer;
  fly(from, now_ + from.link_->config().delay, index);
}

void Network::pause(const Node& node, Instant until) { members_[member_of(node)].paused_until = until; }

bool Network::paused(const Node& node) const { return members_[member_of(node)].paused_until > now_; }

Instant Network::due(const Member& member) const {
  return std::max({std::min(member.due, member.node->next_due()), member.last + spacing_, member.paused_until});
}

Instant Network::next_event() const {
  Instant next = flying_.empty() ? Instant::never() : flying_.front().arrival;
  for (const Member& member : members_) next = std::min(next, due(member));
  return next;
}

void Network::deliver_frames() {
  while (!flying_.empty() && flying_.front().arrival <= now_) {
    std::ranges::pop_heap(flying_, later);
    const Flight flight = flying_.back();
    flying_.pop_back();
    flight.to->arrive(flight.frame);
  }
}

void Network::give_turns() {
  for (Member& member : members_) {
    if (due(member) > now_) continue;
    member.due = Instant::never();
    member.last = now_;
    if (turn_hook_) turn_hook_(member.node);
    if (member.node->turn(now_)) member.due = now_;
    if (turn_hook_) turn_hook_(nullptr);
  }
}

bool Network::run_until(Instant end, const std::function<bool()>& done) {
  for (std::uint32_t i = 0; i < members_.size(); ++i) wake(i, now_);  // the caller may have done something to it
  while (true) {
    deliver_frames();
    give_turns();
    ++steps_;
    if (done && done()) return true;
    const Instant next = std::max(next_event(), now_);
    if (next > end || now_ >= end) {
      now_ = std::max(now_, end);
      return false;
    }
    now_ = next;
  }
}

}  // namespace millrace::sim
