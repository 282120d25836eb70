#include "tls/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/base/base64.h"
#include "tests/support/jwt_signer.h"
#include "tests/support/test_certificates.h"

namespace millrace::tls {
namespace {

using test::JwtSigner;
using ::testing::HasSubstr;
using Curve = SignatureKey::Curve;

std::string decoded(std::string_view text) {
  std::string out(base64_decoded_size(text.size()), '\0');
  EXPECT_TRUE(decode_base64url(text, out)) << text;
  return out;
}

/// One of the RFCs' examples, and that neither other data nor another signature passes.
void expect_verifies(const SignatureKey::Made& key, std::string_view algorithm, std::string_view data,
                     std::string_view signature) {
  ASSERT_TRUE(key) << key.error();
  const auto known = signature_algorithm(algorithm);
  ASSERT_TRUE(known);
  std::string raw = decoded(signature);
  EXPECT_TRUE((*key)->verifies(*known, data, raw));
  EXPECT_FALSE((*key)->verifies(*known, std::string(data) + "x", raw));
  raw[raw.size() / 2] ^= 1;
  EXPECT_FALSE((*key)->verifies(*known, data, raw));
  EXPECT_FALSE((*key)->verifies(*known, data, ""));
}

// RFC 7515 A.1 to A.3 sign the same claims.
constexpr std::string_view kClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
std::string with_claims(std::string_view header) { return std::string(header) + "." + std::string(kClaims); }

TEST(SignatureKey, Rfc7515HmacSha256) {
  expect_verifies(
      SignatureKey::hmac(decoded("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")),
      "HS256", with_claims("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

TEST(SignatureKey, Rfc7515RsaSha256) {
  expect_verifies(
      SignatureKey::rsa(
          decoded("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
                  "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB"
                  "dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia"
                  "GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"),
          decoded("AQAB")),
      "RS256", with_claims("eyJhbGciOiJSUzI1NiJ9"),
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
      "O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYN"
      "X4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
      "eOkHWEsqtFZESc6BfI7no"
      "OPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw");
}

TEST(SignatureKey, Rfc7515EcdsaP256) {
  expect_verifies(SignatureKey::ec(Curve::kP256, decoded("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                                   decoded("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")),
                  "ES256", with_claims("eyJhbGciOiJFUzI1NiJ9"),
                  "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
}

TEST(SignatureKey, Rfc7515EcdsaP521) {
  expect_verifies(
      SignatureKey::ec(Curve::kP521,
                       decoded("AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk"),
                       decoded("ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2")),
      "ES512", "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
      "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_"
      "7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8Kp"
      "EHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn");
}

TEST(SignatureKey, Rfc8037Ed25519) {
  expect_verifies(SignatureKey::ed25519(decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")), "EdDSA",
                  "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
                  "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
}

TEST(SignatureKey, EveryKindVerifiesItsAlgorithmsAndNoOthers) {
  struct Kind {
    std::string_view name;
    std::vector<std::string_view> algorithms;
  };
  const std::vector<Kind> kinds = {{"RSA", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}},
                                   {"P-256", {"ES256"}},
                                   {"P-384", {"ES384"}},
                                   {"P-521", {"ES512"}},
                                   {"Ed25519", {"EdDSA"}},
                                   {"oct", {"HS256", "HS384", "HS512"}}};
  for (const Kind& kind : kinds) {
    const JwtSigner signer(kind.name);
    for (const std::string_view algorithm : kind.algorithms) {
      const std::string signature = signer.sign(algorithm, "data");
      for (const Kind& other : kinds) {
        for (const std::string_view tried : other.algorithms) {
          EXPECT_EQ(signer.key()->verifies(*signature_algorithm(tried), "data", signature), tried == algorithm)
              << algorithm << " as " << tried;
        }
      }
    }
  }
}

TEST(SignatureKey, KnowsAlgorithmsByTheirExactNames) {
  for (const std::string_view name : {"none", "None", "rs256", "RS1", "ES256K", "", "HS2560"}) {
    EXPECT_FALSE(signature_algorithm(name)) << name;
  }
}

TEST(SignatureKey, RefusesWeakAndWrongKeys) {
  const std::string modulus(256, '\xff');
  const auto error = [](const SignatureKey::Made& made) { return made ? std::string("a key") : made.error(); };
  EXPECT_THAT(error(SignatureKey::rsa(std::string(96, '\xff'), "\x03")), HasSubstr("1024 to 8192 bits, this has 768"));
  EXPECT_THAT(error(SignatureKey::rsa(std::string(1025, '\xff'), "\x03")), HasSubstr("1024 to 8192 bits, this has 8200"));
  EXPECT_THAT(error(SignatureKey::rsa(modulus, "\x05")), HasSubstr("exponent"));
  EXPECT_THAT(error(SignatureKey::rsa(modulus, std::string(300, '\x01'))), HasSubstr("exponent"));
  EXPECT_THAT(error(SignatureKey::ec(Curve::kP256, std::string(32, '\x01'), std::string(32, '\x01'))),
              HasSubstr("not a point on P-256"));
  EXPECT_THAT(error(SignatureKey::ec(Curve::kP256, std::string(33, '\x01'), "\x01")), HasSubstr("at most 32 bytes"));
  EXPECT_THAT(error(SignatureKey::ed25519("short")), HasSubstr("32 bytes, this has 5"));
  EXPECT_THAT(error(SignatureKey::hmac("")), HasSubstr("at least one byte"));
}

TEST(SignatureKey, TakesTheKeyOfACertificate) {
  const test::Authority authority("issuer");
  EXPECT_TRUE(SignatureKey::of_certificate(authority.issue({.key = test::KeyKind::kRsa2048}).certificate));
  EXPECT_FALSE(SignatureKey::of_certificate(authority.issue({.key = test::KeyKind::kP256}).certificate));
  EXPECT_FALSE(SignatureKey::of_certificate("nonsense"));
}

}  // namespace
}  // namespace millrace::tls
