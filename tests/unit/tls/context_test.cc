// What a context takes, and what it says of the rest.
#include "tls/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "tests/unit/tls/handshake_pair.h"

namespace millrace::tls {
namespace {

using namespace test;
using Part = ContextError::Part;
using testing::HasSubstr;
using testing::StartsWith;

ContextError error_of(const ContextConfig& config) {
  const auto made = Context::make(config);
  EXPECT_FALSE(made);
  return made ? ContextError{} : made.error();
}

TEST(TlsContext, KnowsItsCertificatesAndAuthorities) {
  ContextConfig config = mutual_config();
  config.certificates.push_back(shown(rsa_leaf()));
  const auto context = make(config);
  EXPECT_EQ(context->role(), Role::kServer);
  ASSERT_EQ(context->certificates().size(), 2u);
  EXPECT_EQ(context->certificates()[1].subject, "CN=rsa");
  ASSERT_EQ(context->authorities().size(), 1u);
  EXPECT_EQ(context->authorities()[0].subject, "CN=Test Authority");
}

TEST(TlsContext, AServerNeedsACertificate) {
  const auto error = error_of(ContextConfig{});
  EXPECT_EQ(error.part, Part::kCertificate);
  EXPECT_EQ(error.text, "A server needs a certificate: give one.");
}

TEST(TlsContext, AClientHasOneAtMost) {
  ContextConfig config = client_with(client_leaf());
  config.certificates.push_back(shown(rsa_leaf()));
  EXPECT_EQ(error_of(config).part, Part::kCertificate);
}

TEST(TlsContext, ACertificateThatIsNone) {
  ContextConfig config = server_config();
  config.certificates.push_back(
      {.chain = "-----BEGIN CERTIFICATE-----\nnonsense", .key = ecdsa_leaf().key, .password = {}, .ocsp_response = {}});
  const auto error = error_of(config);
  EXPECT_EQ(error.part, Part::kCertificate);
  EXPECT_EQ(error.index, 1u);
  EXPECT_THAT(error.text, StartsWith("The certificate chain cannot be read ("));
  config.certificates[1].chain = ecdsa_leaf().certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_EQ(error_of(config).part, Part::kCertificate) << "behind the leaf";
}

TEST(TlsContext, AKeyThatIsNoneOrAnothers) {
  ContextConfig config = server_config();
  config.certificates[0].key = "nonsense";
  EXPECT_EQ(error_of(config).part, Part::kKey);
  EXPECT_THAT(error_of(config).text, HasSubstr("The private key of CN=ecdsa cannot be read"));
  config.certificates[0].key = client_leaf().key;
  EXPECT_EQ(error_of(config).part, Part::kKey);
  EXPECT_THAT(error_of(config).text, HasSubstr("CN=ecdsa does not belong to the private key"));
}

TEST(TlsContext, AnEncryptedKeyNeedsItsPassword) {
  ContextConfig config = server_config();
  config.certificates[0].key = millrace::test::encrypted(ecdsa_leaf().key, "open sesame");
  EXPECT_THAT(error_of(config).text, HasSubstr("since it is encrypted: give its password"));
  config.certificates[0].password = "wrong";
  EXPECT_THAT(error_of(config).text, HasSubstr("with this password"));
  config.certificates[0].password = "open sesame";
  EXPECT_NE(make(config), nullptr);
}

TEST(TlsContext, APkcs12HasAllInOne) {
  const Authority intermediate("Intermediate", &authority());
  const Issued leaf = intermediate.issue({.common_name = "packed", .names = {"DNS:localhost"}});
  ContextConfig config = server_config();
  config.certificates = {{.chain = millrace::test::pkcs12(leaf, intermediate.certificate(), "secret"),
                          .key = {},
                          .password = "secret",
                          .ocsp_response = {}}};
  Pair pair(make(client_config()), make(config));
  ASSERT_TRUE(pair.shake().done()) << pair.client->failure().text;
  EXPECT_EQ(pair.client->take_established().facts->peer->chain, leaf.certificate + intermediate.certificate());
  config.certificates[0].password = "wrong";
  EXPECT_THAT(error_of(config).text, StartsWith("The PKCS #12 file cannot be read ("));
  config.certificates[0].chain = "nonsense";
  EXPECT_EQ(error_of(config).part, Part::kCertificate);
}

TEST(TlsContext, KeysOfWhichStrength) {
  for (const KeyKind kind : {KeyKind::kRsa1024, KeyKind::kSecp256k1}) {
    const auto error = error_of(server_config(authority().issue({.common_name = "weak", .key = kind})));
    EXPECT_EQ(error.part, Part::kCertificate);
    EXPECT_THAT(error.text, StartsWith("The certificate CN=weak has an"));
  }
  EXPECT_NE(make(server_config(authority().issue({.key = KeyKind::kP384}))), nullptr);
}

TEST(TlsContext, SignaturesOfWhichStrength) {
  ContextConfig config = server_config();
  config.certificates.push_back(shown(authority().issue({.common_name = "dated", .sha1 = true})));
  const auto error = error_of(config);
  EXPECT_EQ(error.part, Part::kCertificate);
  EXPECT_EQ(error.index, 1u) << "though it is used in no handshake yet";
  EXPECT_THAT(error.text, StartsWith("The certificate CN=dated cannot be used (ca md too weak)"));
}

TEST(TlsContext, AnExpiredCertificateIsOfNoUse) {
  ContextConfig config = server_config();
  config.clock = [] { return std::time(nullptr) + 2 * 86'400; };
  const auto error = error_of(config);
  EXPECT_EQ(error.part, Part::kCertificate);
  EXPECT_THAT(error.text, testing::ContainsRegex("CN=ecdsa expired at 20.*UTC, now it is 20.*UTC: renew it"));
}

TEST(TlsContext, AuthoritiesAndRevocationLists) {
  ContextConfig config = client_config();
  config.validation->trusted_ca = "nonsense";
  EXPECT_EQ(error_of(config).part, Part::kTrustedCa);
  EXPECT_THAT(error_of(config).text, HasSubstr("No authority can be read from trusted_ca"));
  config = client_config();
  config.validation->crl = "nonsense";
  EXPECT_EQ(error_of(config).part, Part::kCrl);
  config.validation->crl = authority().revocation_list({});
  EXPECT_NE(make(config), nullptr);
  config.validation->trusted_ca.clear();
  EXPECT_EQ(error_of(config).part, Part::kCrl) << "of whom?";
}

TEST(TlsContext, Ciphers) {
  ContextConfig config = only(Version::kTls12, client_config());
  config.ciphers = "[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-RSA-AES128-GCM-SHA256]:TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:AES128-SHA";
  EXPECT_NE(make(config), nullptr);
  for (const std::string wrong : {"ECDHE-NONSENSE", "ALL", "ADH-AES128-SHA256", "!AES128-SHA", "NULL-SHA256"}) {
    config.ciphers = "ECDHE-RSA-AES128-GCM-SHA256:" + wrong;
    EXPECT_EQ(error_of(config).part, Part::kCiphers);
    EXPECT_THAT(error_of(config).text, HasSubstr("\"" + wrong + "\""));
  }
  config.ciphers = "TLS_AES_128_GCM_SHA256";
  EXPECT_THAT(error_of(config).text, HasSubstr("TLS 1.3, which are always on"));
  config.ciphers = ":";
  EXPECT_EQ(error_of(config).part, Part::kCiphers);
}

TEST(TlsContext, CurvesAndSignatureAlgorithms) {
  ContextConfig config = client_config();
  config.curves = {"X25519", "P-256", "P-384", "P-521"};
  EXPECT_NE(make(config), nullptr);
  config.curves = {"P-256", "P-257"};
  EXPECT_EQ(error_of(config).part, Part::kCurves);
  EXPECT_THAT(error_of(config).text, HasSubstr("\"P-257\""));
  config = client_config();
  config.signature_algorithms = {"ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "rsa_pkcs1_sha256"};
  EXPECT_NE(make(config), nullptr);
  config.signature_algorithms.push_back("rsa_nonsense");
  EXPECT_EQ(error_of(config).part, Part::kSignatureAlgorithms);
  EXPECT_THAT(error_of(config).text, HasSubstr("\"rsa_nonsense\""));
}

TEST(TlsContext, VersionsProtocolsAndTicketKeys) {
  ContextConfig config = server_config();
  config.least_version = Version::kTls13;
  config.most_version = Version::kTls12;
  EXPECT_EQ(error_of(config).part, Part::kOther);
  config = server_config();
  config.protocols = {"h2", std::string(256, 'x')};
  EXPECT_THAT(error_of(config).text, HasSubstr("has 256 bytes"));
  config = server_config();
  config.ticket_keys = {std::string(80, 'a'), std::string(48, 'b')};
  EXPECT_EQ(error_of(config).part, Part::kTicketKeys);
  EXPECT_EQ(error_of(config).index, 1u);
}

TEST(TlsContext, Staples) {
  const Issued demanding = authority().issue({.common_name = "demanding", .must_staple = true});
  ContextConfig config = server_config(demanding);
  EXPECT_EQ(error_of(config).part, Part::kOcsp);
  EXPECT_THAT(error_of(config).text, HasSubstr("CN=demanding has no OCSP staple, which it demands itself"));
  config.certificates[0].ocsp_response = "nonsense";
  EXPECT_EQ(error_of(config).part, Part::kOcsp);
  config.certificates[0].ocsp_response = authority().ocsp_response(ecdsa_leaf().certificate, 600);
  EXPECT_THAT(error_of(config).text, HasSubstr("is of another certificate"));
  config.certificates[0].ocsp_response = authority().ocsp_response(demanding.certificate, 600);
  EXPECT_NE(make(config), nullptr);
  config = server_config();
  config.ocsp_policy = OcspPolicy::kMustStaple;
  EXPECT_THAT(error_of(config).text, HasSubstr("MUST_STAPLE"));
}

TEST(TlsCertificate, DnsNames) {
  EXPECT_TRUE(matches_dns_name("a.example", "A.Example"));
  EXPECT_TRUE(matches_dns_name("*.Example", "a.example"));
  EXPECT_FALSE(matches_dns_name("*.example", "a.b.example"));
  EXPECT_FALSE(matches_dns_name("*.example", "example"));
  EXPECT_FALSE(matches_dns_name("*.example", ".example"));
  EXPECT_FALSE(matches_dns_name("*", "a"));
  EXPECT_TRUE(matches_dns_name("a*.example", "ab.example"));
  EXPECT_FALSE(matches_dns_name("a.example", "*.example"));
  EXPECT_TRUE(matches_dns_name("", ""));
}

}  // namespace
}  // namespace millrace::tls
