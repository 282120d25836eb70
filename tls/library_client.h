// A client of OpenSSL that another library drives (libcurl), made to shake hands as a Context says: its versions, ciphers and
// certificate, and whom it believes. Not ALPN and not the server's name, which that library sends itself.
#pragma once

#include <memory>
#include <string>

#include "tls/context.h"

namespace millrace::tls {

/// Of one connection. Stays where it is until the handshake is over.
class LibraryClient {
 public:
  /// `context` is a client's. `expected_name`: what the server's certificate has to be for, in place of the context's names;
  /// empty: those.
  LibraryClient(std::shared_ptr<const Context> context, std::string expected_name);
  LibraryClient(const LibraryClient&) = delete;
  LibraryClient& operator=(const LibraryClient&) = delete;

  /// `ssl_context`: the other library's SSL_CTX, before its handshake. False: OpenSSL refuses; do not go on.
  [[nodiscard]] bool configure(void* ssl_context);
  /// Why the server's certificate was refused; empty: it was not.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  struct Callback;

  const std::shared_ptr<const Context> context_;
  const std::string expected_name_;
  std::string refusal_;
};

}  // namespace millrace::tls
