#include "control-agent/json_web_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/jwt_signer.h"
#include "tests/support/test_certificates.h"

namespace millrace::agent {
namespace {

using millrace::test::JwtSigner;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string set_of(const std::vector<std::string>& keys) {
  std::string out;
  for (const std::string& key : keys) out += (out.empty() ? "" : ", ") + key;
  return R"({"keys": [)" + out + "]}";
}

/// Why the only key of a set is left out.
std::string error_of(const std::string& key) {
  const auto set = parse_json_web_keys(set_of({key}));
  return set ? "a key" : set.error();
}

TEST(JsonWebKeys, ReadsEveryKind) {
  struct Kind {
    std::string_view name;
    std::string algorithm;
  };
  for (const Kind& kind : {Kind{"RSA", "PS384"},
                           {"P-256", "ES256"},
                           {"P-384", "ES384"},
                           {"P-521", "ES512"},
                           {"Ed25519", "EdDSA"},
                           {"oct", "HS512"}}) {
    const JwtSigner signer(kind.name);
    const auto set =
        parse_json_web_keys(set_of({signer.jwk(), signer.jwk(R"("kid": "k", "use": "sig", "alg": ")" + kind.algorithm + '"')}));
    ASSERT_TRUE(set) << kind.name << ": " << set.error();
    ASSERT_EQ(set->keys.size(), 2u);
    EXPECT_EQ(set->keys[0].id, "");
    EXPECT_EQ(set->keys[0].algorithm, "");
    EXPECT_EQ(set->keys[1].id, "k");
    EXPECT_EQ(set->keys[1].algorithm, kind.algorithm);
    const auto algorithm = tls::signature_algorithm(kind.algorithm);
    for (const auto& key : set->keys) EXPECT_TRUE(key.key->verifies(*algorithm, "data", signer.sign(kind.algorithm, "data")));
  }
}

TEST(JsonWebKeys, LeavesOutWhatCannotBeUsed) {
  const JwtSigner signer("oct");
  const auto set = parse_json_web_keys(set_of({R"({"kty": "unknown"})", signer.jwk(), "1"}));
  ASSERT_TRUE(set);
  EXPECT_EQ(set->keys.size(), 1u);
  EXPECT_THAT(set->left_out, ElementsAre(HasSubstr("keys[0]: \"kty\" must be RSA, EC, OKP or oct, is \"unknown\""),
                                         HasSubstr("keys[2]: a key must be an object")));
}

TEST(JsonWebKeys, SaysWhatIsWrongWithAKey) {
  const JwtSigner rsa("RSA"), ec("P-256"), okp("Ed25519"), oct("oct");
  EXPECT_THAT(error_of(rsa.jwk(R"("alg": "ES256")")), HasSubstr("must start with RS or PS"));
  EXPECT_THAT(error_of(ec.jwk(R"("alg": "ES384")")), HasSubstr("P-384 with ES384"));
  EXPECT_THAT(error_of(okp.jwk(R"("alg": "HS256")")), HasSubstr("must be EdDSA"));
  EXPECT_THAT(error_of(oct.jwk(R"("alg": "RS256")")), HasSubstr("must be HS256"));
  EXPECT_THAT(error_of(R"({"kty": "RSA", "e": "AQAB"})"), HasSubstr("\"n\" is missing"));
  EXPECT_THAT(error_of(R"({"kty": "RSA", "n": 1, "e": "AQAB"})"), HasSubstr("\"n\" must be a string"));
  EXPECT_THAT(error_of(R"({"kty": "RSA", "n": "a+b", "e": "AQAB"})"), HasSubstr("\"n\" is not base64url"));
  EXPECT_THAT(error_of(R"({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"})"), HasSubstr("not a point on P-256"));
  EXPECT_THAT(error_of(R"({"kty": "OKP", "crv": "X25519", "x": "AQ"})"), HasSubstr("must be Ed25519, is \"X25519\""));
  EXPECT_THAT(error_of(R"({"kty": "oct", "k": ""})"), HasSubstr("\"k\" is not base64url"));
  EXPECT_THAT(error_of(R"({"kty": 1})"), HasSubstr("\"kty\" must be a string"));
}

TEST(JsonWebKeys, SaysWhatIsWrongWithASet) {
  const auto error = [](std::string_view text) {
    const auto set = parse_json_web_keys(text);
    return set ? "a set" : set.error();
  };
  EXPECT_THAT(error("nonsense"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(error("[]"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(error("{}"), HasSubstr("has no key"));
  EXPECT_THAT(error(R"({"keys": {}})"), HasSubstr("\"keys\" must be an array"));
  EXPECT_THAT(error(R"({"keys": []})"), HasSubstr("has no key"));
  EXPECT_THAT(error(R"({"a": 1})"), HasSubstr("must be a certificate in PEM"));
}

TEST(JsonWebKeys, ReadsCertificatesByKid) {
  const millrace::test::Authority authority("issuer");
  const nlohmann::json document = {{"one", authority.issue({.key = millrace::test::KeyKind::kRsa2048}).certificate}};
  const auto set = parse_json_web_keys(document.dump());
  ASSERT_TRUE(set) << set.error();
  ASSERT_EQ(set->keys.size(), 1u);
  EXPECT_EQ(set->keys[0].id, "one");
}

}  // namespace
}  // namespace millrace::agent
