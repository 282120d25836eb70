#include "control-agent/cell_registry.h"

#include <gtest/gtest.h>

namespace millrace::agent {
namespace {

TEST(CellRegistry, GivesTheSameCellForTheSameName) {
  CellRegistry cells(3);
  const auto first = cells.clusters.get("a");
  EXPECT_EQ(cells.clusters.get("a"), first);
  EXPECT_EQ(first->name, "a");
  EXPECT_EQ(first->per_worker.size(), 3U);
}

TEST(CellRegistry, CountsIdsPerKind) {
  CellRegistry cells(1);
  EXPECT_EQ(cells.clusters.get("a")->id, 0U);
  EXPECT_EQ(cells.clusters.get("b")->id, 1U);
  EXPECT_EQ(cells.endpoints.get({.cluster = 1, .address = {IpAddress::v4(1, 2, 3, 4), 5}})->id, 0U);
  EXPECT_EQ(cells.clusters.get("a")->id, 0U);
}

TEST(CellRegistry, FindsEachOfManyEndpointsAgain) {
  CellRegistry cells(2);
  const auto key = [](std::uint32_t i) {
    return report::EndpointKey{.cluster = i % 7,
                               .address = {IpAddress::v4(10, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i), 1),
                                           static_cast<std::uint16_t>(i % 3)}};
  };
  for (std::uint32_t i = 0; i < 5'000; ++i) ASSERT_EQ(cells.endpoints.get(key(i))->id, i);
  for (std::uint32_t i = 0; i < 5'000; ++i) ASSERT_EQ(cells.endpoints.get(key(i))->id, i);
  EXPECT_TRUE(cells.endpoints.get(key(1'234))->key == key(1'234));
  EXPECT_EQ(cells.endpoints.get(key(1'234))->per_worker.size(), 2u);
}

TEST(CellRegistry, AnEndpointIsAnotherInAnotherCluster) {
  CellRegistry cells(1);
  const SocketAddress address{IpAddress::v4(10, 0, 0, 1), 80};
  const auto first = cells.endpoints.get({.cluster = 0, .address = address});
  EXPECT_NE(cells.endpoints.get({.cluster = 1, .address = address}), first);
  EXPECT_EQ(cells.endpoints.get({.cluster = 0, .address = address}), first);
}

TEST(CellRegistry, KeepsCellsThatNobodyHolds) {
  CellRegistry cells(1);
  cells.http.get("ingress")->per_worker[0].downstream_rq_total.add(5);
  EXPECT_EQ(cells.http.all().at(0)->name, "ingress");
  EXPECT_EQ(cells.http.get("ingress")->per_worker[0].downstream_rq_total.value(), 5U);
}

}  // namespace
}  // namespace millrace::agent
