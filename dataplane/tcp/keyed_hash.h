// SipHash (Aumasson and Bernstein, 2012): the keyed hash behind connection tables, ISNs and port choice. Without the key
// nobody can aim at one bucket or guess an ISN.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

namespace millrace::tcp {

using SecretKey = std::array<std::uint8_t, 16>;

class KeyedHash {
 public:
  explicit KeyedHash(const SecretKey& key) {
    std::memcpy(&k0_, key.data(), 8);
    std::memcpy(&k1_, key.data() + 8, 8);
  }

  /// SipHash-2-4 of `words`, with `purpose` keeping the uses of one key apart.
  [[nodiscard]] std::uint64_t operator()(std::span<const std::uint64_t> words, std::uint64_t purpose) const {
    return hash<2, 4>(words, purpose);
  }
  /// SipHash-1-3: for tables, whose hashes nobody sees. Asked for each segment.
  [[nodiscard]] std::uint64_t for_table(std::span<const std::uint64_t> words, std::uint64_t purpose) const {
    return hash<1, 3>(words, purpose);
  }

 private:
  template <int kCompress, int kFinish>
  [[nodiscard]] std::uint64_t hash(std::span<const std::uint64_t> words, std::uint64_t purpose) const {
    State s{k0_ ^ 0x736f6d6570736575, k1_ ^ 0x646f72616e646f6d, k0_ ^ 0x6c7967656e657261, k1_ ^ 0x7465646279746573};
    for (const std::uint64_t word : words) absorb<kCompress>(s, word);
    absorb<kCompress>(s, purpose);
    absorb<kCompress>(s, static_cast<std::uint64_t>((words.size() + 1) * 8) << 56);
    s.v2 ^= 0xff;
    for (int i = 0; i < kFinish; ++i) round(s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  }

  struct State {
    std::uint64_t v0, v1, v2, v3;
  };
  template <int kRounds>
  static void absorb(State& s, std::uint64_t word) {
    s.v3 ^= word;
    for (int i = 0; i < kRounds; ++i) round(s);
    s.v0 ^= word;
  }
  static void round(State& s) {
    s.v0 += s.v1;
    s.v1 = std::rotl(s.v1, 13) ^ s.v0;
    s.v0 = std::rotl(s.v0, 32);
    s.v2 += s.v3;
    s.v3 = std::rotl(s.v3, 16) ^ s.v2;
    s.v0 += s.v3;
    s.v3 = std::rotl(s.v3, 21) ^ s.v0;
    s.v2 += s.v1;
    s.v1 = std::rotl(s.v1, 17) ^ s.v2;
    s.v2 = std::rotl(s.v2, 32);
  }

  std::uint64_t k0_ = 0;
  std::uint64_t k1_ = 0;
};

}  // namespace millrace::tcp
