// One connection's SSL between two memory BIOs, and what OpenSSL's callbacks tell of it: secrets, alerts, sessions, refusals.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tls/context.h"
#include "tls/handshake.h"
#include "tls/openssl/context_impl.h"
#include "tls/openssl/handles.h"
#include "tls/openssl/trust.h"
#include "tls/secret.h"

namespace millrace::tls {

/// Found by callbacks through the SSL's application data: it stays where it is.
struct Connection {
  std::shared_ptr<const Context> context;
  SslHandle ssl;
  BIO* in = nullptr;  // ciphertext from the transport; of `ssl`
  BIO* out = nullptr;

  // A handshake's wishes.
  std::string expected_name;
  std::vector<std::uint8_t> protocols;     // a server's ALPN, as on the wire
  std::shared_ptr<ClientSession> offered;  // a client's

  // What callbacks saw.
  std::string server_name;                          // a server's client's, in lower case
  std::optional<CertificateChoice::Result> chosen;  // a server's certificate
  Secret client_secret;                             // TLS 1.3
  Secret server_secret;
  bool certificate_asked_for = false;  // a client was
  bool finished_sent = false;
  std::uint64_t records_after_finished = 0;
  std::optional<Alert> sent_alert;
  std::optional<Refusal> refusal;
  std::vector<std::shared_ptr<ClientSession>> sessions;

  /// Null: no memory, or a protocol among the options that ALPN cannot carry.
  [[nodiscard]] static std::unique_ptr<Connection> make(std::shared_ptr<const Context> context, const HandshakeOptions& options);

  [[nodiscard]] const Context::Impl& impl() const { return context->impl(); }
  [[nodiscard]] Staple staple() const { return chosen ? chosen->staple : Staple::kNotAsked; }
  void feed(std::span<const std::uint8_t> bytes);
  /// After the handshake: OpenSSL does not tell of a ticket that a server of TLS 1.2 renewed while it resumed.
  void keep_renewed_session();
  /// What `result`, of an SSL function that did not succeed for another reason than a lack of input, means.
  [[nodiscard]] HandshakeFailure failure(int result) const;
};

/// Of every context, once.
void install_callbacks(Context::Impl& impl);

}  // namespace millrace::tls
