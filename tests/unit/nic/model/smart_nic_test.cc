#include "nic/model/smart_nic.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <thread>

#include "dataplane/wire/checksum.h"
#include "nic/model/receive_engine.h"
#include "tests/support/fake_port.h"
#include "tests/support/frames.h"

namespace millrace::nic {
namespace {

constexpr std::size_t kHeaders = 14 + 20 + 20;

std::string client(std::uint16_t port) { return "198.18.0.1:" + std::to_string(port); }

class SmartNicTest : public ::testing::Test {
 protected:
  SmartNic make(SmartNicConfig config) {
    auto fake = std::make_unique<test::FakePort>(pool_);
    fake->port_info.offloads = {{.name = "rx_l4_checksum", .reason = "no"},
                                {.name = "tx_tcp_checksum", .offered = true, .where = Place::kDevice},
                                {.name = "tx_tcp_segmentation", .reason = "no"},
                                {.name = "rss", .reason = "one queue"}};
    fake_ = fake.get();
    return SmartNic(std::move(fake), pool_, std::move(config), [this] { return now_; });
  }
  /// A packet as the stack hands it to a port that fills in checksums: the pseudo-header's sum is in the field.
  Packet outgoing(std::size_t payload, bool segment) {
    auto bytes = test::frame({.payload = payload});
    const auto from = *IpAddress::parse("198.18.0.1");
    const auto to = *IpAddress::parse("198.18.0.2");
    const auto length = segment ? 0u : static_cast<std::uint32_t>(bytes.size() - 34);
    wire::store_be16(bytes.data() + 34 + 16, wire::checksum_fold(wire::pseudo_header_sum(from, to, 6, length)));
    wire::store_be16(bytes.data() + 14 + 10, 0);
    Packet packet = pool_.allocate();
    packet.append(std::span(bytes).first(kHeaders));
    packet.set_header_sizes(14, 20);
    packet.set_offload(Offload::kFillIpChecksum | Offload::kFillTcpChecksum | (segment ? Offload::kSegmentTcp : 0));
    packet.set_segment_size(1'000);
    EXPECT_TRUE(packet.attach(Slice(pool_.copy_of(std::span(bytes).subspan(kHeaders)))));
    return packet;
  }

  HeapPool pool_{4'096, 4'096};
  test::FakePort* fake_ = nullptr;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
  std::array<Packet, 64> burst_;
};

using SmartNic_Info = SmartNicTest;
using SmartNic_Receive = SmartNicTest;
using SmartNic_Transmit = SmartNicTest;
using SmartNic_Rules = SmartNicTest;
using SmartNic_Threads = SmartNicTest;

TEST_F(SmartNic_Info, ClaimsItsEnginesAndNoneOfTheDevices) {
  const SmartNic plain = make({});
  EXPECT_EQ(plain.info().tx, TxOffloads());
  EXPECT_EQ(plain.info().offloads[1].where, Place::kSoftware);
  EXPECT_FALSE(plain.info().offloads[1].reason.empty());
  EXPECT_FALSE(plain.info().rss.has_value());
  const SmartNic all = make({.workers = 4, .queues = 4, .checksums = true, .segmentation = true});
  EXPECT_EQ(all.info().tx,
            (TxOffloads{.ip_checksum = true, .tcp_checksum = true, .multi_segment = true, .tcp_segmentation = true}));
  EXPECT_TRUE(all.info().rx_ip_checksum && all.info().rx_l4_checksum);
  EXPECT_EQ(all.info().queues, 4);
  EXPECT_EQ(all.info().rss, RssTable::symmetric(4));
  for (const OffloadUse& use : all.info().offloads) EXPECT_EQ(use.where, Place::kModel) << use.name;
}

TEST_F(SmartNic_Info, HasTheDescriptorOfThePortBehindWithOneQueueOnly) {
  const SmartNic one = make({});
  fake_->descriptor = 7;
  EXPECT_EQ(one.wait_descriptor(0), 7);
  const SmartNic two = make({.workers = 2, .queues = 2});
  fake_->descriptor = 7;
  EXPECT_EQ(two.wait_descriptor(1), -1);
}

TEST_F(SmartNic_Receive, SpreadsFlowsAsItsTableSays) {
  SmartNic nic = make({.workers = 4, .queues = 4});
  const FlowSteering steering(*nic.info().rss);
  std::map<std::uint16_t, int> expected;
  for (std::uint16_t port = 1'000; port < 1'060; ++port) {
    fake_->arrive(test::frame({.from = client(port)}));
    ++expected[steering.worker_of(*SocketAddress::parse(client(port)), *SocketAddress::parse("198.18.0.2:80"))];
  }
  for (std::uint16_t queue = 0; queue < 4; ++queue) {
    EXPECT_EQ(nic.receive(queue, burst_), expected[queue]) << queue;
    EXPECT_EQ(nic.queue_counters()[queue].rx_packets, expected[queue]);
    burst_ = {};
  }
}

TEST_F(SmartNic_Receive, WhatHasNoPortsOrIsInPartsGoesToTheFirstQueue) {
  SmartNic nic = make({.workers = 4, .queues = 4});
  auto arp = test::frame({});
  wire::store_be16(arp.data() + 12, wire::kEtherTypeArp);
  for (std::uint16_t port = 1; port < 20; ++port) {
    auto fragment = test::frame({.from = client(port)});
    fragment[14 + 6] |= 0x20;
    fake_->arrive(fragment);
    fake_->arrive(test::frame({.from = client(port), .protocol = 17}));
    fake_->arrive(arp);
  }
  EXPECT_EQ(nic.receive(0, burst_), 3u * 19);
}

TEST_F(SmartNic_Receive, TellsWhichChecksumsAreRight) {
  SmartNic nic = make({.checksums = true});
  auto bad = test::frame({.payload = 10});
  bad.back() ^= 1;
  fake_->arrive(bad);
  fake_->arrive(test::frame({}));
  ASSERT_EQ(nic.receive(0, burst_), 2u);
  EXPECT_EQ(burst_[0].offload(), Offload::kIpChecksumGood | Offload::kL4ChecksumBad);
  EXPECT_EQ(burst_[1].offload(), Offload::kIpChecksumGood | Offload::kL4ChecksumGood);
}

TEST_F(SmartNic_Receive, CountsWhatARingHasNoRoomFor) {
  SmartNic nic = make({.workers = 2, .queues = 2});
  constexpr int kFrames = 3'000;
  auto arp = test::frame({});
  wire::store_be16(arp.data() + 12, wire::kEtherTypeArp);
  for (int i = 0; i < kFrames; ++i) fake_->arrive(arp);
  while (nic.counters().rx_missed == 0) nic.receive(1, burst_);
  const auto counters = nic.queue_counters();
  EXPECT_GT(counters[0].rx_missed, 0u);
  EXPECT_EQ(counters[0].rx_packets, 1'024u);
  EXPECT_EQ(nic.receive(0, burst_), 64u);
}

TEST_F(SmartNic_Transmit, FillsChecksumsIn) {
  SmartNic nic = make({.checksums = true, .segmentation = true});
  std::array<Packet, 2> packets{outgoing(500, false), pool_.copy_of(test::frame({}))};
  EXPECT_EQ(nic.transmit(0, packets), 2u);
  const auto sent = fake_->sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0], test::frame({.payload = 500}));
  EXPECT_EQ(sent[1], test::frame({}));
  EXPECT_EQ(pool_.in_use(), 0u);
  EXPECT_EQ(nic.queue_counters()[0].tx_packets, 2u);
}

TEST_F(SmartNic_Transmit, CutsABurstIntoSegmentsThatAreRight) {
  SmartNic nic = make({.checksums = true, .segmentation = true});
  std::array<Packet, 1> packets{outgoing(2'500, true)};
  EXPECT_EQ(nic.transmit(0, packets), 1u);
  const auto sent = fake_->sent();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].size(), kHeaders + 1'000);
  EXPECT_EQ(sent[2].size(), kHeaders + 500);
  for (const auto& frame : sent) EXPECT_EQ(receive_checksum_bits(frame), Offload::kIpChecksumGood | Offload::kL4ChecksumGood);
}

TEST_F(SmartNic_Transmit, KeepsInOrderWhatThePortBehindDoesNotTakeYet) {
  SmartNic nic = make({.checksums = true, .segmentation = true});
  fake_->transmit_limit = 0;
  std::array<Packet, 1> packets{outgoing(2'500, true)};
  EXPECT_EQ(nic.transmit(0, packets), 1u);
  EXPECT_TRUE(fake_->sent().empty());
  fake_->transmit_limit = 2;
  packets[0] = pool_.copy_of(test::frame({.payload = 9}));
  EXPECT_EQ(nic.transmit(0, packets), 1u);
  const auto sent = fake_->sent();
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_EQ(sent[2].size(), kHeaders + 500);
  EXPECT_EQ(sent[3].size(), kHeaders + 9);
}

TEST_F(SmartNic_Transmit, SendsWhatWaitsWhenSomebodyReceives) {
  SmartNic nic = make({.checksums = true, .segmentation = true});
  fake_->transmit_limit = 0;
  std::array<Packet, 1> packets{outgoing(2'500, true)};
  EXPECT_EQ(nic.transmit(0, packets), 1u);
  fake_->transmit_limit = SIZE_MAX;
  EXPECT_EQ(nic.receive(0, burst_), 0u);
  EXPECT_EQ(fake_->sent().size(), 3u);
}

TEST_F(SmartNic_Transmit, RefusesPacketsWhenTooManyWait) {
  SmartNic nic = make({});
  fake_->transmit_limit = 0;
  std::size_t taken = 0;
  for (int round = 0; round < 100; ++round) {
    std::array<Packet, 8> packets;
    for (Packet& packet : packets) packet = pool_.copy_of(test::frame({}));
    taken += nic.transmit(0, packets);
  }
  EXPECT_EQ(taken, 256u);
}

TEST_F(SmartNic_Transmit, CountsSegmentsThatFoundNoBuffer) {
  SmartNic nic = make({.checksums = true, .segmentation = true});
  std::array<Packet, 1> packets{outgoing(2'500, true)};
  std::vector<Packet> all;
  for (Packet packet = pool_.allocate(); packet; packet = pool_.allocate()) all.push_back(std::move(packet));
  EXPECT_EQ(nic.transmit(0, packets), 1u);
  EXPECT_EQ(nic.counters().tx_dropped, 3u);
}

TEST_F(SmartNic_Rules, DropsPolicesAndSteers) {
  const FlowMatch to_23{.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{23, 23}};
  const FlowMatch udp{.protocol = FlowMatch::kUdp};
  SmartNic nic = make({.workers = 2,
                       .queues = 2,
                       .flow_table = true,
                       .rules = {{.name = "drop", .match = to_23},
                                 {.name = "police", .match = udp, .action = FlowRule::Police{10, 1}},
                                 {.name = "steer", .match = {}, .action = FlowRule::Steer{1}}}});
  fake_->arrive(test::frame({.to = "198.18.0.2:23"}));
  fake_->arrive(test::frame({.protocol = 17}));
  fake_->arrive(test::frame({.protocol = 17}));
  for (std::uint16_t port = 1; port < 11; ++port) fake_->arrive(test::frame({.from = client(port)}));
  EXPECT_EQ(nic.receive(0, burst_), 1u) << "one UDP packet, which has no owner";
  EXPECT_EQ(nic.receive(1, burst_), 10u);
  EXPECT_EQ(nic.counters().rx_filtered, 2u);
  const auto uses = nic.rules();
  ASSERT_EQ(uses.size(), 3u);
  for (const RuleUse& use : uses) EXPECT_EQ(use.where, Place::kModel);
  EXPECT_EQ(uses[0].hits, 1u);
  EXPECT_EQ(uses[1].hits, 2u);
  EXPECT_EQ(uses[1].dropped, 1u);
  EXPECT_EQ(uses[2].hits, std::nullopt);
}

TEST_F(SmartNic_Rules, AreReportedAsSoftwaresWhereItDoesNotCarryThemOut) {
  const FlowRule drop{.name = "drop"};
  const FlowRule steer{.name = "steer", .match = {}, .action = FlowRule::Steer{1}};
  SmartNic off = make({.workers = 2, .queues = 2, .rules = {drop, steer}});
  fake_->arrive(test::frame({.protocol = 17}));
  EXPECT_EQ(off.receive(0, burst_), 1u);
  for (const RuleUse& use : off.rules()) EXPECT_EQ(use.where, Place::kSoftware);
  const SmartNic narrow = make({.workers = 2, .queues = 1, .flow_table = true, .rules = {drop, steer}});
  EXPECT_EQ(narrow.rules()[0].where, Place::kModel);
  EXPECT_EQ(narrow.rules()[1].where, Place::kSoftware);
  EXPECT_FALSE(narrow.rules()[1].reason.empty());
}

// For ThreadSanitizer: each worker receives on its queue and sends back what it got, while frames keep arriving.
TEST_F(SmartNic_Threads, EveryPacketReachesItsQueueOnceAndGoesOut) {
  constexpr std::uint16_t kWorkers = 4;
  constexpr int kFrames = 4'000;
  SmartNic nic = make({.workers = kWorkers,
                       .queues = kWorkers,
                       .checksums = true,
                       .segmentation = true,
                       .flow_table = true,
                       .rules = {{.name = "p", .match = {}, .action = FlowRule::Police{1'000'000'000, 1'000'000}}}});
  const FlowSteering steering(*nic.info().rss);
  std::atomic<int> received{0};
  std::atomic<int> strays{0};
  std::vector<std::thread> workers;
  for (std::uint16_t queue = 0; queue < kWorkers; ++queue) {
    workers.emplace_back([&, queue] {
      std::array<Packet, 64> burst;
      while (received < kFrames) {
        const std::size_t count = nic.receive(queue, burst);
        for (Packet& packet : std::span(burst).first(count)) {
          const auto key = frame_key(packet.bytes())->flow;
          if (steering.worker_of({key.source, key.source_port}, {key.destination, key.destination_port}) != queue) ++strays;
          packet.set_offload(0);
        }
        for (std::size_t sent = 0; sent < count;) {
          sent += nic.transmit(queue, std::span(burst).subspan(sent, count - sent));
          if (sent < count) std::this_thread::yield();
        }
        received += static_cast<int>(count);
      }
    });
  }
  for (int i = 0; i < kFrames; ++i) fake_->arrive(test::frame({.from = client(static_cast<std::uint16_t>(1 + i % 5'000))}));
  for (std::thread& worker : workers) worker.join();
  while (nic.receive(0, burst_) > 0) {
  }
  EXPECT_EQ(strays, 0);
  EXPECT_EQ(fake_->sent().size(), kFrames);
  EXPECT_EQ(nic.rules()[0].hits, kFrames);
  EXPECT_EQ(nic.counters().rx_missed, 0u);
}

}  // namespace
}  // namespace millrace::nic
