#include "control-agent/tls_certificates.h"

#include <utility>

namespace millrace::agent {

namespace tls_api = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::core::v3::DataSource;

namespace {

constexpr std::size_t kTicketKeyBytes = 80;

/// The text of a part that must be there, moved to where it belongs; `origin` keeps the rest.
bool take(std::optional<ReadText> read, std::string& text, ReadText& origin, SecretReader& reader) {
  if (!read) return false;
  text = std::exchange(read->text, {});
  origin = std::move(*read);
  if (text.empty()) reader.error(origin.site, origin.blame("is empty"));
  return !text.empty();
}

bool read_pkcs12(const tls_api::TlsCertificate& certificate, const Site& site, CertificateParts& out, SecretReader& reader) {
  if (certificate.has_certificate_chain() || certificate.has_private_key()) {
    reader.error(site.at("pkcs12"), "cannot be set together with certificate_chain or private_key: it holds both");
    return false;
  }
  if (!take(reader.read(certificate.pkcs12(), site.at("pkcs12")), out.config.chain, out.chain, reader)) return false;
  out.key = out.chain;
  return true;
}

bool read_pair(const tls_api::TlsCertificate& certificate, const Site& site, CertificateParts& out, SecretReader& reader) {
  const auto part = [&](bool is_set, const DataSource& source, const char* field, const char* what, std::string& text,
                        ReadText& origin) {
    if (is_set) return take(reader.read(source, site.at(field)), text, origin, reader);
    reader.error(site.at(field), std::string("must be set: a certificate is of no use without its ") + what);
    return false;
  };
  const bool has_chain = part(certificate.has_certificate_chain(), certificate.certificate_chain(), "certificate_chain", "chain",
                              out.config.chain, out.chain);
  const bool has_key =
      part(certificate.has_private_key(), certificate.private_key(), "private_key", "key", out.config.key, out.key);
  return has_chain && has_key;
}

}  // namespace

std::optional<CertificateParts> read_certificate(const tls_api::TlsCertificate& certificate, const Site& site,
                                                 SecretReader& reader) {
  if (certificate.has_private_key_provider()) {
    reader.leave_out();
    return std::nullopt;
  }
  CertificateParts out;
  bool good = certificate.has_pkcs12() ? read_pkcs12(certificate, site, out, reader) : read_pair(certificate, site, out, reader);
  if (certificate.has_password()) {
    auto password = reader.read(certificate.password(), site.at("password"));
    good &= password.has_value();
    if (password) out.config.password = std::move(password->text);
  }
  if (certificate.has_ocsp_staple()) {
    const Site staple = site.at("ocsp_staple");
    if (certificate.ocsp_staple().specifier_case() == DataSource::kInlineString) {
      reader.error(staple.at("inline_string"), "cannot hold an OCSP response, which is binary: use inline_bytes or filename");
      good = false;
    } else {
      good &= take(reader.read(certificate.ocsp_staple(), staple), out.config.ocsp_response, out.ocsp, reader);
    }
  }
  return good ? std::optional(std::move(out)) : std::nullopt;
}

std::vector<ReadText> read_ticket_keys(const tls_api::TlsSessionTicketKeys& keys, const Site& site, SecretReader& reader) {
  std::vector<ReadText> out;
  for (int i = 0; i < keys.keys_size(); ++i) {
    auto key = reader.read(keys.keys(i), site.at("keys", i));
    if (!key) continue;
    if (key->text.size() != kTicketKeyBytes) {
      reader.error(key->site, key->blame("a session ticket key has " + std::to_string(kTicketKeyBytes) + " bytes, this one has " +
                                         std::to_string(key->text.size()) + "; make one with: openssl rand " +
                                         std::to_string(kTicketKeyBytes)));
    }
    out.push_back(std::move(*key));
  }
  return out;
}

}  // namespace millrace::agent
