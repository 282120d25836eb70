// What is known of a certificate once it was read: copied out, so that nothing of OpenSSL has to live on for it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::tls {

enum class NameKind : std::uint8_t { kDns, kUri, kEmail, kIpAddress };

/// One of a certificate's subject alternative names (RFC 5280 4.2.1.6).
struct SubjectName {
  NameKind kind = NameKind::kDns;
  std::string value;  ///< addresses as text
};

/// Whether `name` is what `pattern`, a name of a certificate, stands for: the same in any case of letters, or with a star for a
/// part of the first label alone (RFC 6125 6.4.3, as Envoy reads it), never for one of an internationalised label ("xn--").
[[nodiscard]] bool matches_dns_name(std::string_view pattern, std::string_view name);

using Sha256 = std::array<std::uint8_t, 32>;

struct CertificateFacts {
  std::string subject;  ///< as RFC 2253 writes it
  std::string issuer;
  std::string serial;  ///< hexadecimal, lower case
  std::vector<SubjectName> names;
  Sha256 fingerprint{};         ///< of the certificate
  Sha256 public_key{};          ///< of the SubjectPublicKeyInfo
  std::int64_t not_before = 0;  ///< seconds since 1970
  std::int64_t not_after = 0;
  std::string pem;
};

/// A peer's leaf, and what came with it.
struct PeerCertificate : CertificateFacts {
  std::string chain;  ///< PEM, the leaf first
};

}  // namespace millrace::tls
