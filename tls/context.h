// What a listener or a cluster says of TLS (Envoy's DownstreamTlsContext, UpstreamTlsContext, CommonTlsContext), read and
// checked, as handshakes use it. Immutable; all workers and helper threads share it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/base/time.h"
#include "tls/certificate.h"
#include "tls/cipher_suite.h"

namespace millrace::tls {

enum class Role : std::uint8_t { kServer, kClient };

/// A chain, the leaf first, and its key: PEM, or one PKCS #12 in `chain` with an empty `key`.
struct CertificateConfig {
  std::string chain;
  std::string key;
  std::string password;       ///< of the key; empty: it has none
  std::string ocsp_response;  ///< DER, for stapling; empty: none
};

/// Whom we believe. Without any of it every certificate is taken, and servers ask for none; any of it makes them ask. With hashes
/// or names, unless accept_untrusted, a client without a certificate is refused even where none is required, as Envoy does.
struct ValidationConfig {
  std::string trusted_ca;  ///< PEM, any number of them; empty: chains are not verified
  std::string crl;         ///< PEM; empty: nothing is revoked
  bool crl_of_leaf_only = false;
  std::vector<Sha256> certificate_hashes;  ///< any of both lists is enough; both empty: not asked for
  std::vector<Sha256> public_key_hashes;
  /// Whether the leaf's names will do. Empty: they do. Called by whichever thread runs a handshake.
  std::function<bool(std::span<const SubjectName>)> accepts_names;
  bool accept_expired = false;    ///< allow_expired_certificate
  bool accept_untrusted = false;  ///< trust_chain_verification: ACCEPT_UNTRUSTED; the facts say that it was not verified
  std::optional<std::uint32_t> most_intermediates;  ///< max_verify_depth
};

enum class OcspPolicy : std::uint8_t { kLenientStapling, kStrictStapling, kMustStaple };

struct ContextConfig {
  Role role = Role::kServer;
  Version least_version = Version::kTls12;
  Version most_version = Version::kTls13;
  std::string ciphers;                            ///< of TLS 1.2, as Envoy writes them, joined by ':'; empty: our default
  std::vector<std::string> curves;                ///< in order of preference: "X25519", "P-256", "P-384"; empty: these
  std::vector<std::string> signature_algorithms;  ///< as Envoy names them: "rsa_pss_rsae_sha256"; empty: OpenSSL's
  std::vector<std::string> protocols;             ///< ALPN, in order of preference; empty: none
  std::vector<CertificateConfig> certificates;    ///< a server's: chosen by SNI and by the client's signature algorithms
  std::optional<ValidationConfig> validation;
  bool keep_records_in_openssl = false;  ///< record_engine: OPENSSL

  // A server's.
  bool require_client_certificate = false;
  bool tickets = true;  ///< stateless resumption
  std::vector<std::string>
      ticket_keys;  ///< 80 bytes each, as Envoy's: name 16, HMAC 32, AES 32; the first seals. Empty: our own, rotated
  Duration session_lifetime = Duration::seconds(7200);  ///< of tickets; at most 7 days (RFC 8446 4.6.1)
  OcspPolicy ocsp_policy = OcspPolicy::kLenientStapling;
  bool prefer_client_ciphers = false;
  /// A name that no certificate has gets the one whose key suits the client best, as a client without SNI does; false: the first.
  bool full_scan_certs_on_sni_mismatch = false;
  bool require_server_name = false;  ///< require_sni: a client that names no server is refused

  // A client's.
  std::string server_name;  ///< SNI; empty: none
  bool resume = true;       ///< offers sessions of earlier connections

  /// Seconds since 1970, for the validity of certificates, staples and ticket keys; any thread calls it. Empty: the system's.
  std::function<std::int64_t()> clock = {};
};

/// What is wrong with a ContextConfig, and with which part of it.
struct ContextError {
  enum class Part : std::uint8_t {
    kCertificate,
    kKey,
    kTrustedCa,
    kCrl,
    kOcsp,
    kCiphers,
    kCurves,
    kSignatureAlgorithms,
    kTicketKeys,
    kOther
  };
  Part part = Part::kOther;
  std::size_t index = 0;  ///< of the certificate or key
  std::string text;       ///< what, and what to do
};

class Context {
 public:
  /// An expired certificate of our own is refused: nobody would take it.
  [[nodiscard]] static Result<std::shared_ptr<const Context>, ContextError> make(const ContextConfig& config);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] Role role() const;
  [[nodiscard]] const std::string& server_name() const;  ///< a client's: ContextConfig::server_name
  /// Our leaves, in the order of the configuration, and the trusted authorities: for /certs.
  [[nodiscard]] const std::vector<CertificateFacts>& certificates() const;
  [[nodiscard]] const std::vector<CertificateFacts>& authorities() const;

  struct Impl;  ///< of tls/ alone
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  explicit Context(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::tls
