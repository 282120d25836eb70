// JSON Web Tokens made when a test wants them: keys of every kind, what they sign, and what an issuer would publish of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tls/signature.h"

struct evp_pkey_st;

namespace millrace::test {

[[nodiscard]] std::string base64url(std::string_view bytes);

class JwtSigner {
 public:
  /// "RSA", "P-256", "P-384", "P-521", "Ed25519" or "oct".
  explicit JwtSigner(std::string_view kind);

  [[nodiscard]] std::shared_ptr<const tls::SignatureKey> key() const { return public_key_; }
  /// As an element of a set: `more` are further members, such as R"("kid": "a")".
  [[nodiscard]] std::string jwk(std::string_view more = "") const;
  /// Raw, as a token has it.
  [[nodiscard]] std::string sign(std::string_view algorithm, std::string_view data) const;
  /// `header`: further members of it.
  [[nodiscard]] std::string token(std::string_view algorithm, std::string_view payload, std::string_view header = "") const;

 private:
  std::string kind_;
  std::string secret_;
  std::shared_ptr<evp_pkey_st> private_key_;
  std::shared_ptr<const tls::SignatureKey> public_key_;
  std::string members_;  // of the key in a set
};

}  // namespace millrace::test
