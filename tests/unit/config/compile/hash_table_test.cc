#include "config/compile/hash_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "dataplane/base/hash.h"

namespace millrace::config {
namespace {

std::vector<std::string> addresses(std::size_t count) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back("10.0.0." + std::to_string(i) + ":80");
  return out;
}

std::vector<HashTable::Host> equal_hosts(std::uint32_t count, std::optional<std::uint32_t> without = {}) {
  std::vector<HashTable::Host> out;
  const std::uint32_t size = without ? count - 1 : count;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (i != without) out.push_back({i, 1.0 / size});
  }
  return out;
}

std::map<std::uint32_t, double> shares_of(const HashTable& table) {
  std::map<std::uint32_t, double> out;
  for (const std::uint32_t host : table.slots) out[host] += 1.0 / static_cast<double>(table.slots.size());
  return out;
}

std::uint32_t look_up(const HashTable& table, std::uint64_t hash) {
  if (table.hashes.empty()) return table.slots[hash % table.slots.size()];
  const auto at = std::ranges::lower_bound(table.hashes, hash);
  return at == table.hashes.end() ? table.slots[0] : table.slots[static_cast<std::size_t>(at - table.hashes.begin())];
}

/// The part of all keys that gets another endpoint, those of one that is gone included.
double moved(const HashTable& before, const HashTable& after) {
  constexpr std::uint64_t kKeys = 20'000;
  int changed = 0;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    const std::uint64_t hash = xx_hash_64(std::to_string(i));
    changed += look_up(before, hash) == look_up(after, hash) ? 0 : 1;
  }
  return static_cast<double>(changed) / kKeys;
}

TEST(Hash, IsTheOneOfItsName) {
  EXPECT_EQ(xx_hash_64(""), 0xef46db3751d8e999u);
  EXPECT_EQ(xx_hash_64("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_NE(xx_hash_64("a", 1), xx_hash_64("a"));
  for (const std::string text : {"", "a", "1234567", "12345678", "10.0.0.1:80_17"}) {
    EXPECT_EQ(murmur_hash_2(text), std::hash<std::string>{}(text)) << text;
  }
}

TEST(RingHash, HasAtLeastItsMinimumAndAtMostItsMaximum) {
  const auto keys = addresses(3);
  EXPECT_EQ(build_ring(equal_hosts(3), keys, {.minimum_size = 1024}).slots.size(), 1026u) << "342 each";
  EXPECT_EQ(build_ring(equal_hosts(3), keys, {.minimum_size = 10, .maximum_size = 10}).slots.size(), 10u);
  EXPECT_TRUE(build_ring({}, keys, {}).slots.empty());
}

TEST(RingHash, SlotsAreTheHashesOfKeyAndNumber) {
  const auto keys = addresses(2);
  const HashTable ring = build_ring(equal_hosts(2), keys, {.minimum_size = 8});
  ASSERT_EQ(ring.slots.size(), 8u);
  EXPECT_TRUE(std::ranges::is_sorted(ring.hashes));
  for (std::uint32_t host = 0; host < 2; ++host) {
    for (int i = 0; i < 4; ++i) EXPECT_EQ(look_up(ring, xx_hash_64(keys[host] + "_" + std::to_string(i))), host);
  }
  const HashTable murmur = build_ring(equal_hosts(2), keys, {.minimum_size = 8, .murmur = true});
  EXPECT_EQ(look_up(murmur, murmur_hash_2(keys[1] + "_3")), 1u);
  EXPECT_NE(murmur.hashes, ring.hashes);
}

TEST(RingHash, FollowsTheWeights) {
  const std::vector<HashTable::Host> hosts = {{0, 0.1}, {1, 0.3}, {2, 0.6}};
  auto shares = shares_of(build_ring(hosts, addresses(3), {.minimum_size = 1000}));
  EXPECT_NEAR(shares[0], 0.1, 0.001);
  EXPECT_NEAR(shares[1], 0.3, 0.001);
  EXPECT_NEAR(shares[2], 0.6, 0.001);
}

TEST(RingHash, AtMostTwoPercentOfTheKeysMoveWhenOneOfAHundredEndpointsLeaves) {
  const auto keys = addresses(100);
  const HashTable all = build_ring(equal_hosts(100), keys, {});
  for (std::uint32_t gone = 0; gone < 100; gone += 3)
    EXPECT_LE(moved(all, build_ring(equal_hosts(100, gone), keys, {})), 0.02) << gone;
}

TEST(Maglev, SharesAreEvenAndComplete) {
  const HashTable table = build_maglev(equal_hosts(100), addresses(100), kDefaultMaglevSize);
  EXPECT_EQ(table.slots.size(), kDefaultMaglevSize);
  EXPECT_TRUE(table.hashes.empty());
  for (const auto& [host, share] : shares_of(table)) EXPECT_NEAR(share, 0.01, 0.0001) << host;
  EXPECT_TRUE(build_maglev({}, addresses(1), 7).slots.empty());
}

TEST(Maglev, FollowsTheWeights) {
  const std::vector<HashTable::Host> hosts = {{0, 0.1}, {1, 0.3}, {2, 0.6}};
  auto shares = shares_of(build_maglev(hosts, addresses(3), kDefaultMaglevSize));
  EXPECT_NEAR(shares[0], 0.1, 0.001);
  EXPECT_NEAR(shares[1], 0.3, 0.001);
  EXPECT_NEAR(shares[2], 0.6, 0.001);
}

TEST(Maglev, AtMostTwoPercentOfTheKeysMoveWhenOneOfAHundredEndpointsLeaves) {
  const auto keys = addresses(100);
  const HashTable all = build_maglev(equal_hosts(100), keys, kDefaultMaglevSize);
  for (std::uint32_t gone = 0; gone < 100; gone += 3)
    EXPECT_LE(moved(all, build_maglev(equal_hosts(100, gone), keys, kDefaultMaglevSize)), 0.02) << gone;
}

TEST(HostShares, AreByWeight) {
  Cluster cluster;
  for (const std::uint32_t weight : {1u, 3u, 4u}) cluster.endpoints.push_back({.address = {}, .weight = weight, .cell = {}});
  const auto shares = host_shares(cluster, std::vector<std::uint32_t>{0, 1, 2});
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_DOUBLE_EQ(shares[0].share, 0.125);
  EXPECT_DOUBLE_EQ(shares[1].share, 0.375);
  EXPECT_DOUBLE_EQ(shares[2].share, 0.5);
}

TEST(HostShares, AreByLocalityFirstWhereLocalitiesAreWeighted) {
  Cluster cluster;
  cluster.balancing.locality_weighted = true;
  cluster.localities.resize(3);
  cluster.localities[0].weight = 1;
  cluster.localities[1].weight = 3;
  for (const std::uint32_t locality : {0u, 0u, 1u, 2u})
    cluster.endpoints.push_back({.address = {}, .locality = locality, .cell = {}});
  const auto shares = host_shares(cluster, std::vector<std::uint32_t>{0, 1, 2, 3});
  ASSERT_EQ(shares.size(), 3u) << "that without a weight gets nothing";
  EXPECT_DOUBLE_EQ(shares[0].share, 0.125);
  EXPECT_DOUBLE_EQ(shares[1].share, 0.125);
  EXPECT_DOUBLE_EQ(shares[2].share, 0.75);
}

TEST(Prime, KnowsWhatItIs) {
  EXPECT_TRUE(is_prime(2) && is_prime(3) && is_prime(65'537) && is_prime(5'000'011));
  EXPECT_FALSE(is_prime(0) || is_prime(1) || is_prime(9) || is_prime(65'536) || is_prime(65'541));
}

}  // namespace
}  // namespace millrace::config
