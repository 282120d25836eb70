#include "config/compile/content_hash.h"

namespace millrace::config {

std::uint64_t content_hash(std::string_view bytes, std::uint64_t seed) {
  constexpr std::uint64_t kPrime = 0x100000001b3;  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325 ^ (seed * kPrime);
  for (const char c : bytes) {
    hash ^= static_cast<unsigned char>(c);
    hash *= kPrime;
  }
  // FNV's high bits lag behind its low ones: the finalizer of SplitMix64 spreads them.
  hash ^= hash >> 30;
  hash *= 0xbf58476d1ce4e5b9;
  hash ^= hash >> 27;
  hash *= 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

}  // namespace millrace::config
