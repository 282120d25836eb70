#include "tests/simulation/draw.h"

namespace millrace::sim {

LinkConfig Draw::link() {
  LinkConfig link;
  constexpr std::uint64_t kRates[] = {0, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};
  link.bits_per_second = kRates[between(0, 4)];
  link.delay = Duration::microseconds(static_cast<std::int64_t>(sized(4, 16)));  // 16 us to 131 ms
  if (!one_in(3)) link.queue_bytes = static_cast<std::uint32_t>(sized(14, 19));
  if (one_in(2)) link.loss_ppm = static_cast<std::uint32_t>(sized(9, 15));  // 0.05 to 6.5 %
  if (one_in(4)) {
    link.burst_enter_ppm = between(100, 5'000);
    link.burst_leave_ppm = between(50'000, 500'000);
    link.burst_loss_ppm = between(300'000, 1'000'000);
  }
  if (one_in(3)) {
    link.reorder_ppm = between(1'000, 300'000);
    link.reorder_delay = milliseconds(1, 50);
  }
  if (one_in(3)) link.duplicate_ppm = between(1'000, 200'000);
  if (one_in(3)) link.corrupt_ppm = between(1'000, 50'000);
  return link;
}

nic::TxOffloads Draw::offloads() {
  constexpr nic::TxOffloads kSets[] = {
      {},
      {.multi_segment = true},
      {.ip_checksum = true, .tcp_checksum = true},
      {.ip_checksum = true, .tcp_checksum = true, .multi_segment = true, .tcp_segmentation = true},
  };
  return kSets[rng_.below(std::size(kSets))];
}

std::string describe(const nic::TxOffloads& tx) {
  if (tx.tcp_segmentation) return "segmentation, scatter-gather and checksums";
  if (tx.multi_segment) return "scatter-gather";
  return tx.tcp_checksum ? "checksums" : "none";
}

std::string describe(const LinkConfig& link) {
  std::string text = link.bits_per_second == 0 ? "no rate limit" : std::to_string(link.bits_per_second / 1'000'000) + " Mbit/s";
  text += ", " + std::to_string(link.delay.to_microseconds()) + " us";
  const auto note = [&](const char* what, std::uint64_t value) {
    if (value != 0) text += std::string(", ") + what + " " + std::to_string(value);
  };
  note("queue", link.queue_bytes);
  if (link.tells_mtu) note("path MTU", link.mtu);
  note("loss ppm", link.loss_ppm);
  note("burst loss ppm", link.burst_loss_ppm);
  note("reorder ppm", link.reorder_ppm);
  note("duplicate ppm", link.duplicate_ppm);
  note("corrupt ppm", link.corrupt_ppm);
  for (const LinkConfig::Window& window : link.partitions) {
    text += ", partition " + std::to_string((window.from - Instant()).to_milliseconds()) + "-" +
            std::to_string((window.to - Instant()).to_milliseconds()) + " ms";
  }
  return text;
}

LinkConfig starting_at(Instant start, LinkConfig link) {
  for (LinkConfig::Window& window : link.partitions) {
    window = {start + (window.from - Instant()), start + (window.to - Instant())};
  }
  return link;
}

}  // namespace millrace::sim
