// DownstreamTlsContext and UpstreamTlsContext -> tls::Context, as the files that they name are now. This is what runs when a
// configuration is loaded and again when one of the files has changed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control-agent/secrets/secret_store.h"
#include "control-agent/tls_certificates.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/tls_validation.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "tls/context.h"

namespace millrace::agent {

/// All that a context is made of but for the content of files. Kept as long as the context may have to be made again.
struct TlsSource {
  tls::Role role = tls::Role::kServer;
  envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext downstream;  ///< a server's
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext upstream;      ///< a client's
  Site site;
  std::shared_ptr<const StaticSecrets> secrets;
  std::shared_ptr<DiscoveredSecrets> discovered;  ///< null: there is no control plane
  bool keep_records_in_openssl = false;
  bool http = false;  ///< it carries HTTP, of which HTTP/2 is not spoken yet: "h2" is left out of alpn_protocols
};

/// What the library is asked for, and where each part of it was written. The places have no texts.
struct ContextPlan {
  struct CertificatePlaces {
    ReadText chain;
    ReadText key;
    ReadText ocsp;
  };

  tls::ContextConfig config;
  std::vector<CertificatePlaces> certificates;
  ReadText trusted_ca;
  ReadText crl;
  std::vector<ReadText> ticket_keys;
  Site parameters;  ///< tls_params
  Site whole;
};

/// Errors go to `reader`; when it has failed, the plan is not meant to be used.
[[nodiscard]] ContextPlan plan_context(const TlsSource& source, SecretReader& reader);

/// Where the mistake is that the library complains about, and what is wrong there.
[[nodiscard]] std::pair<Site, std::string> blame(const ContextPlan& plan, const tls::ContextError& error);

/// Plans and makes; without a context as long as secrets of a control plane are missing. Nothing after an error.
[[nodiscard]] std::optional<MadeContext> make_context(const TlsSource& source, FileReader& files, Diagnostics& diagnostics);

}  // namespace millrace::agent
