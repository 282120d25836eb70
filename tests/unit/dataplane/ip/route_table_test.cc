#include "dataplane/ip/route_table.h"

#include <gtest/gtest.h>

#include <array>

#include "dataplane/base/rng.h"
#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

struct Routes : testing::Test {
  std::vector<InterfaceConfig> interfaces{{.mac = kOurMac, .addresses = {net("198.18.0.2/24"), net("2001:db8::2/64")}},
                                          {.mac = kOtherMac, .addresses = {net("198.19.0.2/16")}}};
  LocalAddresses addresses{interfaces};
};

TEST_F(Routes, NetworksOfOurAddressesAreOnLink) {
  const RouteTable table(addresses, {});
  EXPECT_EQ(table.lookup(addr("198.18.0.9"))->next, addr("198.18.0.9"));
  EXPECT_EQ(table.lookup(addr("198.18.0.9"))->interface, 0);
  EXPECT_EQ(table.lookup(addr("198.19.77.9"))->interface, 1);
  EXPECT_EQ(table.lookup(addr("2001:db8::9"))->next, addr("2001:db8::9"));
  EXPECT_FALSE(table.lookup(addr("198.20.0.1")));
  EXPECT_FALSE(table.lookup(addr("2001:db8:1::1")));
}

TEST_F(Routes, TheLongestPrefixWins) {
  const std::array routes{RouteConfig{net("0.0.0.0/0"), addr("198.18.0.1")}, RouteConfig{net("10.0.0.0/8"), addr("198.18.0.8")},
                          RouteConfig{net("10.1.0.0/16"), addr("198.19.0.16")},
                          RouteConfig{net("10.1.2.3/32"), addr("198.18.0.32")}};
  const RouteTable table(addresses, routes);
  EXPECT_EQ(table.lookup(addr("8.8.8.8"))->next, addr("198.18.0.1"));
  EXPECT_EQ(table.lookup(addr("10.2.0.1"))->next, addr("198.18.0.8"));
  EXPECT_EQ(table.lookup(addr("10.1.9.9"))->next, addr("198.19.0.16"));
  EXPECT_EQ(table.lookup(addr("10.1.9.9"))->interface, 1);
  EXPECT_EQ(table.lookup(addr("10.1.2.3"))->next, addr("198.18.0.32"));
  EXPECT_FALSE(table.lookup(addr("2001:db8:1::1")));
}

TEST_F(Routes, HostBitsOfAConfiguredPrefixDoNotMatter) {
  const std::array routes{RouteConfig{net("10.9.9.9/8"), addr("198.18.0.8")}};
  EXPECT_EQ(RouteTable(addresses, routes).lookup(addr("10.1.1.1"))->next, addr("198.18.0.8"));
}

TEST_F(Routes, ARouteWithoutGatewayIsOnLink) {
  const std::array routes{RouteConfig{net("192.0.2.0/24"), {}}};
  EXPECT_EQ(RouteTable(addresses, routes).lookup(addr("192.0.2.7"))->next, addr("192.0.2.7"));
}

TEST_F(Routes, UnreachableGatewaysAreLeftOutAndCounted) {
  const std::array routes{RouteConfig{net("10.0.0.0/8"), addr("172.16.0.1")},
                          RouteConfig{net("2001:db8:9::/48"), addr("198.18.0.1")},
                          RouteConfig{net("11.0.0.0/8"), addr("198.18.0.2")}};
  const RouteTable table(addresses, routes);
  EXPECT_EQ(table.unusable(), 3u);
  EXPECT_FALSE(table.lookup(addr("10.0.0.1")));
}

TEST_F(Routes, AgreesWithALinearSearch) {
  Rng rng(11);
  std::vector<RouteConfig> routes;
  for (int i = 0; i < 300; ++i) {
    const auto length = static_cast<std::uint8_t>(rng.below(33));
    const IpAddress to = IpAddress::v4(10, static_cast<std::uint8_t>(rng.below(4)), static_cast<std::uint8_t>(rng.below(4)),
                                       static_cast<std::uint8_t>(rng.next()));
    routes.push_back({{to, length}, IpAddress::v4(198, 18, 0, static_cast<std::uint8_t>(3 + i % 200))});
  }
  const RouteTable table(addresses, routes);
  for (int i = 0; i < 5000; ++i) {
    const IpAddress to = IpAddress::v4(10, static_cast<std::uint8_t>(rng.below(4)), static_cast<std::uint8_t>(rng.below(4)),
                                       static_cast<std::uint8_t>(rng.next()));
    const RouteConfig* best = nullptr;
    for (const RouteConfig& route : routes) {
      if (route.to.contains(to) && (best == nullptr || route.to.length > best->to.length)) best = &route;
    }
    const auto hop = table.lookup(to);
    ASSERT_EQ(hop.has_value(), best != nullptr);
    if (best != nullptr) {
      ASSERT_EQ(hop->next, best->via) << to.to_string();
    }
  }
}

}  // namespace
}  // namespace millrace::ip::test
