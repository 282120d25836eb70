// OpenSSL's EVP: slower than IPsec-MB, on every CPU.
#pragma once

#include <memory>

#include "tls/record_engine.h"

namespace millrace::tls {

/// For one thread.
[[nodiscard]] std::unique_ptr<RecordEngine> make_openssl_engine();

}  // namespace millrace::tls
