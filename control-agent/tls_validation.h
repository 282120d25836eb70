// envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext -> tls::ValidationConfig: whom we believe.
#pragma once

#include <optional>

#include "control-agent/tls_secrets.h"
#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"
#include "tls/context.h"

namespace millrace::agent {

/// The messages that say it, and where they stand.
class ValidationSource {
 public:
  using Message = envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext;

  explicit ValidationSource(Message message, Site site) : merged_(std::move(message)), site_(std::move(site)) {
    own_.CopyFrom(merged_);
  }
  /// combined_validation_context: what the secret sets wins over the default, its lists are added behind (protobuf's merge).
  void merge(const Message& secret, Site site);

  [[nodiscard]] const Message& message() const { return merged_; }
  /// Where the value of a field stands.
  [[nodiscard]] Site at(const char* field) const;
  /// Where an element of a repeated field stands.
  [[nodiscard]] Site at(const char* field, int index) const;

 private:
  Message merged_;
  Message own_;
  Site site_;
  Message secret_;
  Site secret_site_;
};

struct ValidationParts {
  tls::ValidationConfig config;
  ReadText trusted_ca;  ///< without its text
  ReadText crl;
};

/// Errors go to `reader`; after one the result is not meant to be used.
[[nodiscard]] ValidationParts read_validation(const ValidationSource& source, SecretReader& reader);

/// Nothing says whom to believe, not even that anybody will do.
[[nodiscard]] bool believes_anybody(const tls::ValidationConfig& config);

}  // namespace millrace::agent
