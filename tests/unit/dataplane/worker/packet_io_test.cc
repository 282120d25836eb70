// Which worker receives from which queue, and what goes to whom of what one worker received.
#include "dataplane/worker/packet_io.h"

#include <gtest/gtest.h>

#include "tests/support/fake_port.h"
#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::worker {
namespace {

using ip::test::Bytes;

class BindPort : public ::testing::Test {
 protected:
  nic::HeapPool pool_{1};
  test::FakePort port_{pool_};
};

TEST_F(BindPort, AQueuePairForEachWorker) {
  port_.port_info.queues = 4;
  for (std::size_t worker = 0; worker < 4; ++worker) {
    const PortBinding binding = bind_port(port_, 3, worker, 4);
    EXPECT_EQ(binding.receive_queue, worker);
    EXPECT_EQ(binding.transmit_queue, worker);
    EXPECT_EQ(binding.speaks(), worker == 0);
  }
}

TEST_F(BindPort, FewerQueuesGoToOtherWorkersAtEachPortAndEveryQueueHasOneReceiver) {
  for (const std::uint16_t queues : std::initializer_list<std::uint16_t>{1, 2, 3}) {
    port_.port_info.queues = queues;
    for (std::size_t index = 0; index < 5; ++index) {
      std::vector<int> receivers(queues);
      std::vector<std::size_t> speakers;
      for (std::size_t worker = 0; worker < 4; ++worker) {
        const PortBinding binding = bind_port(port_, index, worker, 4);
        EXPECT_LT(binding.transmit_queue, queues);
        if (binding.receive_queue) ++receivers[*binding.receive_queue];
        if (binding.speaks()) speakers.push_back(worker);
      }
      EXPECT_EQ(receivers, std::vector<int>(queues, 1));
      EXPECT_EQ(speakers, std::vector<std::size_t>{index % 4});
    }
  }
}

/// Worker 0 of four, on a port with one queue.
class PacketIoTest : public ip::test::IpLayerTest {
 protected:
  static constexpr std::uint16_t kWorkers = 4;
  PacketIoTest() {
    tcp::StackConfig config;
    config.steering = &steering_;
    tcp_ = std::make_unique<tcp::Stack>(layer, timers, chains_, rng, config);
    io_.emplace(std::vector<PortBinding>{bind_port(port_, 0, 0, kWorkers)}, layer, *tcp_, pool, nullptr,
                Team{.steering = &steering_, .exchange = &exchange_, .index = 0});
  }

  void arrive(const Bytes& frame) {
    port_.arrive(frame);
    io_->receive(now);
  }
  /// A segment from a port of the peer's whose flow is of that worker; the local port is 80.
  [[nodiscard]] std::uint16_t port_of(std::uint16_t worker) const {
    for (std::uint16_t port = 1'024;; ++port) {
      if (steering_.worker_of({ip::test::kPeer, port}, {ip::test::kUs, 80}) == worker) return port;
    }
  }
  [[nodiscard]] static Bytes segment_from(std::uint16_t port, std::size_t payload = 8) {
    Bytes segment(60);
    segment.resize(wire::write_tcp_header(segment, {.source_port = port, .destination_port = 80, .seq = 7, .flags = 2}));
    segment.resize(segment.size() + payload);
    return segment;
  }
  /// What waits for the worker.
  std::vector<Parcel> parcels(std::size_t worker) {
    std::vector<Parcel> found;
    exchange_.take(worker, 1'000, [&](Parcel&& parcel) { found.push_back(std::move(parcel)); });
    return found;
  }

  const FlowSteering steering_{RssTable::symmetric(kWorkers)};
  Exchange exchange_{kWorkers};
  test::FakePort port_{pool};
  stream::ChainPool chains_{pool, 64, 1'024};
  std::unique_ptr<tcp::Stack> tcp_;
  std::optional<PacketIo> io_;
};

TEST_F(PacketIoTest, SegmentsGoToTheirOwners) {
  for (std::uint16_t worker = 0; worker < kWorkers; ++worker) {
    arrive(ip::test::frame4(ip::test::ipv4(segment_from(port_of(worker)), 6)));
  }
  EXPECT_EQ(tcp_->counters()[tcp::Counter::kSegmentsReceived], 1u) << "its own";
  for (std::uint16_t worker = 1; worker < kWorkers; ++worker) {
    const auto found = parcels(worker);
    ASSERT_EQ(found.size(), 1u);
    const auto& datagram = std::get<ip::Datagram>(found[0]);
    EXPECT_EQ(datagram.source, ip::test::kPeer);
    EXPECT_EQ(wire::load_be16(datagram.packet.data()), port_of(worker));
  }
  EXPECT_EQ(io_->counters().handed_over, kWorkers - 1u);
}

TEST_F(PacketIoTest, AFragmentedSegmentGoesThereWhenItIsWhole) {
  const Bytes segment = segment_from(port_of(2), 100);
  const auto part = [&](std::size_t from, std::size_t to, bool more) {
    Bytes packet = ip::test::ipv4(
        Bytes(segment.begin() + static_cast<std::ptrdiff_t>(from), segment.begin() + static_cast<std::ptrdiff_t>(to)), 6);
    wire::store_be16(packet.data() + 6, static_cast<std::uint16_t>(from / 8 | (more ? 0x2000 : 0)));
    return ip::test::frame4(ip::test::with_checksum(packet));
  };
  arrive(part(64, segment.size(), false));  // no ports in here
  EXPECT_TRUE(parcels(2).empty());
  arrive(part(0, 64, true));
  const auto found = parcels(2);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(std::get<ip::Datagram>(found[0]).packet.size(), segment.size());
}

TEST_F(PacketIoTest, AnErrorGoesToTheOwnerOfWhatItQuotes) {
  const std::uint16_t port = port_of(3);
  Bytes quoted(60);
  quoted.resize(wire::write_tcp_header(quoted, {.source_port = 80, .destination_port = port, .seq = 7, .flags = 16}));
  const Bytes about = ip::test::ipv4(quoted, 6, ip::test::kUs, ip::test::kPeer);
  arrive(ip::test::frame4(ip::test::ipv4(ip::test::icmp(3, 3, 0, about), wire::kProtocolIcmpv4)));
  const auto found = parcels(3);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(std::get<ip::TransportError>(found[0]).destination, ip::test::kPeer);
}

TEST_F(PacketIoTest, EveryWorkerHearsOfNeighbours) {
  arrive(ip::test::arp_request(ip::test::kUs));
  for (std::size_t worker = 1; worker < kWorkers; ++worker) {
    const auto found = parcels(worker);
    ASSERT_EQ(found.size(), 1u);
    const Bytes expected = ip::test::arp_request(ip::test::kUs);
    const auto bytes = std::get<Overheard>(found[0]).frame.bytes();
    EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), expected);
  }
  EXPECT_EQ(layer.neighbours(), 1u) << "itself, too";
}

TEST_F(PacketIoTest, WhatIsTooShortForPortsStaysHere) {
  arrive(ip::test::frame4(ip::test::ipv4(ip::test::text("abc"), 6)));
  EXPECT_EQ(tcp_->counters()[tcp::Counter::kDropBadHeader], 1u);
}

TEST_F(PacketIoTest, AFullRingDropsAndCounts) {
  const Bytes frame = ip::test::frame4(ip::test::ipv4(segment_from(port_of(1)), 6));
  for (std::size_t i = 0; i < limits::kExchangeParcels + 5; ++i) arrive(frame);
  EXPECT_EQ(io_->counters().handed_over, limits::kExchangeParcels);
  EXPECT_EQ(io_->counters().hand_over_dropped, 5u);
}

TEST_F(PacketIoTest, WaitsForAPortInWhichAnotherWorkerIs) {
  resolve();
  port_.transmit_limit = 0;
  send(ip::test::kPeer);
  EXPECT_FALSE(io_->transmit(now));
  EXPECT_TRUE(io_->waits());
  port_.transmit_limit = SIZE_MAX;
  EXPECT_TRUE(io_->transmit(now));
  EXPECT_FALSE(io_->waits());
  EXPECT_EQ(io_->counters().frames_sent, 1u);
}

TEST_F(PacketIoTest, ConnectionsAreOpenedFromPortsWhoseAnswersComeBack) {
  class Nobody final : public stream::ByteStreamEvents {
    void on_connected(stream::ByteStream&, Instant) override {}
    void on_readable(stream::ByteStream&, Instant) override {}
    void on_writable(stream::ByteStream&, Instant) override {}
    void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override {}
  } nobody;
  std::size_t seen = 0;
  for (int i = 0; i < 100; ++i) {
    stream::CloseReason reason{};
    ASSERT_NE(tcp_->connect({ip::test::kPeer, 8'000}, nobody, reason, now), nullptr);
  }
  std::size_t position = 0;
  tcp_->walk(position, SIZE_MAX, [&](const tcp::FlowEntry& entry) {
    ++seen;
    EXPECT_EQ(steering_.worker_of({entry.key.peer_ip, entry.key.peer_port}, {entry.key.local_ip, entry.key.local_port}), 0);
  });
  EXPECT_EQ(seen, 100u);
}

}  // namespace
}  // namespace millrace::worker
