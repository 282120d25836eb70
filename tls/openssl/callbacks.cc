// What OpenSSL asks and tells while it shakes hands. The SSL's application data is its Connection.
#include <algorithm>
#include <array>
#include <cctype>

#include "tls/byte_reader.h"
#include "tls/openssl/client_session.h"
#include "tls/openssl/connection.h"

namespace millrace::tls {
namespace {

Connection& connection_of(const SSL* ssl) { return *static_cast<Connection*>(SSL_get_app_data(ssl)); }

// --- what it tells ---

// "LABEL <client random> <secret>", in hexadecimal.
void on_key(const SSL* ssl, const char* line) {
  const std::string_view text(line);
  Connection& connection = connection_of(ssl);
  Secret* to = text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")   ? &connection.client_secret
               : text.starts_with("SERVER_TRAFFIC_SECRET_0 ") ? &connection.server_secret
                                                              : nullptr;
  if (to == nullptr) return;
  const std::string_view hex = text.substr(text.rfind(' ') + 1);
  const auto digit = [](char c) { return c <= '9' ? c - '0' : std::tolower(c) - 'a' + 10; };
  if (hex.size() % 2 != 0 || hex.size() / 2 > Secret::kMostBytes) return;
  *to = Secret(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size() / 2; ++i) {
    to->bytes()[i] = static_cast<std::uint8_t>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  }
}

// A record's header comes before the message that it carries: what is counted behind our Finished are the tickets.
void on_message(int sent, int /*version*/, int type, const void* bytes, std::size_t size, SSL* ssl, void* /*unused*/) {
  Connection& connection = connection_of(ssl);
  const auto* byte = static_cast<const std::uint8_t*>(bytes);
  if (type == SSL3_RT_HEADER && sent != 0 && connection.finished_sent) ++connection.records_after_finished;
  if (type == SSL3_RT_ALERT && sent != 0 && size == 2) connection.sent_alert = static_cast<Alert>(byte[1]);
  if (type != SSL3_RT_HANDSHAKE || size == 0) return;
  if (sent != 0 && byte[0] == SSL3_MT_FINISHED) connection.finished_sent = true;
  if (sent == 0 && byte[0] == SSL3_MT_CERTIFICATE_REQUEST) connection.certificate_asked_for = true;
}

// 1: the session is ours now.
int on_session(SSL* ssl, SSL_SESSION* session) {
  Connection& connection = connection_of(ssl);
  connection.sessions.push_back(std::make_shared<ClientSession>(SessionHandle(session), connection.impl().identity));
  return 1;
}

// --- what it asks of both sides ---

int judge_peer(X509_STORE_CTX* chain, void* /*unused*/) {
  const auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  Connection& connection = connection_of(ssl);
  const Context::Impl& impl = connection.impl();
  connection.refusal = impl.trust.judge(chain, connection.expected_name, impl.now());
  return connection.refusal ? 0 : 1;
}

// --- what it asks of a server ---

// RFC 6066 3. What is malformed OpenSSL refuses afterwards.
std::string read_server_name(SSL* ssl) {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  std::string name;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1) return name;
  ByteReader list = ByteReader(std::span(bytes, size)).vector(2);
  if (list.number(1) != TLSEXT_NAMETYPE_host_name) return name;
  for (const std::uint8_t byte : list.vector(2).rest()) name += static_cast<char>(std::tolower(byte));
  return name;
}

int look_at_hello(SSL* ssl, int* alert, void* /*unused*/) {
  Connection& connection = connection_of(ssl);
  connection.server_name = read_server_name(ssl);
  if (!connection.server_name.empty() || !connection.impl().require_server_name) return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_MISSING_EXTENSION;
  return SSL_CLIENT_HELLO_ERROR;
}

// The name is acknowledged and kept in the session, whether a certificate has it or not.
int take_server_name(SSL* /*ssl*/, int* /*alert*/, void* /*unused*/) { return SSL_TLSEXT_ERR_OK; }

bool has_ecdsa_cipher(SSL* ssl) {
  const STACK_OF(SSL_CIPHER)* offered = SSL_get_client_ciphers(ssl);
  const STACK_OF(SSL_CIPHER)* ours = SSL_get_ciphers(ssl);
  for (int i = 0; i < sk_SSL_CIPHER_num(offered); ++i) {
    const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(offered, i);
    if (SSL_CIPHER_get_auth_nid(cipher) != NID_auth_ecdsa) continue;
    for (int j = 0; j < sk_SSL_CIPHER_num(ours); ++j) {
      if (SSL_CIPHER_get_id(sk_SSL_CIPHER_value(ours, j)) == SSL_CIPHER_get_id(cipher)) return true;
    }
  }
  return false;
}

// In TLS 1.3 the signature algorithm names the curve (RFC 8446 4.2.3); before, curves are a list of their own (RFC 8422 5.1).
std::vector<int> ecdsa_curves(SSL* ssl) {
  constexpr std::uint8_t kEcdsa = 3;
  struct Scheme {
    std::uint8_t hash;
    int curve;
  };
  constexpr Scheme kSchemes[] = {{4, NID_X9_62_prime256v1}, {5, NID_secp384r1}, {6, NID_secp521r1}};
  std::vector<int> curves;
  const int count = SSL_get_sigalgs(ssl, 0, nullptr, nullptr, nullptr, nullptr, nullptr);
  for (int i = 0; i < count; ++i) {
    std::uint8_t signature = 0;
    std::uint8_t hash = 0;
    (void)SSL_get_sigalgs(ssl, i, nullptr, nullptr, nullptr, &signature, &hash);
    for (const Scheme& scheme : kSchemes) {
      if (signature == kEcdsa && hash == scheme.hash) curves.push_back(scheme.curve);
    }
  }
  if (SSL_version(ssl) == TLS1_3_VERSION || curves.empty()) return curves;
  curves.clear();
  if (!has_ecdsa_cipher(ssl)) return curves;
  const int groups = static_cast<int>(SSL_get1_groups(ssl, nullptr));
  curves.resize(static_cast<std::size_t>(std::max(groups, 0)));
  if (groups > 0) (void)SSL_get1_groups(ssl, curves.data());
  return curves;
}

int choose_certificate(SSL* ssl, void* /*unused*/) {
  Connection& connection = connection_of(ssl);
  const Context::Impl& impl = connection.impl();
  const auto chosen = impl.choice.choose({.server_name = connection.server_name,
                                          .ecdsa_curves = ecdsa_curves(ssl),
                                          .wants_staple = SSL_get_tlsext_status_type(ssl) == TLSEXT_STATUSTYPE_ocsp},
                                         impl.now());
  connection.chosen = chosen;
  const OwnCertificate& own = impl.own[chosen.index];
  if (chosen.staple == Staple::kRefused) {
    connection.refusal = Refusal{HandshakeFailure::Reason::kNoStaple, X509_V_OK,
                                 "The OCSP staple of " + (*impl.own_facts)[chosen.index].subject +
                                     " is missing or has expired, and ocsp_staple_policy does not do without: renew it"};
    return 0;
  }
  if (chosen.index == 0) return 1;  // the SSL came with it
  SSL_certs_clear(ssl);
  return SSL_use_cert_and_key(ssl, own.leaf.get(), own.key.get(), own.chain.get(), 1);
}

int staple(SSL* ssl, void* /*unused*/) {
  const Connection& connection = connection_of(ssl);
  if (connection.staple() != Staple::kAttached) return SSL_TLSEXT_ERR_NOACK;
  const std::string& der = connection.impl().own[connection.chosen->index].staple->der;
  void* copy = OPENSSL_memdup(der.data(), der.size());
  if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
  if (SSL_set_tlsext_status_ocsp_resp(ssl, static_cast<unsigned char*>(copy), static_cast<long>(der.size())) == 1) {
    return SSL_TLSEXT_ERR_OK;
  }
  OPENSSL_free(copy);
  return SSL_TLSEXT_ERR_NOACK;
}

// Our order decides. Nothing in common: no answer, and the handshake goes on, as in Envoy.
int choose_protocol(SSL* ssl, const unsigned char** to, unsigned char* size, const unsigned char* offered, unsigned offered_size,
                    void* /*unused*/) {
  const auto& ours = connection_of(ssl).protocols;
  unsigned char* chosen = nullptr;
  const int result = SSL_select_next_proto(&chosen, size, ours.data(), static_cast<unsigned>(ours.size()), offered, offered_size);
  *to = chosen;
  return !ours.empty() && result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

int handle_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int seal) {
  const Context::Impl& impl = connection_of(ssl).impl();
  return seal != 0 ? seal_ticket(*impl.ticket_keys, impl.now(), name, iv, cipher, mac)
                   : open_ticket(*impl.ticket_keys, impl.now(), name, iv, cipher, mac);
}

// Resuming skips judge_peer(): what may have changed since is looked at here. A session that will not do leads to a full
// handshake, in which the client shows its certificate again. RFC 6066 3: nor is one of another server name resumed.
SSL_TICKET_RETURN judge_ticket(SSL* ssl, SSL_SESSION* session, const unsigned char* /*name*/, std::size_t /*size*/,
                               SSL_TICKET_STATUS status, void* /*unused*/) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const Connection& connection = connection_of(ssl);
  const Context::Impl& impl = connection.impl();
  const char* name = SSL_SESSION_get0_hostname(session);
  const bool same_server = matches_dns_name(connection.server_name, name == nullptr ? "" : name);
  X509* const peer = SSL_SESSION_get0_peer(session);
  if (!same_server || (peer != nullptr && !impl.trust.still_takes(peer, connection.expected_name, impl.now()))) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  const bool used_up = SSL_version(ssl) == TLS1_3_VERSION;  // RFC 8446 C.4: the client should not come with this one again
  return used_up || status == SSL_TICKET_SUCCESS_RENEW ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

}  // namespace

void install_callbacks(Context::Impl& impl) {
  SSL_CTX* const context = impl.ssl.get();
  SSL_CTX_set_keylog_callback(context, on_key);
  SSL_CTX_set_msg_callback(context, on_message);
  SSL_CTX_set_cert_verify_callback(context, judge_peer, nullptr);
  if (impl.role == Role::kClient) {
    SSL_CTX_sess_set_new_cb(context, on_session);
    return;
  }
  SSL_CTX_set_client_hello_cb(context, look_at_hello, nullptr);
  SSL_CTX_set_tlsext_servername_callback(context, take_server_name);
  SSL_CTX_set_cert_cb(context, choose_certificate, nullptr);
  SSL_CTX_set_tlsext_status_cb(context, staple);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, handle_ticket);
  SSL_CTX_set_session_ticket_cb(context, nullptr, judge_ticket, nullptr);
}

}  // namespace millrace::tls
