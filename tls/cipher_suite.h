// The cipher suites whose records we protect ourselves: those with an AEAD and forward secrecy, which is what TLS 1.3 has and
// what deserves to be used of TLS 1.2 (RFC 8446 B.4, RFC 5289, RFC 7905).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace::tls {

enum class Version : std::uint8_t { kTls12, kTls13 };
enum class Aead : std::uint8_t { kAes128Gcm, kAes256Gcm, kChaCha20Poly1305 };
inline constexpr std::array kAeads = {Aead::kAes128Gcm, Aead::kAes256Gcm, Aead::kChaCha20Poly1305};
enum class Hash : std::uint8_t { kSha256, kSha384 };

inline constexpr std::size_t kNonceBytes = 12;  ///< of every AEAD here
inline constexpr std::size_t kTagBytes = 16;

[[nodiscard]] constexpr std::size_t key_bytes(Aead aead) { return aead == Aead::kAes128Gcm ? 16 : 32; }
[[nodiscard]] constexpr std::size_t hash_bytes(Hash hash) { return hash == Hash::kSha256 ? 32 : 48; }
[[nodiscard]] std::string_view to_text(Aead aead);

struct CipherSuite {
  std::uint16_t id = 0;  ///< as on the wire
  Version version = Version::kTls13;
  Aead aead = Aead::kAes128Gcm;
  Hash hash = Hash::kSha256;
  std::string_view name;  ///< OpenSSL's, which is Envoy's too

  /// Bytes of each record's nonce that the record itself carries: TLS 1.2 with AES-GCM (RFC 5288 3).
  [[nodiscard]] constexpr std::size_t explicit_nonce_bytes() const {
    return version == Version::kTls12 && aead != Aead::kChaCha20Poly1305 ? 8 : 0;
  }
  /// Bytes that are authenticated beside each record: its header, in TLS 1.2 behind its number (RFC 8446 5.2, RFC 5246 6.2.3.3).
  [[nodiscard]] constexpr std::size_t additional_bytes() const { return version == Version::kTls12 ? 13 : 5; }
};

/// Null for a suite that stays with OpenSSL. Lives for ever.
[[nodiscard]] const CipherSuite* find_cipher_suite(std::uint16_t id);

}  // namespace millrace::tls
