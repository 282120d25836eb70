#include "control-agent/tls_validation.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "control-agent/scalars.h"
#include "control-agent/subject_names.h"

namespace millrace::agent {

namespace tls_api = envoy::extensions::transport_sockets::tls::v3;
using tls::NameKind;
using tls_api::CertificateValidationContext;
using tls_api::SubjectAltNameMatcher;

namespace {

bool has(const CertificateValidationContext& message, const google::protobuf::FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  return field.is_repeated() ? reflection.FieldSize(message, &field) > 0 : reflection.HasField(message, &field);
}

const google::protobuf::FieldDescriptor& field_of(const char* name) {
  return *CertificateValidationContext::descriptor()->FindFieldByName(name);
}

std::optional<tls::Sha256> to_hash(std::string_view bytes) {
  tls::Sha256 hash{};
  if (bytes.size() != hash.size()) return std::nullopt;
  std::ranges::transform(bytes, hash.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
  return hash;
}

/// "df6f..." or "DF:6F:...".
std::optional<tls::Sha256> parse_hexadecimal_hash(std::string_view text) {
  const std::size_t step = text.contains(':') ? 3 : 2;
  tls::Sha256 hash{};
  if (text.size() != hash.size() * step - (step - 2)) return std::nullopt;
  const auto digit = [](char c) -> unsigned {
    const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return lower >= 'a' ? static_cast<unsigned>(lower - 'a' + 10) : static_cast<unsigned>(lower - '0');
  };
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const std::string_view part = text.substr(i * step, step);
    if (std::isxdigit(static_cast<unsigned char>(part[0])) == 0 || std::isxdigit(static_cast<unsigned char>(part[1])) == 0) {
      return std::nullopt;
    }
    if (part.size() == 3 && part[2] != ':') return std::nullopt;
    hash[i] = static_cast<std::uint8_t>(digit(part[0]) << 4 | digit(part[1]));
  }
  return hash;
}

void read_hashes(const ValidationSource& source, tls::ValidationConfig& out, SecretReader& reader) {
  const auto& message = source.message();
  for (int i = 0; i < message.verify_certificate_hash_size(); ++i) {
    if (const auto hash = parse_hexadecimal_hash(message.verify_certificate_hash(i))) {
      out.certificate_hashes.push_back(*hash);
    } else {
      reader.error(source.at("verify_certificate_hash", i),
                   "must be a SHA-256 in hexadecimal, with or without colons; for a certificate: openssl x509 -noout "
                   "-fingerprint -sha256");
    }
  }
  for (int i = 0; i < message.verify_certificate_spki_size(); ++i) {
    const auto bytes = decode_base64(message.verify_certificate_spki(i));
    if (const auto hash = bytes ? to_hash(*bytes) : std::nullopt) {
      out.public_key_hashes.push_back(*hash);
    } else {
      reader.error(source.at("verify_certificate_spki", i), "must be the SHA-256 of a public key in base64");
    }
  }
}

std::optional<NameKind> kind_of(SubjectAltNameMatcher::SanType type) {
  switch (type) {
    case SubjectAltNameMatcher::EMAIL: return NameKind::kEmail;
    case SubjectAltNameMatcher::DNS: return NameKind::kDns;
    case SubjectAltNameMatcher::URI: return NameKind::kUri;
    case SubjectAltNameMatcher::IP_ADDRESS: return NameKind::kIpAddress;
    default: return std::nullopt;
  }
}

void read_names(const ValidationSource& source, tls::ValidationConfig& out, SecretReader& reader) {
  const auto& message = source.message();
  std::vector<SubjectNameMatcher> matchers;
  const auto add = [&](const auto& matcher, std::vector<NameKind> kinds, const Site& site) {
    auto made = make_name_matcher(matcher, std::move(kinds));
    if (made) {
      matchers.push_back(std::move(*made));
    } else {
      reader.error(made.error().field.empty() ? site : site.at(made.error().field), std::move(made.error().text));
    }
  };
  for (int i = 0; i < message.match_typed_subject_alt_names_size(); ++i) {
    const auto& typed = message.match_typed_subject_alt_names(i);
    const Site site = source.at("match_typed_subject_alt_names", i);
    if (const auto kind = kind_of(typed.san_type())) {
      add(typed.matcher(), {*kind}, site.at("matcher"));
    } else {
      reader.error(site.at("san_type"), SubjectAltNameMatcher::SanType_Name(typed.san_type()) +
                                            " is not supported yet: use EMAIL, DNS, URI or IP_ADDRESS");
    }
  }
  for (int i = 0; i < message.match_subject_alt_names_size(); ++i) {
    add(message.match_subject_alt_names(i), {NameKind::kDns, NameKind::kUri, NameKind::kEmail, NameKind::kIpAddress},
        source.at("match_subject_alt_names", i));
  }
  if (message.match_typed_subject_alt_names_size() > 0 && message.match_subject_alt_names_size() > 0) {
    reader.error(source.at("match_subject_alt_names"),
                 "cannot be set together with match_typed_subject_alt_names, which replaces it");
  }
  out.accepts_names = accept_any_of(std::move(matchers));
}

/// The text of `read` moves to `text`.
void take(std::optional<ReadText> read, std::string& text, ReadText& origin, SecretReader& reader) {
  if (!read) return;
  text = std::exchange(read->text, {});
  origin = std::move(*read);
  if (text.empty()) reader.error(origin.site, origin.blame("is empty"));
}

}  // namespace

void ValidationSource::merge(const Message& secret, Site site) {
  secret_ = secret;
  secret_site_ = std::move(site);
  merged_.MergeFrom(secret);
}

Site ValidationSource::at(const char* field) const { return (has(secret_, field_of(field)) ? secret_site_ : site_).at(field); }

Site ValidationSource::at(const char* field, int index) const {
  const int own = own_.GetReflection()->FieldSize(own_, &field_of(field));
  return index < own ? site_.at(field, index) : secret_site_.at(field, index - own);
}

ValidationParts read_validation(const ValidationSource& source, SecretReader& reader) {
  const auto& message = source.message();
  ValidationParts out;
  if (message.has_trusted_ca()) {
    take(reader.read(message.trusted_ca(), source.at("trusted_ca")), out.config.trusted_ca, out.trusted_ca, reader);
  }
  if (message.has_crl()) take(reader.read(message.crl(), source.at("crl")), out.config.crl, out.crl, reader);
  read_hashes(source, out.config, reader);
  read_names(source, out.config, reader);
  out.config.crl_of_leaf_only = message.only_verify_leaf_cert_crl();
  out.config.accept_expired = message.allow_expired_certificate();
  out.config.accept_untrusted = message.trust_chain_verification() == CertificateValidationContext::ACCEPT_UNTRUSTED;
  if (message.has_max_verify_depth()) {
    // Envoy counts the trust anchor, and not the leaf.
    out.config.most_intermediates = std::max(message.max_verify_depth().value(), 1U) - 1;
  }
  if (message.has_trusted_ca()) return out;
  const std::string missing = "needs trusted_ca: without it anybody can make a certificate ";
  if (message.has_crl()) reader.error(source.at("crl"), missing + "that is not on the list");
  for (const char* field : {"match_typed_subject_alt_names", "match_subject_alt_names"}) {
    if (has(message, field_of(field))) reader.error(source.at(field), missing + "with such a name");
  }
  return out;
}

bool believes_anybody(const tls::ValidationConfig& config) {
  return config.trusted_ca.empty() && config.certificate_hashes.empty() && config.public_key_hashes.empty() &&
         !config.accept_untrusted;
}

}  // namespace millrace::agent
