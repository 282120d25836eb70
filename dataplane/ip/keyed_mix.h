// A hash of addresses under a random key, so that nobody outside can aim at one bucket, or guess a flow label. Multiply and fold
// (as wyhash does): for tables and labels, not a message authentication code; what needs one uses tcp/keyed_hash.h.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/base/addresses.h"
#include "dataplane/base/rng.h"

namespace millrace::ip {

class KeyedMix {
 public:
  explicit KeyedMix(Rng& rng) : keys_{rng.next(), rng.next() | 1} {}

  [[nodiscard]] std::uint64_t operator()(const IpAddress& address, std::uint64_t rest) const {
    return fold(mix(keys_[0], address) ^ rest, keys_[1]);
  }
  [[nodiscard]] std::uint64_t operator()(const IpAddress& a, const IpAddress& b, std::uint64_t rest) const {
    return fold(mix(mix(keys_[0], a), b) ^ rest, keys_[1]);
  }

 private:
  [[nodiscard]] static std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  [[nodiscard]] std::uint64_t mix(std::uint64_t hash, const IpAddress& address) const {
    std::uint64_t halves[2];
    std::memcpy(halves, address.bytes().data(), sizeof(halves));
    hash = fold(hash ^ halves[0], keys_[1] ^ 0x9e37'79b9'7f4a'7c15);
    return fold(hash ^ halves[1], keys_[1] ^ 0xbf58'476d'1ce4'e5b9);
  }
  std::uint64_t keys_[2];
};

}  // namespace millrace::ip
