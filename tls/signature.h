// Public keys that verify signatures as JSON Web Algorithms name them (RFC 7518 3, RFC 8037), made once and shared by all
// threads. Which key is meant for which token, and where keys come from, is for others to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace millrace::tls {

enum class SignatureAlgorithm : std::uint8_t {
  kRs256,
  kRs384,
  kRs512,  // RSASSA-PKCS1-v1_5
  kPs256,
  kPs384,
  kPs512,  // RSASSA-PSS, with a salt as long as the hash
  kEs256,
  kEs384,
  kEs512,  // ECDSA with P-256, P-384, P-521; a signature is r and s, of the same length
  kHs256,
  kHs384,
  kHs512,  // HMAC
  kEdDsa,  // Ed25519
};

/// "RS256" and the like; nothing: another one, "none" among them.
[[nodiscard]] std::optional<SignatureAlgorithm> signature_algorithm(std::string_view name);

/// Of an Ed25519 signature (RFC 8032 5.1.6).
inline constexpr std::size_t kEd25519SignatureBytes = 64;

/// Immutable. An error says what is wrong with the key.
class SignatureKey {
 public:
  enum class Curve : std::uint8_t { kP256, kP384, kP521 };
  using Made = Result<std::shared_ptr<const SignatureKey>, std::string>;

  // Numbers are big-endian.
  /// 1,024 to 8,192 bits, an exponent of 3 or 65,537: others are mistakes, or meant to keep us busy.
  [[nodiscard]] static Made rsa(std::string_view modulus, std::string_view exponent);
  [[nodiscard]] static Made ec(Curve curve, std::string_view x, std::string_view y);
  [[nodiscard]] static Made ed25519(std::string_view key);  ///< 32 bytes
  [[nodiscard]] static Made hmac(std::string_view secret);  ///< at least one byte
  /// The key of a certificate in PEM, an RSA key; whether the certificate is valid does not matter.
  [[nodiscard]] static Made of_certificate(std::string_view pem);
  ~SignatureKey();
  SignatureKey(const SignatureKey&) = delete;
  SignatureKey& operator=(const SignatureKey&) = delete;

  /// False also when the algorithm is not one of this kind of key (or of its curve). Any thread. OpenSSL allocates while it
  /// works.
  [[nodiscard]] bool verifies(SignatureAlgorithm algorithm, std::string_view data, std::string_view signature) const;

 private:
  struct Impl;
  explicit SignatureKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::tls
