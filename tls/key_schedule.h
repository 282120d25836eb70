// From what a handshake leaves behind to the keys of records: HKDF for TLS 1.3 (RFC 8446 7.1 to 7.3), the PRF for TLS 1.2
// (RFC 5246 5 and 6.3).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tls/cipher_suite.h"
#include "tls/secret.h"

namespace millrace::tls {

/// What one direction of a connection is protected with.
struct TrafficKeys {
  Secret key;
  Secret iv;  ///< kNonceBytes; of TLS 1.2 with AES-GCM only the four that the records do not carry (the "salt")

  [[nodiscard]] bool valid() const { return !key.empty() && !iv.empty(); }
};

/// HKDF-Expand-Label(secret, label, "", bytes); at most as many bytes as the hash has. Empty when OpenSSL has no memory.
[[nodiscard]] Secret expand_label(Hash hash, std::span<const std::uint8_t> secret, std::string_view label, std::size_t bytes);

/// Of a TLS 1.3 traffic secret. Not valid() when OpenSSL has no memory.
[[nodiscard]] TrafficKeys traffic_keys(const CipherSuite& suite, std::span<const std::uint8_t> secret);

/// The secret that follows on a key update.
[[nodiscard]] Secret next_traffic_secret(const CipherSuite& suite, std::span<const std::uint8_t> secret);

struct KeyBlock {
  TrafficKeys client;  ///< what the client sends with
  TrafficKeys server;
};

/// Of a TLS 1.2 session: its master secret and both randoms, 32 bytes each.
[[nodiscard]] KeyBlock key_block(const CipherSuite& suite, std::span<const std::uint8_t> master_secret,
                                 std::span<const std::uint8_t> client_random, std::span<const std::uint8_t> server_random);

}  // namespace millrace::tls
