// Hashes whose values are part of a contract: clients and other gateways count on the same key meeting the same endpoint.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

/// XXH64 of the xxHash family.
[[nodiscard]] std::uint64_t xx_hash_64(std::string_view bytes, std::uint64_t seed = 0);

/// MurmurHash2 for 64-bit platforms (MurmurHash64A), by default as std::hash of libstdc++ seeds it.
inline constexpr std::uint64_t kStdHashSeed = 0xc70f6907;
[[nodiscard]] std::uint64_t murmur_hash_2(std::string_view bytes, std::uint64_t seed = kStdHashSeed);

}  // namespace millrace
