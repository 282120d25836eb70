#include "tls/signature.h"

#include <algorithm>
#include <array>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "tls/openssl/handles.h"

namespace millrace::tls {
namespace {

using Algorithm = SignatureAlgorithm;

constexpr int kLeastRsaBits = 1024;
constexpr int kMostRsaBits = 8192;
constexpr std::size_t kEd25519KeyBytes = 32;

enum class Scheme : std::uint8_t { kPkcs1, kPss, kEcdsa, kHmac, kEdDsa };

struct AlgorithmRow {
  std::string_view name;
  Scheme scheme;
  const EVP_MD* (*digest)();
  std::size_t number_bytes;  // of r and of s
};

// In the order of SignatureAlgorithm.
constexpr std::array<AlgorithmRow, 13> kAlgorithms = {{{"RS256", Scheme::kPkcs1, EVP_sha256, 0},
                                                       {"RS384", Scheme::kPkcs1, EVP_sha384, 0},
                                                       {"RS512", Scheme::kPkcs1, EVP_sha512, 0},
                                                       {"PS256", Scheme::kPss, EVP_sha256, 0},
                                                       {"PS384", Scheme::kPss, EVP_sha384, 0},
                                                       {"PS512", Scheme::kPss, EVP_sha512, 0},
                                                       {"ES256", Scheme::kEcdsa, EVP_sha256, 32},
                                                       {"ES384", Scheme::kEcdsa, EVP_sha384, 48},
                                                       {"ES512", Scheme::kEcdsa, EVP_sha512, 66},
                                                       {"HS256", Scheme::kHmac, EVP_sha256, 0},
                                                       {"HS384", Scheme::kHmac, EVP_sha384, 0},
                                                       {"HS512", Scheme::kHmac, EVP_sha512, 0},
                                                       {"EdDSA", Scheme::kEdDsa, nullptr, 0}}};

struct CurveRow {
  const char* group;
  std::size_t number_bytes;
};
// In the order of SignatureKey::Curve.
constexpr std::array<CurveRow, 3> kCurves = {{{"P-256", 32}, {"P-384", 48}, {"P-521", 66}}};

using NumberHandle = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using BuilderHandle = std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>>;
using ParametersHandle = std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>>;
using KeyContextHandle = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using EcSignatureHandle = std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

NumberHandle number_of(std::string_view bytes) {
  return NumberHandle(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

// Null: the parameters are no key of that type.
KeyHandle key_from(const char* type, OSSL_PARAM_BLD* builder) {
  const ParametersHandle parameters(OSSL_PARAM_BLD_to_param(builder));
  const KeyContextHandle context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return nullptr;
  }
  return KeyHandle(key);
}

// Is the point on the curve, is the modulus odd, ...
bool is_sound(EVP_PKEY* key) {
  const KeyContextHandle context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  return context != nullptr && EVP_PKEY_public_check(context.get()) == 1;
}

// The first of OpenSSL's errors, or `fallback`; the queue is empty afterwards.
std::string take_error(std::string fallback) {
  if (ERR_peek_error() != 0) fallback += ": " + error_text();
  ERR_clear_error();
  return fallback;
}

}  // namespace

struct SignatureKey::Impl {
  KeyHandle key;  // null: `secret` it is
  std::string secret;
  bool is_rsa = false;
  std::size_t number_bytes = 0;  // of an elliptic curve

  ~Impl() { OPENSSL_cleanse(secret.data(), secret.size()); }

  bool verify_digest(const AlgorithmRow& row, std::string_view data, std::string_view signature) const {
    const DigestHandle context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* key_context = nullptr;
    if (!context || EVP_DigestVerifyInit(context.get(), &key_context, row.digest == nullptr ? nullptr : row.digest(), nullptr,
                                         key.get()) != 1) {
      return false;
    }
    if (row.scheme == Scheme::kPss && (EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) != 1 ||
                                       EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) != 1)) {
      return false;
    }
    return EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(data), data.size()) == 1;
  }

  // OpenSSL wants r and s in DER.
  bool verify_ecdsa(const AlgorithmRow& row, std::string_view data, std::string_view signature) const {
    if (number_bytes != row.number_bytes || signature.size() != 2 * number_bytes) return false;
    NumberHandle r = number_of(signature.substr(0, number_bytes));
    NumberHandle s = number_of(signature.substr(number_bytes));
    const EcSignatureHandle pair(ECDSA_SIG_new());
    if (!r || !s || !pair || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return false;
    (void)r.release(), (void)s.release();  // are the pair's
    std::array<unsigned char, 160> der;    // at most 3 + 2 * (3 + 66) bytes
    unsigned char* end = der.data();
    const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
    if (size <= 0 || static_cast<std::size_t>(size) > der.size() || i2d_ECDSA_SIG(pair.get(), &end) != size) return false;
    return verify_digest(row, data, {reinterpret_cast<const char*>(der.data()), static_cast<std::size_t>(size)});
  }

  bool verify_hmac(const AlgorithmRow& row, std::string_view data, std::string_view signature) const {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code;
    unsigned int size = 0;
    return HMAC(row.digest(), secret.data(), static_cast<int>(secret.size()), bytes_of(data), data.size(), code.data(), &size) !=
               nullptr &&
           size == signature.size() && CRYPTO_memcmp(code.data(), signature.data(), size) == 0;
  }

  bool verify(const AlgorithmRow& row, std::string_view data, std::string_view signature) const {
    switch (row.scheme) {
      case Scheme::kPkcs1:
      case Scheme::kPss: return is_rsa && verify_digest(row, data, signature);
      case Scheme::kEcdsa: return number_bytes != 0 && verify_ecdsa(row, data, signature);
      case Scheme::kHmac: return key == nullptr && verify_hmac(row, data, signature);
      case Scheme::kEdDsa: return key != nullptr && !is_rsa && number_bytes == 0 && verify_digest(row, data, signature);
    }
    return false;
  }
};

std::optional<SignatureAlgorithm> signature_algorithm(std::string_view name) {
  const auto row = std::ranges::find(kAlgorithms, name, &AlgorithmRow::name);
  if (row == kAlgorithms.end()) return std::nullopt;
  return static_cast<SignatureAlgorithm>(row - kAlgorithms.begin());
}

SignatureKey::SignatureKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SignatureKey::~SignatureKey() = default;

SignatureKey::Made SignatureKey::rsa(std::string_view modulus, std::string_view exponent) {
  if (modulus.size() > static_cast<std::size_t>(kMostRsaBits)) return Error<std::string>("the modulus is too long");
  const NumberHandle n = number_of(modulus);
  const NumberHandle e = number_of(exponent.substr(0, 16));
  const BuilderHandle builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder) return Error<std::string>("no memory");
  if (BN_num_bits(n.get()) < kLeastRsaBits || BN_num_bits(n.get()) > kMostRsaBits) {
    return Error<std::string>("an RSA key must have 1024 to 8192 bits, this has " + std::to_string(BN_num_bits(n.get())));
  }
  if (exponent.size() > 16 || (BN_is_word(e.get(), 3) == 0 && BN_is_word(e.get(), RSA_F4) == 0)) {
    return Error<std::string>("the exponent of an RSA key must be 3 or 65537");
  }
  auto impl = std::make_unique<Impl>();
  impl->is_rsa = true;
  if (OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1 &&
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) == 1) {
    impl->key = key_from("RSA", builder.get());
  }
  if (!impl->key || BN_is_odd(n.get()) == 0) return Error<std::string>(take_error("this is not an RSA key"));
  return std::shared_ptr<const SignatureKey>(new SignatureKey(std::move(impl)));
}

SignatureKey::Made SignatureKey::ec(Curve curve, std::string_view x, std::string_view y) {
  const CurveRow& row = kCurves[static_cast<std::size_t>(curve)];
  // Leading zeros are left out by some, though RFC 7518 6.2.1.2 asks for them.
  if (x.size() > row.number_bytes || y.size() > row.number_bytes) {
    return Error<std::string>("a coordinate on " + std::string(row.group) + " has at most " + std::to_string(row.number_bytes) +
                              " bytes");
  }
  std::string point(1, '\x04');
  point.append(row.number_bytes - x.size(), '\0').append(x);
  point.append(row.number_bytes - y.size(), '\0').append(y);
  const BuilderHandle builder(OSSL_PARAM_BLD_new());
  if (!builder) return Error<std::string>("no memory");
  auto impl = std::make_unique<Impl>();
  impl->number_bytes = row.number_bytes;
  if (OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, row.group, 0) == 1 &&
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1) {
    impl->key = key_from("EC", builder.get());
  }
  if (!impl->key || !is_sound(impl->key.get())) {
    return Error<std::string>(take_error("this is not a point on " + std::string(row.group)));
  }
  return std::shared_ptr<const SignatureKey>(new SignatureKey(std::move(impl)));
}

SignatureKey::Made SignatureKey::ed25519(std::string_view key) {
  if (key.size() != kEd25519KeyBytes) {
    return Error<std::string>("an Ed25519 key has 32 bytes, this has " + std::to_string(key.size()));
  }
  auto impl = std::make_unique<Impl>();
  impl->key.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(key), key.size()));
  if (!impl->key) return Error<std::string>(take_error("this is not an Ed25519 key"));
  return std::shared_ptr<const SignatureKey>(new SignatureKey(std::move(impl)));
}

SignatureKey::Made SignatureKey::hmac(std::string_view secret) {
  if (secret.empty()) return Error<std::string>("a secret has at least one byte");
  auto impl = std::make_unique<Impl>();
  impl->secret = secret;
  return std::shared_ptr<const SignatureKey>(new SignatureKey(std::move(impl)));
}

SignatureKey::Made SignatureKey::of_certificate(std::string_view pem) {
  const BioHandle reader = reader_of(pem);
  const CertificateHandle certificate(reader ? PEM_read_bio_X509(reader.get(), nullptr, nullptr, nullptr) : nullptr);
  if (!certificate) return Error<std::string>(take_error("this is not a certificate in PEM"));
  auto impl = std::make_unique<Impl>();
  impl->is_rsa = true;
  impl->key.reset(X509_get_pubkey(certificate.get()));
  if (!impl->key || EVP_PKEY_get_base_id(impl->key.get()) != EVP_PKEY_RSA) {
    return Error<std::string>(take_error("the key of the certificate is not an RSA key"));
  }
  const int bits = EVP_PKEY_get_bits(impl->key.get());
  if (bits < kLeastRsaBits || bits > kMostRsaBits) {
    return Error<std::string>("an RSA key must have 1024 to 8192 bits, this has " + std::to_string(bits));
  }
  return std::shared_ptr<const SignatureKey>(new SignatureKey(std::move(impl)));
}

bool SignatureKey::verifies(SignatureAlgorithm algorithm, std::string_view data, std::string_view signature) const {
  const bool valid = impl_->verify(kAlgorithms[static_cast<std::size_t>(algorithm)], data, signature);
  if (!valid) ERR_clear_error();
  return valid;
}

}  // namespace millrace::tls
