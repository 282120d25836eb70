#include "tests/support/jwt_signer.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <vector>

#include "dataplane/base/base64.h"

namespace millrace::test {
namespace {

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
char* chars_of(unsigned char* bytes) { return reinterpret_cast<char*>(bytes); }

std::string number_of(EVP_PKEY* key, const char* name, std::size_t width) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &number), 1);
  std::vector<unsigned char> bytes(width == 0 ? static_cast<std::size_t>(BN_num_bytes(number)) : width);
  EXPECT_EQ(BN_bn2binpad(number, bytes.data(), static_cast<int>(bytes.size())), static_cast<int>(bytes.size()));
  BN_free(number);
  return {chars_of(bytes.data()), bytes.size()};
}

std::size_t width_of(std::string_view curve) { return curve == "P-256" ? 32 : curve == "P-384" ? 48 : 66; }

const EVP_MD* digest_of(std::string_view algorithm) {
  if (algorithm == "EdDSA") return nullptr;
  return algorithm.ends_with("384") ? EVP_sha384() : algorithm.ends_with("512") ? EVP_sha512() : EVP_sha256();
}

std::string to_raw(const std::string& der, std::size_t width) {
  const unsigned char* at = bytes_of(der);
  ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  std::vector<unsigned char> raw(2 * width);
  BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw.data(), static_cast<int>(width));
  BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw.data() + width, static_cast<int>(width));
  ECDSA_SIG_free(pair);
  return {chars_of(raw.data()), raw.size()};
}

}  // namespace

std::string base64url(std::string_view bytes) {
  std::string out(base64_encoded_size(bytes.size()), '\0');
  (void)encode_base64(bytes, out);
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  while (out.ends_with('=')) out.pop_back();
  return out;
}

JwtSigner::JwtSigner(std::string_view kind) : kind_(kind) {
  using tls::SignatureKey;
  SignatureKey::Made made = Error<std::string>("no such kind");
  if (kind == "oct") {
    secret_ = "a secret of thirty-two characters";
    made = SignatureKey::hmac(secret_);
    members_ = R"("kty": "oct", "k": ")" + base64url(secret_) + '"';
  } else if (kind == "RSA") {
    private_key_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048}), EVP_PKEY_free);
    const std::string n = number_of(private_key_.get(), OSSL_PKEY_PARAM_RSA_N, 0);
    const std::string e = number_of(private_key_.get(), OSSL_PKEY_PARAM_RSA_E, 0);
    made = SignatureKey::rsa(n, e);
    members_ = R"("kty": "RSA", "n": ")" + base64url(n) + R"(", "e": ")" + base64url(e) + '"';
  } else if (kind == "Ed25519") {
    private_key_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
    std::array<unsigned char, 32> key;
    std::size_t size = key.size();
    EXPECT_EQ(EVP_PKEY_get_raw_public_key(private_key_.get(), key.data(), &size), 1);
    const std::string_view x(chars_of(key.data()), size);
    made = SignatureKey::ed25519(x);
    members_ = R"("kty": "OKP", "crv": "Ed25519", "x": ")" + base64url(x) + '"';
  } else {
    private_key_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", std::string(kind).c_str()), EVP_PKEY_free);
    const std::string x = number_of(private_key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, width_of(kind));
    const std::string y = number_of(private_key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, width_of(kind));
    using Curve = SignatureKey::Curve;
    made = SignatureKey::ec(kind == "P-256" ? Curve::kP256 : kind == "P-384" ? Curve::kP384 : Curve::kP521, x, y);
    members_ = R"("kty": "EC", "crv": ")" + kind_ + R"(", "x": ")" + base64url(x) + R"(", "y": ")" + base64url(y) + '"';
  }
  EXPECT_TRUE(made) << made.error();
  public_key_ = made.value_or(nullptr);
}

std::string JwtSigner::jwk(std::string_view more) const {
  return "{" + members_ + (more.empty() ? "" : ", ") + std::string(more) + "}";
}

std::string JwtSigner::sign(std::string_view algorithm, std::string_view data) const {
  std::array<unsigned char, 1024> out;
  std::size_t size = out.size();
  if (kind_ == "oct") {
    unsigned int written = 0;
    HMAC(digest_of(algorithm), secret_.data(), static_cast<int>(secret_.size()), bytes_of(data), data.size(), out.data(),
         &written);
    return {chars_of(out.data()), written};
  }
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* parameters = nullptr;
  EXPECT_EQ(EVP_DigestSignInit(context, &parameters, digest_of(algorithm), nullptr, private_key_.get()), 1);
  if (algorithm.starts_with("PS")) {
    EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING);
    EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST);
  }
  EXPECT_EQ(EVP_DigestSign(context, out.data(), &size, bytes_of(data), data.size()), 1);
  EVP_MD_CTX_free(context);
  const std::string signature(chars_of(out.data()), size);
  return kind_.starts_with("P-") ? to_raw(signature, width_of(kind_)) : signature;
}

std::string JwtSigner::token(std::string_view algorithm, std::string_view payload, std::string_view header) const {
  const std::string first =
      R"({"alg": ")" + std::string(algorithm) + '"' + (header.empty() ? "" : ", ") + std::string(header) + "}";
  const std::string data = base64url(first) + "." + base64url(payload);
  return data + "." + base64url(sign(algorithm, data));
}

}  // namespace millrace::test
