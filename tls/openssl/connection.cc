#include "tls/openssl/connection.h"

#include <climits>

#include <openssl/err.h>

#include "tls/openssl/client_session.h"
#include "tls/openssl/parameters.h"

namespace millrace::tls {
namespace {

using Reason = HandshakeFailure::Reason;

bool same_name(const char* of_session, std::string_view wanted) {
  return matches_dns_name(wanted, of_session == nullptr ? "" : of_session);
}

bool may_offer(const Connection& connection, const ClientSession& session, std::string_view server_name) {
  const Context::Impl& impl = connection.impl();
  return impl.resume && session.of(impl.identity) && SSL_SESSION_is_resumable(session.get()) == 1 &&
         expiry(session) > impl.now() && same_name(SSL_SESSION_get0_hostname(session.get()), server_name) &&
         impl.trust.still_takes(SSL_SESSION_get0_peer(session.get()), connection.expected_name, impl.now());
}

bool prepare_client(Connection& connection, const HandshakeOptions& options) {
  SSL* const ssl = connection.ssl.get();
  SSL_set_connect_state(ssl);
  const std::string& name = options.server_name.empty() ? connection.impl().server_name : options.server_name;
  if (!name.empty() && SSL_set_tlsext_host_name(ssl, name.c_str()) != 1) return false;
  const auto& protocols = connection.protocols;
  if (!protocols.empty() && SSL_set_alpn_protos(ssl, protocols.data(), static_cast<unsigned>(protocols.size())) != 0)
    return false;
  if (options.session == nullptr || !may_offer(connection, *options.session, name)) return true;
  connection.offered = options.session;
  return SSL_set_session(ssl, options.session->get()) == 1;
}

// The peer's alerts are errors of their own in OpenSSL.
std::optional<Alert> alert_of(unsigned long error) {
  const int number = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;
  if (ERR_GET_LIB(error) != ERR_LIB_SSL || number < 0 || number > UINT8_MAX) return std::nullopt;
  return static_cast<Alert>(number);
}

}  // namespace

std::unique_ptr<Connection> Connection::make(std::shared_ptr<const Context> context, const HandshakeOptions& options) {
  ERR_clear_error();
  auto connection = std::make_unique<Connection>();
  connection->context = std::move(context);
  const Context::Impl& impl = connection->impl();
  connection->ssl.reset(SSL_new(impl.ssl.get()));
  BioHandle in(BIO_new(BIO_s_mem()));
  BioHandle out(BIO_new(BIO_s_mem()));
  if (connection->ssl == nullptr || in == nullptr || out == nullptr) return nullptr;
  connection->in = in.release();
  connection->out = out.release();
  SSL_set_bio(connection->ssl.get(), connection->in, connection->out);
  SSL_set_app_data(connection->ssl.get(), connection.get());
  connection->expected_name = options.expected_name;
  auto protocols = protocols_on_wire(options.protocols);
  if (!protocols) return nullptr;
  connection->protocols = protocols->empty() ? impl.protocols : std::move(*protocols);
  if (impl.role == Role::kServer) {
    SSL_set_accept_state(connection->ssl.get());
  } else if (!prepare_client(*connection, options)) {
    return nullptr;
  }
  return connection;
}

void Connection::feed(std::span<const std::uint8_t> bytes) {
  std::size_t written = 0;
  if (!bytes.empty()) (void)BIO_write_ex(in, bytes.data(), bytes.size(), &written);  // takes all, short of memory
}

void Connection::keep_renewed_session() {
  const bool resumed = offered != nullptr && SSL_session_reused(ssl.get()) == 1 && SSL_version(ssl.get()) != TLS1_3_VERSION;
  if (!resumed || SSL_get_session(ssl.get()) == offered->get()) return;
  sessions.push_back(std::make_shared<ClientSession>(SessionHandle(SSL_get1_session(ssl.get())), impl().identity));
}

HandshakeFailure Connection::failure(int result) const {
  HandshakeFailure failure{.reason = Reason::kProtocol, .alert = sent_alert, .text = {}};
  const unsigned long error = ERR_peek_error();
  if (refusal) {
    failure.reason = refusal->reason;
    failure.text = refusal->text;
  } else if (SSL_get_error(ssl.get(), result) == SSL_ERROR_ZERO_RETURN) {
    failure.reason = Reason::kPeerAlert;
    failure.alert = Alert::kCloseNotify;
    failure.text = "the peer closed the session before the handshake had ended";
  } else if (const auto alert = alert_of(error)) {
    failure.reason = Reason::kPeerAlert;
    failure.alert = alert;
    failure.text = error_text();
  } else {
    const int why = ERR_GET_REASON(error);
    const bool of_ssl = ERR_GET_LIB(error) == ERR_LIB_SSL;
    if (of_ssl && why == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) failure.reason = Reason::kNoCertificate;
    if (error == 0 || why == ERR_R_MALLOC_FAILURE || why == ERR_R_INTERNAL_ERROR) failure.reason = Reason::kInternal;
    failure.text = error_text();
  }
  return failure;
}

bool single_use(const ClientSession& session) { return SSL_SESSION_get_protocol_version(session.get()) == TLS1_3_VERSION; }

std::int64_t expiry(const ClientSession& session) {
  return SSL_SESSION_get_time(session.get()) + SSL_SESSION_get_timeout(session.get());
}

}  // namespace millrace::tls
