// A session that a client may resume, and of which context it is.
#pragma once

#include <memory>

#include "tls/context.h"
#include "tls/handshake.h"
#include "tls/openssl/handles.h"

namespace millrace::tls {

class ClientSession {
 public:
  ClientSession(SessionHandle session, std::weak_ptr<const char> context)
      : session_(std::move(session)), context_(std::move(context)) {}

  [[nodiscard]] SSL_SESSION* get() const { return session_.get(); }
  [[nodiscard]] bool of(const std::shared_ptr<const char>& context) const {
    return !context_.owner_before(context) && !context.owner_before(context_);
  }

 private:
  SessionHandle session_;
  std::weak_ptr<const char> context_;
};

}  // namespace millrace::tls
