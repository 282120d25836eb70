#include "tls/key_schedule.h"

#include <algorithm>
#include <array>
#include <vector>

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace millrace::tls {
namespace {

constexpr std::size_t kMostHashBytes = 48;

const EVP_MD* digest_of(Hash hash) { return hash == Hash::kSha256 ? EVP_sha256() : EVP_sha384(); }

// False when OpenSSL has no memory.
bool hmac(Hash hash, std::span<const std::uint8_t> key, std::span<const std::uint8_t> data, std::span<std::uint8_t> out) {
  unsigned size = 0;
  return HMAC(digest_of(hash), key.data(), static_cast<int>(key.size()), data.data(), data.size(), out.data(), &size) !=
             nullptr &&
         size == out.size();
}

void append(std::vector<std::uint8_t>& to, std::span<const std::uint8_t> bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}
void append(std::vector<std::uint8_t>& to, std::string_view text) { to.insert(to.end(), text.begin(), text.end()); }

// P_hash(secret, seed), RFC 5246 5.
bool expand_prf(Hash hash, std::span<const std::uint8_t> secret, std::span<const std::uint8_t> seed,
                std::span<std::uint8_t> out) {
  std::array<std::uint8_t, kMostHashBytes> a_bytes{};
  std::array<std::uint8_t, kMostHashBytes> block_bytes{};
  const auto a = std::span(a_bytes).first(hash_bytes(hash));
  const auto block = std::span(block_bytes).first(hash_bytes(hash));
  bool good = hmac(hash, secret, seed, a);
  for (; good && !out.empty(); out = out.subspan(std::min(out.size(), block.size()))) {
    std::vector<std::uint8_t> input(a.begin(), a.end());
    append(input, seed);
    std::array<std::uint8_t, kMostHashBytes> next_bytes{};
    const auto next = std::span(next_bytes).first(a.size());
    good = hmac(hash, secret, input, block) && hmac(hash, secret, a, next);
    std::ranges::copy(block.first(std::min(out.size(), block.size())), out.begin());
    std::ranges::copy(next, a.begin());
  }
  wipe(block_bytes);
  return good;
}

}  // namespace

Secret expand_label(Hash hash, std::span<const std::uint8_t> secret, std::string_view label, std::size_t bytes) {
  constexpr std::string_view kPrefix = "tls13 ";
  MR_ASSERT(bytes <= hash_bytes(hash));  // one block of HKDF-Expand
  std::vector<std::uint8_t> info = {static_cast<std::uint8_t>(bytes >> 8), static_cast<std::uint8_t>(bytes),
                                    static_cast<std::uint8_t>(kPrefix.size() + label.size())};
  append(info, kPrefix);
  append(info, label);
  info.push_back(0);  // no context
  info.push_back(1);  // the first block
  Secret block(hash_bytes(hash));
  if (!hmac(hash, secret, info, block.bytes())) return {};
  return Secret(block.bytes().first(bytes));
}

TrafficKeys traffic_keys(const CipherSuite& suite, std::span<const std::uint8_t> secret) {
  return {expand_label(suite.hash, secret, "key", key_bytes(suite.aead)), expand_label(suite.hash, secret, "iv", kNonceBytes)};
}

Secret next_traffic_secret(const CipherSuite& suite, std::span<const std::uint8_t> secret) {
  return expand_label(suite.hash, secret, "traffic upd", hash_bytes(suite.hash));
}

KeyBlock key_block(const CipherSuite& suite, std::span<const std::uint8_t> master_secret,
                   std::span<const std::uint8_t> client_random, std::span<const std::uint8_t> server_random) {
  const std::size_t key = key_bytes(suite.aead);
  const std::size_t iv = kNonceBytes - suite.explicit_nonce_bytes();
  std::vector<std::uint8_t> seed;
  append(seed, "key expansion");
  append(seed, server_random);
  append(seed, client_random);
  std::array<std::uint8_t, 2 * (32 + kNonceBytes)> bytes{};
  KeyBlock block;
  if (expand_prf(suite.hash, master_secret, seed, std::span(bytes).first(2 * (key + iv)))) {
    const auto part = [&](std::size_t at, std::size_t size) { return Secret(std::span(bytes).subspan(at, size)); };
    block.client = {part(0, key), part(2 * key, iv)};
    block.server = {part(key, key), part(2 * key + iv, iv)};
  }
  wipe(bytes);
  return block;
}

}  // namespace millrace::tls
