#include "tls/cipher_suite.h"

#include <algorithm>
#include <array>

namespace millrace::tls {
namespace {

constexpr auto kSuites = std::to_array<CipherSuite>({
    {0x1301, Version::kTls13, Aead::kAes128Gcm, Hash::kSha256, "TLS_AES_128_GCM_SHA256"},
    {0x1302, Version::kTls13, Aead::kAes256Gcm, Hash::kSha384, "TLS_AES_256_GCM_SHA384"},
    {0x1303, Version::kTls13, Aead::kChaCha20Poly1305, Hash::kSha256, "TLS_CHACHA20_POLY1305_SHA256"},
    {0xc02b, Version::kTls12, Aead::kAes128Gcm, Hash::kSha256, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {0xc02c, Version::kTls12, Aead::kAes256Gcm, Hash::kSha384, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {0xc02f, Version::kTls12, Aead::kAes128Gcm, Hash::kSha256, "ECDHE-RSA-AES128-GCM-SHA256"},
    {0xc030, Version::kTls12, Aead::kAes256Gcm, Hash::kSha384, "ECDHE-RSA-AES256-GCM-SHA384"},
    {0xcca8, Version::kTls12, Aead::kChaCha20Poly1305, Hash::kSha256, "ECDHE-RSA-CHACHA20-POLY1305"},
    {0xcca9, Version::kTls12, Aead::kChaCha20Poly1305, Hash::kSha256, "ECDHE-ECDSA-CHACHA20-POLY1305"},
});

}  // namespace

std::string_view to_text(Aead aead) {
  switch (aead) {
    case Aead::kAes128Gcm: return "AES-128-GCM";
    case Aead::kAes256Gcm: return "AES-256-GCM";
    case Aead::kChaCha20Poly1305: return "ChaCha20-Poly1305";
  }
  return "unknown";
}

const CipherSuite* find_cipher_suite(std::uint16_t id) {
  const auto* found = std::ranges::find(kSuites, id, &CipherSuite::id);
  return found == kSuites.end() ? nullptr : found;
}

}  // namespace millrace::tls
