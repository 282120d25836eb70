#include "nic/model/smart_nic.h"

#include <algorithm>
#include <array>
#include <utility>

#include "nic/model/receive_engine.h"
#include "nic/rules/frame_key.h"

namespace millrace::nic {
namespace {

std::vector<FlowRule> carried_out(const SmartNicConfig& config) {
  return config.flow_table ? config.rules : std::vector<FlowRule>();
}

}  // namespace

SmartNic::SmartNic(std::unique_ptr<Port> port, PacketPool& pool, SmartNicConfig config, std::function<Instant()> clock)
    : port_(std::move(port)),
      pool_(pool),
      config_(std::move(config)),
      clock_(std::move(clock)),
      info_(port_->info()),
      steering_(RssTable::symmetric(config_.queues),
                config_.queues == config_.workers ? carried_out(config_) : std::vector<FlowRule>()),
      table_(carried_out(config_)) {
  MR_ASSERT(config_.queues > 0 && config_.queues <= config_.workers && (config_.checksums || !config_.segmentation));
  for (std::uint16_t i = 0; i < config_.queues; ++i) queues_.push_back(std::make_unique<Queue>());
  describe();
}

void SmartNic::describe() {
  info_.queues = config_.queues;
  if (config_.checksums) info_.rx_ip_checksum = info_.rx_l4_checksum = true;
  // Packets wait here and may be sent by another worker, so that only whole frames go on: what the device could do is not used.
  info_.tx = {.ip_checksum = config_.checksums,
              .tcp_checksum = config_.checksums,
              .multi_segment = config_.segmentation,
              .tcp_segmentation = config_.segmentation};
  info_.rss = config_.queues > 1 ? std::optional(RssTable::symmetric(config_.queues)) : std::nullopt;
  for (OffloadUse& use : info_.offloads) {
    const bool receive = use.name.starts_with("rx_");
    const bool modelled = use.name == "rss"                            ? config_.queues > 1
                          : use.name.find("checksum") != use.name.npos ? config_.checksums
                                                                       : config_.segmentation;
    if (modelled) {
      use.where = Place::kModel;
      use.reason.clear();
    } else if (!receive) {
      use.where = Place::kSoftware;
      use.reason = use.name == "rss" ? "one queue" : "the model stands before the device and does not do it";
    }
  }
}

std::size_t SmartNic::receive(std::uint16_t queue, std::span<Packet> out) {
  SpscRing<Packet>& ring = queues_[queue]->ring;
  std::size_t filled = pop(ring, out);
  if (filled < out.size() && !polling_.test_and_set(std::memory_order_acquire)) {
    poll();
    polling_.clear(std::memory_order_release);
    filled += pop(ring, out.subspan(filled));
  }
  if (some_wait_.load(std::memory_order_relaxed) && !sending_.test_and_set(std::memory_order_acquire)) {
    flush();
    sending_.clear(std::memory_order_release);
  }
  return filled;
}

std::size_t SmartNic::pop(SpscRing<Packet>& ring, std::span<Packet> out) {
  std::size_t filled = 0;
  for (Packet* packet = nullptr; filled < out.size() && (packet = ring.front()) != nullptr; ++filled) {
    out[filled] = std::move(*packet);
    ring.drop_front();
  }
  return filled;
}

void SmartNic::poll() {
  std::array<Packet, limits::kRxBurstPackets> burst;
  const std::size_t received = port_->receive(0, burst);
  if (received == 0) return;
  const Instant now = table_.needs_time() ? clock_() : Instant();
  for (Packet& packet : std::span(burst).first(received)) {
    const auto key = frame_key(packet.bytes());
    if (key && !table_.passes(key->flow, now)) {
      filtered_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    if (config_.checksums) packet.set_offload(receive_checksum_bits(packet.bytes()));
    Queue& queue = *queues_[receive_queue(steering_, key)];
    auto& counter = queue.ring.put(std::move(packet)) ? queue.rx_packets : queue.rx_missed;
    counter.fetch_add(1, std::memory_order_relaxed);
  }
  for (const auto& queue : queues_) queue->ring.publish();
}

std::size_t SmartNic::transmit(std::uint16_t queue, std::span<Packet> frames) {
  if (sending_.test_and_set(std::memory_order_acquire)) return 0;
  std::size_t taken = 0;
  flush();
  for (Packet& packet : frames) {
    if (waiting_.size() >= kMostWaiting) break;
    take(packet);
    ++taken;
  }
  flush();
  sending_.clear(std::memory_order_release);
  queues_[queue]->tx_packets.fetch_add(taken, std::memory_order_relaxed);
  return taken;
}

void SmartNic::take(Packet& packet) {
  if (packet.offload() == 0 && packet.attached().empty()) {
    waiting_.push_back(std::move(packet));
    return;
  }
  engine_.start(packet);
  for (auto bytes = engine_.next(); !bytes.empty(); bytes = engine_.next()) {
    Packet frame = pool_.allocate();
    if (!frame || frame.tailroom() < bytes.size()) {
      tx_dropped_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    frame.append(bytes);
    waiting_.push_back(std::move(frame));
  }
  packet = Packet();
}

void SmartNic::flush() {
  std::size_t sent = 0;
  while (sent < waiting_.size()) {
    const std::size_t most = std::min(waiting_.size() - sent, limits::kTxBurstPackets);
    const std::size_t taken = port_->transmit(0, std::span(waiting_).subspan(sent, most));
    if (taken == 0) break;
    sent += taken;
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(sent));
  some_wait_.store(!waiting_.empty(), std::memory_order_relaxed);
}

PortCounters SmartNic::counters() const {
  PortCounters counters = port_->counters();
  counters.rx_filtered += filtered_.load(std::memory_order_relaxed);
  counters.tx_dropped += tx_dropped_.load(std::memory_order_relaxed);
  for (const auto& queue : queues_) counters.rx_missed += queue->rx_missed.load(std::memory_order_relaxed);
  return counters;
}

std::vector<QueueCounters> SmartNic::queue_counters() const {
  std::vector<QueueCounters> list;
  list.reserve(queues_.size());
  for (const auto& queue : queues_) {
    list.push_back({.rx_packets = queue->rx_packets.load(std::memory_order_relaxed),
                    .rx_missed = queue->rx_missed.load(std::memory_order_relaxed),
                    .tx_packets = queue->tx_packets.load(std::memory_order_relaxed)});
  }
  return list;
}

std::vector<RuleUse> SmartNic::rules() const {
  std::vector<RuleUse> uses;
  for (std::size_t i = 0; i < config_.rules.size(); ++i) {
    const FlowRule& rule = config_.rules[i];
    RuleUse& use = uses.emplace_back(RuleUse{.name = rule.name});
    if (!config_.flow_table) {
      use.reason = "the model has no flow table";
    } else if (!rule.steers()) {
      const RuleTable::Counts counts = table_.counts(i);
      use.where = Place::kModel;
      use.hits = counts.hits;
      use.dropped = counts.dropped;
    } else if (config_.queues == config_.workers) {
      use.where = Place::kModel;
    } else {
      use.reason = "the model has fewer queues than there are workers";
    }
  }
  return uses;
}

}  // namespace millrace::nic
