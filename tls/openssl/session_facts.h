// What a finished handshake agreed on, copied out of its SSL.
#pragma once

#include <memory>

#include "tls/handshake.h"
#include "tls/openssl/connection.h"

namespace millrace::tls {

[[nodiscard]] std::shared_ptr<const SessionFacts> facts_of(const Connection& connection);

}  // namespace millrace::tls
