// A certificate of our own, with its chain and its key, ready for handshakes.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/base/result.h"
#include "tls/context.h"
#include "tls/openssl/handles.h"
#include "tls/openssl/ocsp_staple.h"

namespace millrace::tls {

struct OwnCertificate {
  CertificateHandle leaf;
  CertificatesHandle chain;  ///< behind the leaf
  KeyHandle key;
  int curve = 0;  ///< the NID of an ECDSA key's curve; NID_undef: RSA
  bool must_staple = false;
  std::optional<OcspStaple> staple = {};

  /// Takes what Envoy takes: RSA of 2048 bits and more, ECDSA with P-256, P-384 or P-521. `now` in seconds since 1970: one that
  /// has expired is refused. The error's `index` is the caller's.
  [[nodiscard]] static Result<OwnCertificate, ContextError> read(const CertificateConfig& config, std::int64_t now);
};

}  // namespace millrace::tls
