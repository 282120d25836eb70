// Which of a server's certificates a client gets: by the name that it asks for, the keys that it can check, and whether the
// certificate may go without an OCSP staple. As Envoy chooses (source/docs and arch_overview/security/ssl, "Certificate
// selection"): exact name, then one-label wildcard, then the default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tls/context.h"
#include "tls/handshake.h"
#include "tls/openssl/own_certificate.h"

namespace millrace::tls {

class CertificateChoice {
 public:
  /// What the client said.
  struct Client {
    std::string_view server_name = {};   ///< in lower case; empty: none
    std::vector<int> ecdsa_curves = {};  ///< NIDs of those whose signatures it checks
    bool wants_staple = false;
  };
  struct Result {
    std::size_t index = 0;
    Staple staple = Staple::kNotAsked;
  };

  CertificateChoice() = default;
  /// `certificates`, at least one, have to stay where they are.
  CertificateChoice(const std::vector<OwnCertificate>& certificates, OcspPolicy policy, bool scan_on_mismatch);

  [[nodiscard]] Result choose(const Client& client, std::int64_t now) const;

 private:
  [[nodiscard]] Staple staple_for(const OwnCertificate& certificate, bool wanted, std::int64_t now) const;
  // The first with ECDSA that the client can check, else the first with RSA; -1: none of `indexes` will do.
  [[nodiscard]] int best_of(const std::vector<std::size_t>& indexes, const Client& client, std::int64_t now) const;
  [[nodiscard]] int best_by_name(const std::string& pattern, const Client& client, std::int64_t now) const;

  const std::vector<OwnCertificate>* certificates_ = nullptr;
  std::map<std::string, std::vector<std::size_t>, std::less<>> by_name_;  // wildcards as ".example.com"
  std::vector<std::size_t> all_;
  OcspPolicy policy_ = OcspPolicy::kLenientStapling;
  bool scan_on_mismatch_ = false;
};

}  // namespace millrace::tls
