#include "tls/digest.h"

#include <openssl/evp.h>

#include "dataplane/base/assert.h"

namespace millrace::tls {

std::array<std::uint8_t, 32> sha256(std::string_view bytes) {
  std::array<std::uint8_t, 32> out{};
  const int done = EVP_Q_digest(nullptr, "SHA256", nullptr, bytes.data(), bytes.size(), out.data(), nullptr);
  MR_ASSERT(done == 1);
  return out;
}

}  // namespace millrace::tls
