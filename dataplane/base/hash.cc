#include "dataplane/base/hash.h"

#include <xxhash.h>

#include <cstring>

namespace millrace {

std::uint64_t xx_hash_64(std::string_view bytes, std::uint64_t seed) { return XXH64(bytes.data(), bytes.size(), seed); }

// Austin Appleby's MurmurHash64A, public domain.
std::uint64_t murmur_hash_2(std::string_view bytes, std::uint64_t seed) {
  constexpr std::uint64_t kMultiplier = 0xc6a4a7935bd1e995;
  constexpr auto mix = [](std::uint64_t word) { return word ^ (word >> 47); };
  std::uint64_t hash = seed ^ (bytes.size() * kMultiplier);
  while (bytes.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    hash = (hash ^ mix(word * kMultiplier) * kMultiplier) * kMultiplier;
    bytes.remove_prefix(8);
  }
  if (!bytes.empty()) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    hash = (hash ^ word) * kMultiplier;
  }
  return mix(mix(hash) * kMultiplier);
}

}  // namespace millrace
