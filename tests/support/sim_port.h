// Two ports joined by a perfect link in memory: what one transmits the other receives, frames copied from pool to pool.
// All memory is taken at the start.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "nic/port.h"

namespace millrace::test {

class SimPort final : public nic::Port {
 public:
  /// `pool` is where received frames go; `index` is what received packets say in Packet::port().
  SimPort(nic::PacketPool& pool, MacAddress mac, std::uint8_t index = 0) : pool_(pool), index_(index), ring_(kFrames) {
    info_.name = "sim";
    info_.driver = "simulated";
    info_.mac = mac;
  }
  static void join(SimPort& a, SimPort& b) {
    a.peer_ = &b;
    b.peer_ = &a;
  }

  [[nodiscard]] const nic::PortInfo& info() const override { return info_; }

  std::size_t receive(std::uint16_t, std::span<nic::Packet> out) override {
    std::size_t count = 0;
    while (count < out.size() && tail_ != head_) {
      nic::Packet packet = pool_.allocate();
      if (!packet) break;
      const Frame& frame = ring_[tail_++ % kFrames];
      packet.append(std::span(frame.bytes.data(), frame.size));
      packet.set_port(index_);
      out[count++] = std::move(packet);
    }
    counters_.rx_packets += count;
    return count;
  }

  std::size_t transmit(std::uint16_t, std::span<nic::Packet> frames) override {
    std::size_t count = 0;
    for (nic::Packet& packet : frames) {
      if (peer_->head_ - peer_->tail_ == kFrames) break;
      Frame& frame = peer_->ring_[peer_->head_++ % kFrames];
      frame.size = packet.size();
      std::memcpy(frame.bytes.data(), packet.data(), packet.size());
      packet = {};
      ++count;
    }
    counters_.tx_packets += count;
    return count;
  }

  [[nodiscard]] nic::PortCounters counters() const override { return counters_; }
  [[nodiscard]] int wait_descriptor(std::uint16_t) const override { return -1; }
  [[nodiscard]] bool has_frames() const { return tail_ != head_; }

 private:
  static constexpr std::size_t kFrames = 4096;
  struct Frame {
    std::size_t size = 0;
    std::array<std::uint8_t, 2048> bytes{};
  };

  nic::PacketPool& pool_;
  nic::PortInfo info_;
  std::uint8_t index_;
  SimPort* peer_ = nullptr;
  std::vector<Frame> ring_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  nic::PortCounters counters_;
};

}  // namespace millrace::test
