#include "config/compile/hash_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "dataplane/base/hash.h"

namespace millrace::config {
namespace {

struct Slot {
  std::uint64_t hash;
  std::uint32_t endpoint;
};

/// A host's way through a Maglev table: offset, offset + skip, ...; modulo the size, a prime, it comes by every slot.
struct Walk {
  std::uint64_t at;
  std::uint64_t skip;
  double due;  // times the largest share: it takes a slot in the first round that has come so far
  std::uint32_t endpoint;
  double share;
};

}  // namespace

std::vector<HashTable::Host> host_shares(const Cluster& cluster, std::span<const std::uint32_t> hosts) {
  const bool by_locality = cluster.balancing.locality_weighted;
  const auto locality_of = [&](std::uint32_t host) { return by_locality ? cluster.endpoints[host].locality : 0; };
  std::vector<double> host_weights(std::max<std::size_t>(cluster.localities.size(), 1), 0);
  std::vector<double> locality_weights(host_weights.size(), 1);
  double all_localities = by_locality ? 0 : 1;
  for (const std::uint32_t host : hosts) {
    const std::uint32_t locality = locality_of(host);
    if (by_locality && host_weights[locality] == 0) {
      locality_weights[locality] = cluster.localities[locality].weight;
      all_localities += locality_weights[locality];
    }
    host_weights[locality] += cluster.endpoints[host].weight;
  }
  std::vector<HashTable::Host> out;
  for (const std::uint32_t host : hosts) {
    const std::uint32_t locality = locality_of(host);
    if (locality_weights[locality] == 0) continue;
    const double of_locality = cluster.endpoints[host].weight / host_weights[locality];
    out.push_back({host, of_locality * (locality_weights[locality] / all_localities)});
  }
  return out;
}

// Each host gets so many slots that the one with the least share gets a whole number of them; sums that run on even out what
// does not divide.
HashTable build_ring(std::vector<HashTable::Host> hosts, std::span<const std::string> keys, const RingOptions& options) {
  HashTable out;
  if (hosts.empty()) return out;
  const double least = std::ranges::min(hosts, {}, &HashTable::Host::share).share;
  const double scale =
      std::min(std::ceil(least * static_cast<double>(options.minimum_size)) / least, static_cast<double>(options.maximum_size));
  std::vector<Slot> ring;
  ring.reserve(static_cast<std::size_t>(std::ceil(scale)));
  double target = 0;
  for (const HashTable::Host& host : hosts) {
    target += scale * host.share;
    for (std::uint64_t i = 0; static_cast<double>(ring.size()) < target; ++i) {
      const std::string key = keys[host.endpoint] + '_' + std::to_string(i);
      ring.push_back({options.murmur ? murmur_hash_2(key) : xx_hash_64(key), host.endpoint});
    }
  }
  std::ranges::sort(ring, {}, &Slot::hash);
  for (const Slot& slot : ring) {
    out.hashes.push_back(slot.hash);
    out.slots.push_back(slot.endpoint);
  }
  out.hosts = std::move(hosts);
  return out;
}

HashTable build_maglev(std::vector<HashTable::Host> hosts, std::span<const std::string> keys, std::uint64_t size) {
  HashTable out;
  if (hosts.empty()) return out;
  const double largest = std::ranges::max(hosts, {}, &HashTable::Host::share).share;
  std::vector<Walk> walks;
  for (const HashTable::Host& host : hosts) {
    const std::string& key = keys[host.endpoint];
    walks.push_back({xx_hash_64(key) % size, xx_hash_64(key, 1) % (size - 1) + 1, 0, host.endpoint, host.share});
  }
  std::vector<bool> taken(size, false);
  out.slots.resize(size);
  std::uint64_t filled = 0;
  for (double round = 1; filled < size; ++round) {
    for (Walk& walk : walks) {
      if (filled == size) break;
      if (round * walk.share < walk.due) continue;
      walk.due += largest;
      while (taken[walk.at]) walk.at = (walk.at + walk.skip) % size;
      taken[walk.at] = true;
      out.slots[walk.at] = walk.endpoint;
      ++filled;
    }
  }
  out.hosts = std::move(hosts);
  return out;
}

bool is_prime(std::uint64_t number) {
  if (number < 4) return number > 1;
  if (number % 2 == 0) return false;
  for (std::uint64_t i = 3; i * i <= number; i += 2) {
    if (number % i == 0) return false;
  }
  return true;
}

}  // namespace millrace::config
