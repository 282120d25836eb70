#include "tls/openssl/session_facts.h"

#include <vector>

#include "dataplane/base/hex.h"

namespace millrace::tls {
namespace {

Version version_of(const SSL* ssl) { return SSL_version(ssl) == TLS1_3_VERSION ? Version::kTls13 : Version::kTls12; }

std::string curve_of(SSL* ssl, bool resumed) {
  if (resumed && version_of(ssl) == Version::kTls12) return {};  // keys come from the session
  const int id = static_cast<int>(SSL_get_negotiated_group(ssl));
  switch (id) {
    case NID_undef: return {};
    case NID_X25519: return "X25519";
    case NID_X9_62_prime256v1: return "P-256";
    case NID_secp384r1: return "P-384";
    case NID_secp521r1: return "P-521";
    default: break;
  }
  const char* name = SSL_group_to_name(ssl, id);
  return name == nullptr ? std::string() : name;
}

std::string protocol_of(const SSL* ssl) {
  const unsigned char* bytes = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &bytes, &size);
  return {reinterpret_cast<const char*>(bytes), size};
}

// A server's list of what the client sent lacks the leaf, a client's has it; a resumed session has the leaf alone.
std::vector<X509*> chain_of(const SSL* ssl, X509* leaf) {
  std::vector<X509*> certificates = {leaf};
  const STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl);
  for (int i = SSL_is_server(ssl) != 0 ? 0 : 1; i < sk_X509_num(chain); ++i) certificates.push_back(sk_X509_value(chain, i));
  return certificates;
}

std::shared_ptr<const CertificateFacts> own_of(const Connection& connection, bool resumed) {
  const Context::Impl& impl = connection.impl();
  if (impl.own_facts->empty()) return nullptr;
  const auto shown = [&](std::size_t index) {
    return std::shared_ptr<const CertificateFacts>(impl.own_facts, &(*impl.own_facts)[index]);
  };
  if (impl.role == Role::kServer) {
    // TLS 1.2 does not choose one to resume: what a client that checks everything would have got.
    const auto chosen = connection.chosen.value_or(impl.choice.choose(
        {.server_name = connection.server_name, .ecdsa_curves = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1}},
        impl.now()));
    return shown(chosen.index);
  }
  return connection.certificate_asked_for || resumed ? shown(0) : nullptr;
}

}  // namespace

std::shared_ptr<const SessionFacts> facts_of(const Connection& connection) {
  SSL* const ssl = connection.ssl.get();
  auto facts = std::make_shared<SessionFacts>();
  facts->version = version_of(ssl);
  facts->cipher = SSL_get_cipher_name(ssl);
  facts->resumed = SSL_session_reused(ssl) == 1;
  facts->curve = curve_of(ssl, facts->resumed);
  const char* asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  facts->server_name = SSL_is_server(ssl) != 0 ? connection.server_name : asked == nullptr ? "" : asked;
  facts->protocol = protocol_of(ssl);
  facts->own = own_of(connection, facts->resumed);
  if (X509* const peer = SSL_get0_peer_certificate(ssl); peer != nullptr) {
    facts->peer = connection.impl().peers->facts_of(chain_of(ssl, peer));
    facts->peer_verified = connection.impl().trust.verifies_chains() && SSL_get_verify_result(ssl) == X509_V_OK;
  }
  if (const SSL_SESSION* session = SSL_get_session(ssl); session != nullptr) {
    unsigned size = 0;
    const unsigned char* id = SSL_SESSION_get_id(session, &size);
    facts->session_id = to_hex({id, size});
  }
  facts->staple = connection.staple();
  return facts;
}

}  // namespace millrace::tls
