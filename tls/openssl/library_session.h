// A session whose records OpenSSL seals and opens: suites that we do not protect ourselves, or by configuration.
#pragma once

#include <memory>

#include "tls/handshake.h"
#include "tls/openssl/connection.h"

namespace millrace::tls {

/// Of a connection whose handshake is done. What lies in its BIOs already is part of the session.
[[nodiscard]] std::unique_ptr<LibrarySession> make_library_session(std::unique_ptr<Connection> connection);

}  // namespace millrace::tls
