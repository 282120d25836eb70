#include "nic/rules/ruled_port.h"

#include <algorithm>
#include <utility>

namespace millrace::nic {

RuledPort::RuledPort(std::unique_ptr<Port> port, std::span<const FlowRule> rules, std::function<Instant()> clock)
    : port_(std::move(port)), rules_(rules.begin(), rules.end()), table_(rules_), clock_(std::move(clock)) {
  const auto uses = port_->rules();
  if (uses.size() != rules_.size()) return;
  device_does_all_ = true;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (!rules_[i].steers() && uses[i].where == Place::kSoftware) device_does_all_ = false;
  }
}

bool RuledPort::passes(const Packet& packet, Instant now) {
  const auto key = frame_key(packet.bytes());
  return !key || (key->plain && device_does_all_) || table_.passes(key->flow, now);
}

std::size_t RuledPort::receive(std::uint16_t queue, std::span<Packet> out) {
  const std::size_t received = port_->receive(queue, out);
  if (received == 0) return 0;
  const Instant now = table_.needs_time() ? clock_() : Instant();
  std::size_t kept = 0;
  for (std::size_t i = 0; i < received; ++i) {
    if (!passes(out[i], now)) {
      out[i] = Packet();
    } else if (kept++ != i) {
      out[kept - 1] = std::move(out[i]);
    }
  }
  if (kept != received) filtered_.fetch_add(received - kept, std::memory_order_relaxed);
  return kept;
}

PortCounters RuledPort::counters() const {
  PortCounters counters = port_->counters();
  counters.rx_filtered += filtered_.load(std::memory_order_relaxed);
  return counters;
}

std::vector<RuleUse> RuledPort::rules() const {
  std::vector<RuleUse> uses = port_->rules();
  if (uses.size() != rules_.size()) {
    uses.clear();
    for (const FlowRule& rule : rules_) uses.push_back({.name = rule.name, .reason = "the port takes no rules"});
  }
  for (std::size_t i = 0; i < uses.size(); ++i) {
    if (rules_[i].steers()) continue;
    const RuleTable::Counts counts = table_.counts(i);
    if (uses[i].where == Place::kDevice) uses[i].dropped = uses[i].hits.value_or(0);  // a device does not police
    if (uses[i].hits || uses[i].where == Place::kSoftware) uses[i].hits = uses[i].hits.value_or(0) + counts.hits;
    uses[i].dropped += counts.dropped;
  }
  return uses;
}

}  // namespace millrace::nic
