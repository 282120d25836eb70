// envoy.extensions.transport_sockets.tls.v3.TlsCertificate and TlsSessionTicketKeys -> what tls::ContextConfig has of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control-agent/tls_secrets.h"
#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"
#include "tls/context.h"

namespace millrace::agent {

/// A certificate with its key, and where each part came from.
struct CertificateParts {
  tls::CertificateConfig config;
  ReadText chain;  ///< without its text
  ReadText key;
  ReadText ocsp;
};

/// Nothing after an error. What the texts hold is for tls::Context::make to judge.
[[nodiscard]] std::optional<CertificateParts> read_certificate(
    const envoy::extensions::transport_sockets::tls::v3::TlsCertificate& certificate, const Site& site, SecretReader& reader);

/// In their order: the first seals. Each has 80 bytes.
[[nodiscard]] std::vector<ReadText> read_ticket_keys(
    const envoy::extensions::transport_sockets::tls::v3::TlsSessionTicketKeys& keys, const Site& site, SecretReader& reader);

}  // namespace millrace::agent
