// Whom a context believes: chains, revocation, names and hashes of its peers' certificates. What Envoy's default validator does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"
#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/handshake.h"
#include "tls/openssl/handles.h"

namespace millrace::tls {

/// Why a certificate is refused.
struct Refusal {
  HandshakeFailure::Reason reason = HandshakeFailure::Reason::kUntrusted;
  int error = X509_V_ERR_CERT_REJECTED;  ///< OpenSSL's X509_V_ERR_..., which decides the alert
  std::string text;
};

class Trust {
 public:
  /// Takes every certificate.
  Trust() = default;
  /// Authorities, revocation lists and flags go into `context`, whose store verifies.
  [[nodiscard]] static Result<Trust, ContextError> make(const ValidationConfig& config, SSL_CTX* context);

  [[nodiscard]] bool verifies_chains() const { return verifies_chains_; }
  /// A server asks its clients for a certificate.
  [[nodiscard]] bool wants_certificate() const { return verifies_chains_ || pins() || config_.accept_untrusted; }
  /// And refuses those that have none: names and hashes can only be met by a certificate.
  [[nodiscard]] bool needs_certificate() const { return pins() && !config_.accept_untrusted; }
  [[nodiscard]] const std::vector<CertificateFacts>& authorities() const { return authorities_; }

  /// In a handshake: the chain in `chain`, then the leaf. `expected_name`, if there is one, is asked for instead of the
  /// configured names. `now` in seconds since 1970. Empty: taken. The error in `chain` is set so that the fitting alert goes out.
  [[nodiscard]] std::optional<Refusal> judge(X509_STORE_CTX* chain, std::string_view expected_name, std::int64_t now) const;
  /// For a session to be resumed, whose chain was verified under the same Trust: what may have changed since. Null: it has no
  /// certificate.
  [[nodiscard]] bool still_takes(X509* leaf, std::string_view expected_name, std::int64_t now) const;

  /// Adds all that decides whom we believe, so that sessions of another trust are not resumed.
  void add_to(EVP_MD_CTX* digest) const;

 private:
  [[nodiscard]] bool pins() const {
    return config_.accepts_names || !config_.certificate_hashes.empty() || !config_.public_key_hashes.empty();
  }
  [[nodiscard]] std::optional<Refusal> judge_names(X509* leaf, std::string_view expected_name) const;
  [[nodiscard]] std::optional<Refusal> judge_hashes(X509* leaf) const;

  ValidationConfig config_;  // without the PEM texts, which the store holds
  std::vector<CertificateFacts> authorities_;
  Sha256 revocation_{};  // of the revocation lists
  bool verifies_chains_ = false;
};

}  // namespace millrace::tls
