// From OpenSSL's certificates to plain facts, and from PEM to OpenSSL's certificates.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tls/certificate.h"
#include "tls/openssl/handles.h"

namespace millrace::tls {

[[nodiscard]] CertificateFacts facts_of(X509* certificate);
[[nodiscard]] std::string pem_of(X509* certificate);
[[nodiscard]] std::string subject_of(X509* certificate);
[[nodiscard]] std::vector<SubjectName> names_of(X509* certificate);
/// What SNI is compared with: DNS names, or the subject's common name in a certificate without any other (RFC 6125 6.4.4).
[[nodiscard]] std::vector<std::string> server_names_of(X509* certificate);
[[nodiscard]] Sha256 fingerprint_of(X509* certificate);
[[nodiscard]] Sha256 public_key_hash_of(X509* certificate);

/// Seconds since 1970; 0 for a time that is none.
[[nodiscard]] std::int64_t to_seconds(const ASN1_TIME* time);
/// "2026-01-31 12:00:00 UTC".
[[nodiscard]] std::string time_text(std::int64_t seconds);

/// Never asks the terminal: an encrypted key has the password that `user`, a std::string, holds, or none.
int give_password(char* to, int size, int writing, void* user);

}  // namespace millrace::tls
