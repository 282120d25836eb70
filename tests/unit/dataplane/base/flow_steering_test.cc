#include "dataplane/base/flow_steering.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace millrace {
namespace {

// The key and the vectors by which Microsoft lets drivers verify their RSS hash.
constexpr std::array<std::uint8_t, 40> kVerificationKey{
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

SocketAddress at(std::string_view text) { return *SocketAddress::parse(text); }

RssTable verification_table() {
  RssTable table = RssTable::symmetric(1);
  table.key.assign(kVerificationKey.begin(), kVerificationKey.end());
  return table;
}

TEST(FlowSteering, HashesIpv4AsDevicesDo) {
  const FlowSteering steering(verification_table());
  EXPECT_EQ(steering.hash(at("66.9.149.187:2794"), at("161.142.100.80:1766")), 0x51ccc178u);
  EXPECT_EQ(steering.hash(at("199.92.111.2:14230"), at("65.69.140.83:4739")), 0xc626b0eau);
  EXPECT_EQ(steering.hash(at("24.19.198.95:12898"), at("12.22.207.184:38024")), 0x5c2b394au);
}

TEST(FlowSteering, HashesIpv6AsDevicesDo) {
  const FlowSteering steering(verification_table());
  EXPECT_EQ(steering.hash(at("[3ffe:2501:200:1fff::7]:2794"), at("[3ffe:2501:200:3::1]:1766")), 0x40207d3du);
  EXPECT_EQ(steering.hash(at("[3ffe:501:8::260:97ff:fe40:efab]:14230"), at("[ff02::1]:4739")), 0xdde51bbfu);
}

TEST(FlowSteering, BothDirectionsOfAFlowHaveOneOwnerByTheSymmetricKey) {
  const FlowSteering steering(RssTable::symmetric(8));
  for (std::uint16_t port = 1'024; port < 2'024; ++port) {
    const SocketAddress client{*IpAddress::parse("198.18.0.1"), port};
    EXPECT_EQ(steering.worker_of(client, at("198.18.0.2:80")), steering.worker_of(at("198.18.0.2:80"), client));
  }
}

TEST(FlowSteering, NeighbouringPortsOfOneClientGoToAllWorkersAlike) {
  constexpr std::uint16_t kWorkers = 4;
  constexpr int kFlows = 4'096;
  const FlowSteering steering(RssTable::symmetric(kWorkers));
  std::array<int, kWorkers> flows{};
  for (int i = 0; i < kFlows; ++i) {
    const SocketAddress client{*IpAddress::parse("198.18.0.1"), static_cast<std::uint16_t>(32'768 + i)};
    ++flows[steering.worker_of(client, at("198.18.0.2:80"))];
  }
  for (const int count : flows) EXPECT_NEAR(count, kFlows / kWorkers, kFlows / kWorkers / 10);
}

TEST(FlowSteering, ATableMayNameAnyQueue) {
  RssTable table = RssTable::symmetric(2);
  table.queues.assign(64, 5);
  EXPECT_EQ(FlowSteering(table).worker_of(at("198.18.0.1:1"), at("198.18.0.2:2")), 5);
}

TEST(FlowSteering, TheFirstSteeringRuleThatMatchesGoesBeforeTheHash) {
  const FlowMatch to_https{.protocol = FlowMatch::kTcp, .destination_ports = FlowPortRange{443, 443}};
  const std::array<FlowRule, 3> rules{FlowRule{.name = "no-owner", .match = {}, .action = FlowRule::Drop{}},
                                      FlowRule{.name = "lan",
                                               .match = {.source = IpPrefix::parse("198.18.0.0/16"),
                                                         .protocol = FlowMatch::kTcp,
                                                         .destination_ports = to_https.destination_ports},
                                               .action = FlowRule::Steer{3}},
                                      FlowRule{.name = "https", .match = to_https, .action = FlowRule::Steer{1}}};
  const FlowSteering plain(RssTable::symmetric(4));
  const FlowSteering steering(RssTable::symmetric(4), rules);
  for (std::uint16_t port = 1'024; port < 1'100; ++port) {
    const SocketAddress near{*IpAddress::parse("198.18.0.1"), port};
    const SocketAddress far{*IpAddress::parse("203.0.113.9"), port};
    EXPECT_EQ(steering.worker_of(near, at("198.18.0.2:443")), 3);
    EXPECT_EQ(steering.worker_of(far, at("198.18.0.2:443")), 1);
    EXPECT_EQ(steering.worker_of(far, at("198.18.0.2:80")), plain.worker_of(far, at("198.18.0.2:80")));
  }
}

}  // namespace
}  // namespace millrace
