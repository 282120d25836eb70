#include "control-agent/tls_plan.h"

#include <algorithm>

#include "control-agent/scalars.h"

namespace millrace::agent {

namespace tls_api = envoy::extensions::transport_sockets::tls::v3;
using tls_api::CommonTlsContext;
using tls_api::DownstreamTlsContext;
using tls_api::Secret;
using tls_api::TlsParameters;

namespace {

constexpr std::size_t kMostProtocolBytes = 255;  // RFC 7301 3.1

tls::Version read_version(TlsParameters::TlsProtocol version, tls::Version automatic, const Site& site, SecretReader& reader) {
  switch (version) {
    case TlsParameters::TLSv1_2: return tls::Version::kTls12;
    case TlsParameters::TLSv1_3: return tls::Version::kTls13;
    case TlsParameters::TLSv1_0:
    case TlsParameters::TLSv1_1:
      reader.error(site, TlsParameters::TlsProtocol_Name(version) +
                             " is not supported: versions below TLS 1.2 must not be used any more (RFC 8996); use TLSv1_2 or "
                             "TLSv1_3");
      return automatic;
    default: return automatic;
  }
}

void plan_parameters(const TlsParameters& parameters, ContextPlan& plan, SecretReader& reader) {
  tls::ContextConfig& out = plan.config;
  const Site most = plan.parameters.at("tls_maximum_protocol_version");
  out.least_version = read_version(parameters.tls_minimum_protocol_version(), tls::Version::kTls12,
                                   plan.parameters.at("tls_minimum_protocol_version"), reader);
  // Envoy's defaults: what upstream may speak has to be said, TLS 1.3 included.
  const auto automatic = out.role == tls::Role::kServer ? tls::Version::kTls13 : tls::Version::kTls12;
  out.most_version =
      read_version(parameters.tls_maximum_protocol_version(), std::max(automatic, out.least_version), most, reader);
  if (out.most_version < out.least_version) reader.error(most, "is below tls_minimum_protocol_version");
  for (const std::string& suite : parameters.cipher_suites()) out.ciphers += (out.ciphers.empty() ? "" : ":") + suite;
  out.curves = {parameters.ecdh_curves().begin(), parameters.ecdh_curves().end()};
  out.signature_algorithms = {parameters.signature_algorithms().begin(), parameters.signature_algorithms().end()};
}

void plan_certificates(const CommonTlsContext& common, const Site& site, ContextPlan& plan, SecretReader& reader) {
  const auto add = [&](const tls_api::TlsCertificate& certificate, const Site& where) {
    auto parts = read_certificate(certificate, where, reader);
    if (!parts) return;
    plan.config.certificates.push_back(std::move(parts->config));
    plan.certificates.push_back({std::move(parts->chain), std::move(parts->key), std::move(parts->ocsp)});
  };
  for (int i = 0; i < common.tls_certificates_size(); ++i) add(common.tls_certificates(i), site.at("tls_certificates", i));
  for (int i = 0; i < common.tls_certificate_sds_secret_configs_size(); ++i) {
    const auto found = reader.find(common.tls_certificate_sds_secret_configs(i), Secret::kTlsCertificate,
                                   site.at("tls_certificate_sds_secret_configs", i));
    if (found) add(found->secret.tls_certificate(), found->site.at("tls_certificate"));
  }
  const int count = common.tls_certificates_size() + common.tls_certificate_sds_secret_configs_size();
  if (common.tls_certificates_size() > 0 && common.tls_certificate_sds_secret_configs_size() > 0) {
    reader.error(site.at("tls_certificate_sds_secret_configs"), "cannot be set together with tls_certificates: choose one");
  }
  if (common.has_tls_certificate_provider_instance() || common.has_tls_certificate_certificate_provider() ||
      common.has_tls_certificate_certificate_provider_instance()) {
    reader.leave_out();
  } else if (plan.config.role == tls::Role::kServer && count == 0) {
    reader.error(site, "needs tls_certificates or tls_certificate_sds_secret_configs: a server has to show a certificate");
  } else if (plan.config.role == tls::Role::kClient && count > 1) {
    reader.error(site.at(common.tls_certificates_size() > 1 ? "tls_certificates" : "tls_certificate_sds_secret_configs"),
                 "must hold one certificate at most: a client has no way to choose, holds " + std::to_string(count));
  }
}

std::optional<ValidationSource> find_validation(const CommonTlsContext& common, const Site& site, SecretReader& reader) {
  switch (common.validation_context_type_case()) {
    case CommonTlsContext::kValidationContext:
      return ValidationSource(common.validation_context(), site.at("validation_context"));
    case CommonTlsContext::kValidationContextSdsSecretConfig: {
      const auto found = reader.find(common.validation_context_sds_secret_config(), Secret::kValidationContext,
                                     site.at("validation_context_sds_secret_config"));
      if (!found) return std::nullopt;
      return ValidationSource(found->secret.validation_context(), found->site.at("validation_context"));
    }
    case CommonTlsContext::kCombinedValidationContext: {
      const auto& combined = common.combined_validation_context();
      const Site both = site.at("combined_validation_context");
      const auto found = reader.find(combined.validation_context_sds_secret_config(), Secret::kValidationContext,
                                     both.at("validation_context_sds_secret_config"));
      if (!found) return std::nullopt;
      ValidationSource source(combined.default_validation_context(), both.at("default_validation_context"));
      source.merge(found->secret.validation_context(), found->site.at("validation_context"));
      return source;
    }
    case CommonTlsContext::VALIDATION_CONTEXT_TYPE_NOT_SET: return std::nullopt;
    default: reader.leave_out(); return std::nullopt;  // certificate providers
  }
}

void plan_validation(const CommonTlsContext& common, const Site& site, ContextPlan& plan, SecretReader& reader) {
  const auto source = find_validation(common, site, reader);
  if (!source) return;
  auto parts = read_validation(*source, reader);
  plan.config.validation = std::move(parts.config);
  plan.trusted_ca = std::move(parts.trusted_ca);
  plan.crl = std::move(parts.crl);
}

void plan_common(const CommonTlsContext& common, const Site& site, bool http, ContextPlan& plan, SecretReader& reader) {
  plan.parameters = site.at("tls_params");
  plan_parameters(common.tls_params(), plan, reader);
  plan_certificates(common, site, plan, reader);
  plan_validation(common, site, plan, reader);
  for (int i = 0; i < common.alpn_protocols_size(); ++i) {
    const std::string& protocol = common.alpn_protocols(i);
    if (protocol.empty() || protocol.size() > kMostProtocolBytes) {
      reader.error(site.at("alpn_protocols", i),
                   "must have 1 to " + std::to_string(kMostProtocolBytes) + " bytes, has " + std::to_string(protocol.size()));
    }
    if (!(http && protocol == "h2")) plan.config.protocols.push_back(protocol);
  }
}

void plan_tickets(const DownstreamTlsContext& context, const Site& site, ContextPlan& plan, SecretReader& reader) {
  plan.config.tickets = !context.disable_stateless_session_resumption();
  if (context.has_session_ticket_keys()) {
    plan.ticket_keys = read_ticket_keys(context.session_ticket_keys(), site.at("session_ticket_keys"), reader);
  } else if (context.has_session_ticket_keys_sds_secret_config()) {
    const auto found = reader.find(context.session_ticket_keys_sds_secret_config(), Secret::kSessionTicketKeys,
                                   site.at("session_ticket_keys_sds_secret_config"));
    if (found)
      plan.ticket_keys = read_ticket_keys(found->secret.session_ticket_keys(), found->site.at("session_ticket_keys"), reader);
  }
  for (ReadText& key : plan.ticket_keys) plan.config.ticket_keys.push_back(std::exchange(key.text, {}));
}

void plan_server(const TlsSource& source, ContextPlan& plan, SecretReader& reader) {
  const DownstreamTlsContext& context = source.downstream;
  tls::ContextConfig& out = plan.config;
  plan_common(context.common_tls_context(), source.site.at("common_tls_context"), source.http, plan, reader);
  plan_tickets(context, source.site, plan, reader);
  out.require_client_certificate = context.require_client_certificate().value();
  out.require_server_name = context.require_sni().value();
  out.full_scan_certs_on_sni_mismatch = context.full_scan_certs_on_sni_mismatch().value();
  if (context.has_session_timeout()) out.session_lifetime = Duration::seconds(context.session_timeout().seconds());
  switch (context.ocsp_staple_policy()) {
    case DownstreamTlsContext::STRICT_STAPLING: out.ocsp_policy = tls::OcspPolicy::kStrictStapling; break;
    case DownstreamTlsContext::MUST_STAPLE: out.ocsp_policy = tls::OcspPolicy::kMustStaple; break;
    default: break;
  }
  if (out.require_client_certificate && !reader.failed() && !reader.waits() &&
      believes_anybody(out.validation.value_or(tls::ValidationConfig{}))) {
    reader.error(source.site.at("require_client_certificate"),
                 "needs a validation context that says whom to believe: trusted_ca, or certificates by their hash; without it "
                 "every certificate would do");
  }
}

void plan_client(const TlsSource& source, ContextPlan& plan, SecretReader& reader) {
  plan_common(source.upstream.common_tls_context(), source.site.at("common_tls_context"), source.http, plan, reader);
  plan.config.server_name = source.upstream.sni();
  plan.config.resume = !source.upstream.has_max_session_keys() || source.upstream.max_session_keys().value() > 0;
  if (!reader.failed() && !reader.waits() && believes_anybody(plan.config.validation.value_or(tls::ValidationConfig{}))) {
    reader.warning(source.site, "has no trusted_ca: whoever answers at the endpoint's address is believed to be it");
  }
}

std::string shown_path(const ReadText& place) { return place.file.empty() ? "<inline>" : place.file; }

}  // namespace

ContextPlan plan_context(const TlsSource& source, SecretReader& reader) {
  ContextPlan plan;
  plan.whole = source.site;
  plan.config.role = source.role;
  plan.config.keep_records_in_openssl = source.keep_records_in_openssl;
  source.role == tls::Role::kServer ? plan_server(source, plan, reader) : plan_client(source, plan, reader);
  return plan;
}

std::pair<Site, std::string> blame(const ContextPlan& plan, const tls::ContextError& error) {
  using Part = tls::ContextError::Part;
  const ReadText* place = nullptr;
  const bool known = error.index < plan.certificates.size();
  switch (error.part) {
    case Part::kCertificate: place = known ? &plan.certificates[error.index].chain : nullptr; break;
    case Part::kKey: place = known ? &plan.certificates[error.index].key : nullptr; break;
    case Part::kOcsp: place = known ? &plan.certificates[error.index].ocsp : nullptr; break;
    case Part::kTrustedCa: place = &plan.trusted_ca; break;
    case Part::kCrl: place = &plan.crl; break;
    case Part::kTicketKeys: place = error.index < plan.ticket_keys.size() ? &plan.ticket_keys[error.index] : nullptr; break;
    case Part::kCiphers: return {plan.parameters.at("cipher_suites"), error.text};
    case Part::kCurves: return {plan.parameters.at("ecdh_curves"), error.text};
    case Part::kSignatureAlgorithms: return {plan.parameters.at("signature_algorithms"), error.text};
    case Part::kOther: break;
  }
  // A response that must be there and is not has no place of its own.
  if (place == nullptr || place->site.path.empty()) return {plan.whole, error.text};
  return {place->site, place->blame(error.text)};
}

std::optional<MadeContext> make_context(const TlsSource& source, FileReader& files, Diagnostics& diagnostics) {
  SecretReader reader(*source.secrets, source.discovered.get(), files, diagnostics);
  const ContextPlan plan = plan_context(source, reader);
  if (reader.failed()) return std::nullopt;
  if (reader.waits())
    return MadeContext{.context = nullptr, .chain_paths = {}, .authorities_path = {}, .secrets = reader.take_discovered()};
  auto context = tls::Context::make(plan.config);
  if (!context) {
    auto [site, text] = blame(plan, context.error());
    reader.error(site, std::move(text));
    return std::nullopt;
  }
  MadeContext made{
      .context = std::move(*context), .chain_paths = {}, .authorities_path = {}, .secrets = reader.take_discovered()};
  for (const auto& places : plan.certificates) made.chain_paths.push_back(shown_path(places.chain));
  if (!made.context->authorities().empty()) made.authorities_path = shown_path(plan.trusted_ca);
  return made;
}

}  // namespace millrace::agent
