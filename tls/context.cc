#include "tls/context.h"

#include <algorithm>
#include <utility>

#include <openssl/err.h>

#include "tls/openssl/certificate_reader.h"
#include "tls/openssl/connection.h"
#include "tls/openssl/context_impl.h"
#include "tls/openssl/parameters.h"

namespace millrace::tls {
namespace {

using Part = ContextError::Part;
using Wrong = std::optional<ContextError>;

constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr std::int64_t kMostLifetimeSeconds = 7 * 86'400;  // RFC 8446 4.6.1

ContextError error(Part part, std::string text, std::size_t index = 0) {
  return {.part = part, .index = index, .text = std::move(text)};
}

// Tried out on an SSL that nobody uses: only the first stays with the context, others take its place in single handshakes.
Wrong load_certificates(Context::Impl& impl, const ContextConfig& config) {
  const std::int64_t now = impl.now();
  const SslHandle probe(SSL_new(impl.ssl.get()));
  if (probe == nullptr) return error(Part::kOther, "OpenSSL has no memory.");
  auto own_facts = std::make_shared<std::vector<CertificateFacts>>();
  for (std::size_t i = 0; i < config.certificates.size(); ++i) {
    auto own = OwnCertificate::read(config.certificates[i], now);
    if (!own) {
      own.error().index = i;
      return std::move(own.error());
    }
    const auto use = [&own](auto set, auto* to) { return set(to, own->leaf.get(), own->key.get(), own->chain.get(), 1) == 1; };
    SSL_certs_clear(probe.get());
    if (!use(SSL_use_cert_and_key, probe.get()) || (i == 0 && !use(SSL_CTX_use_cert_and_key, impl.ssl.get()))) {
      return error(Part::kCertificate,
                   "The certificate " + subject_of(own->leaf.get()) + " cannot be used (" + error_text() +
                       "): use one with a key and a signature of today's strength.",
                   i);
    }
    own_facts->push_back(facts_of(own->leaf.get()));
    impl.own.push_back(std::move(*own));
  }
  impl.own_facts = std::move(own_facts);
  return std::nullopt;
}

// A certificate that every client will be refused with is told now, not then.
Wrong check_staples(const Context::Impl& impl, OcspPolicy policy) {
  for (std::size_t i = 0; i < impl.own.size(); ++i) {
    const bool needed = impl.own[i].must_staple || policy == OcspPolicy::kMustStaple;
    if (!needed || impl.own[i].staple) continue;
    return error(Part::kOcsp,
                 "The certificate " + (*impl.own_facts)[i].subject + " has no OCSP staple, which " +
                     (impl.own[i].must_staple ? "it demands itself" : "ocsp_staple_policy: MUST_STAPLE demands") + ": give one.",
                 i);
  }
  return std::nullopt;
}

Wrong set_tickets(Context::Impl& impl, const ContextConfig& config) {
  SSL_CTX_set_session_cache_mode(impl.ssl.get(), SSL_SESS_CACHE_OFF);  // tickets alone: any worker opens them
  const std::int64_t lifetime =
      std::clamp<std::int64_t>(config.session_lifetime.to_nanoseconds() / kNanosecondsPerSecond, 0, kMostLifetimeSeconds);
  SSL_CTX_set_timeout(impl.ssl.get(), static_cast<long>(lifetime));
  if (!config.tickets) {
    SSL_CTX_set_options(impl.ssl.get(), SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(impl.ssl.get(), 0);
    return std::nullopt;
  }
  std::vector<TicketKey> keys;
  for (std::size_t i = 0; i < config.ticket_keys.size(); ++i) {
    const std::string& bytes = config.ticket_keys[i];
    if (bytes.size() != TicketKey::kBytes) {
      return error(
          Part::kTicketKeys,
          "The session ticket key has " + std::to_string(bytes.size()) + " bytes: use 80, such as of \"openssl rand 80\".", i);
    }
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    keys.push_back(TicketKey::read(std::span<const std::uint8_t, TicketKey::kBytes>(first, TicketKey::kBytes)));
  }
  impl.ticket_keys = keys.empty() ? std::make_unique<TicketKeys>(lifetime) : std::make_unique<TicketKeys>(std::move(keys));
  return std::nullopt;
}

// Of a session there is only what a full handshake of the same server with the same client would have led to: the context's id
// is made of whom we believe, and of who we are (as in Envoy: names and issuers, so that several gateways share tickets).
bool set_session_context(Context::Impl& impl, bool require_certificate) {
  const DigestHandle digest(EVP_MD_CTX_new());
  if (digest == nullptr || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1) return false;
  const auto add_text = [&](const std::string& text) { (void)EVP_DigestUpdate(digest.get(), text.c_str(), text.size() + 1); };
  for (const CertificateFacts& facts : *impl.own_facts) {
    add_text(facts.subject);
    add_text(facts.issuer);
    for (const SubjectName& name : facts.names) add_text(name.value);
  }
  const std::uint8_t required = require_certificate ? 1 : 0;
  (void)EVP_DigestUpdate(digest.get(), &required, 1);
  impl.trust.add_to(digest.get());
  Sha256 id{};
  static_assert(sizeof(id) <= SSL_MAX_SID_CTX_LENGTH);
  return EVP_DigestFinal_ex(digest.get(), id.data(), nullptr) == 1 &&
         SSL_CTX_set_session_id_context(impl.ssl.get(), id.data(), static_cast<unsigned>(id.size())) == 1;
}

Wrong make_server(Context::Impl& impl, const ContextConfig& config) {
  if (impl.own.empty()) return error(Part::kCertificate, "A server needs a certificate: give one.");
  if (auto wrong = check_staples(impl, config.ocsp_policy)) return wrong;
  if (auto wrong = set_tickets(impl, config)) return wrong;
  impl.require_server_name = config.require_server_name;
  impl.choice = CertificateChoice(impl.own, config.ocsp_policy, config.full_scan_certs_on_sni_mismatch);
  if (!config.prefer_client_ciphers) SSL_CTX_set_options(impl.ssl.get(), SSL_OP_CIPHER_SERVER_PREFERENCE);
  int mode = SSL_VERIFY_NONE;
  if (impl.trust.wants_certificate()) mode = SSL_VERIFY_PEER;
  if (impl.trust.needs_certificate() || config.require_client_certificate)
    mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_verify(impl.ssl.get(), mode, nullptr);
  if (!set_session_context(impl, config.require_client_certificate)) return error(Part::kOther, "OpenSSL has no memory.");
  return std::nullopt;
}

Wrong make_client(Context::Impl& impl, const ContextConfig& config) {
  if (impl.own.size() > 1) {
    return error(Part::kCertificate,
                 "A client shows one certificate, here are " + std::to_string(impl.own.size()) + ": leave one.", 1);
  }
  impl.server_name = config.server_name;
  impl.resume = config.resume;
  SSL_CTX_set_verify(impl.ssl.get(), SSL_VERIFY_PEER, nullptr);  // whatever it is, Trust judges it
  // Sessions are handed over, not kept.
  SSL_CTX_set_session_cache_mode(impl.ssl.get(),
                                 config.resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
  return std::nullopt;
}

Wrong fill(Context::Impl& impl, const ContextConfig& config) {
  if (auto wrong = set_parameters(impl.ssl.get(), config)) return wrong;
  impl.parameters.least_version = config.least_version;
  impl.parameters.most_version = config.most_version;
  impl.parameters.ciphers = config.ciphers;
  impl.parameters.curves = config.curves;
  impl.parameters.signature_algorithms = config.signature_algorithms;
  auto protocols = protocols_on_wire(config.protocols);
  if (!protocols) return error(Part::kOther, std::move(protocols.error()));
  impl.protocols = std::move(*protocols);
  if (auto wrong = load_certificates(impl, config)) return wrong;
  if (config.validation) {
    auto trust = Trust::make(*config.validation, impl.ssl.get());
    if (!trust) return std::move(trust.error());
    impl.trust = std::move(*trust);
  }
  SSL_CTX_set_options(impl.ssl.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(impl.ssl.get(), SSL_MODE_RELEASE_BUFFERS);
  install_callbacks(impl);
  return config.role == Role::kServer ? make_server(impl, config) : make_client(impl, config);
}

}  // namespace

Result<std::shared_ptr<const Context>, ContextError> Context::make(const ContextConfig& config) {
  ERR_clear_error();
  auto impl = std::make_unique<Impl>();
  impl->role = config.role;
  impl->clock = config.clock;
  impl->keep_records = config.keep_records_in_openssl;
  impl->ssl.reset(SSL_CTX_new(config.role == Role::kServer ? TLS_server_method() : TLS_client_method()));
  if (impl->ssl == nullptr) return Error<ContextError>(error(Part::kOther, "OpenSSL has no memory."));
  if (auto wrong = fill(*impl, config)) {
    ERR_clear_error();
    return Error<ContextError>(std::move(*wrong));
  }
  ERR_clear_error();
  return std::shared_ptr<const Context>(new Context(std::move(impl)));
}

Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;

Role Context::role() const { return impl_->role; }
const std::string& Context::server_name() const { return impl_->server_name; }
const std::vector<CertificateFacts>& Context::certificates() const { return *impl_->own_facts; }
const std::vector<CertificateFacts>& Context::authorities() const { return impl_->trust.authorities(); }

}  // namespace millrace::tls
