// Which certificate a client gets, and whether with an OCSP staple.
#include "tls/openssl/certificate_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <ctime>
#include <string>
#include <vector>

#include "tests/unit/tls/handshake_pair.h"
#include "tls/openssl/context_impl.h"

namespace millrace::tls {
namespace {

using namespace test;
using testing::HasSubstr;

const std::vector<int> kAllCurves = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};

class TlsCertificateChoice : public testing::Test {
 protected:
  void add(const CertificateSpec& spec, std::int64_t staple_for = 0) {
    const Issued issued = authority().issue(spec);
    CertificateConfig config = shown(issued);
    if (staple_for != 0) config.ocsp_response = authority().ocsp_response(issued.certificate, staple_for);
    auto own = OwnCertificate::read(config, now);
    ASSERT_TRUE(own) << own.error().text;
    certificates.push_back(std::move(*own));
  }
  CertificateChoice::Result choose(const CertificateChoice::Client& client, bool scan = false) {
    return CertificateChoice(certificates, policy, scan).choose(client, now);
  }
  std::size_t named(std::string_view name, std::vector<int> curves = kAllCurves) {
    return choose({.server_name = name, .ecdsa_curves = std::move(curves)}).index;
  }

  std::int64_t now = std::time(nullptr);
  OcspPolicy policy = OcspPolicy::kLenientStapling;
  std::vector<OwnCertificate> certificates;
};

TEST_F(TlsCertificateChoice, ExactNameThenWildcardThenTheFirst) {
  add({.names = {"DNS:first.example"}});
  add({.names = {"DNS:*.a.example"}});
  add({.names = {"DNS:WWW.a.example", "DNS:other.example"}});
  add({.common_name = "named.example"});
  add({.common_name = "hidden.example", .names = {"URI:spiffe://x"}});
  EXPECT_EQ(named("www.a.example"), 2u);
  EXPECT_EQ(named("other.example"), 2u);
  EXPECT_EQ(named("b.a.example"), 1u);
  EXPECT_EQ(named("c.b.a.example"), 0u) << "one label";
  EXPECT_EQ(named("a.example"), 0u);
  EXPECT_EQ(named("named.example"), 3u) << "the subject, where there are no names";
  EXPECT_EQ(named("hidden.example"), 0u) << "but not beside names of any kind";
  EXPECT_EQ(named(""), 0u);
}

TEST_F(TlsCertificateChoice, EcdsaForThoseWhoCanCheckIt) {
  add({.names = {"DNS:a.example"}, .key = KeyKind::kRsa2048});
  add({.names = {"DNS:a.example"}, .key = KeyKind::kP384});
  EXPECT_EQ(named("a.example"), 1u);
  EXPECT_EQ(named("a.example", {NID_X9_62_prime256v1}), 0u) << "another curve";
  EXPECT_EQ(named("a.example", {}), 0u);
  EXPECT_EQ(named("", kAllCurves), 1u) << "without a name, too";
  EXPECT_EQ(named("b.example"), 0u) << "a name that nobody has: the first";
  EXPECT_EQ(choose({.server_name = "b.example", .ecdsa_curves = kAllCurves}, true).index, 1u) << "unless all are looked at";
}

TEST_F(TlsCertificateChoice, LenientStapling) {
  add({});
  add({.names = {"DNS:stapled"}}, 60);
  add({.names = {"DNS:expired"}}, -60);
  const auto staple_of = [&](std::string_view name, bool wanted = true) {
    return choose({.server_name = name, .ecdsa_curves = kAllCurves, .wants_staple = wanted}).staple;
  };
  EXPECT_EQ(staple_of(""), Staple::kOmitted);
  EXPECT_EQ(staple_of("stapled"), Staple::kAttached);
  EXPECT_EQ(staple_of("stapled", false), Staple::kNotAsked);
  EXPECT_EQ(staple_of("expired"), Staple::kOmitted);
  policy = OcspPolicy::kStrictStapling;
  EXPECT_EQ(staple_of(""), Staple::kOmitted);
  EXPECT_EQ(staple_of("stapled"), Staple::kAttached);
  EXPECT_EQ(staple_of("expired", false), Staple::kNotAsked);
  policy = OcspPolicy::kMustStaple;
  EXPECT_EQ(staple_of("stapled"), Staple::kAttached);
  now += 120;
  EXPECT_EQ(staple_of("stapled", false), Staple::kNotAsked) << "those who do not ask do not get";
}

TEST_F(TlsCertificateChoice, APolicyThatDoesNotDoWithoutPassesOver) {
  add({.names = {"DNS:a.example"}}, -60);
  policy = OcspPolicy::kStrictStapling;
  const CertificateChoice::Client client = {.server_name = "a.example", .ecdsa_curves = kAllCurves, .wants_staple = true};
  EXPECT_EQ(choose(client).staple, Staple::kRefused) << "nothing else is there";
  add({.names = {"DNS:a.example"}, .key = KeyKind::kRsa2048});
  EXPECT_EQ(choose(client).index, 1u);
  EXPECT_EQ(choose(client).staple, Staple::kOmitted);
}

TEST_F(TlsCertificateChoice, ACertificateMayDemandItself) {
  add({.names = {"DNS:a.example"}, .must_staple = true}, 60);
  const CertificateChoice::Client client = {.server_name = "a.example", .ecdsa_curves = kAllCurves, .wants_staple = true};
  EXPECT_EQ(choose(client).staple, Staple::kAttached);
  now += 120;
  EXPECT_EQ(choose(client).staple, Staple::kRefused);
}

// In a handshake.

class TlsServerCertificates : public testing::TestWithParam<Version> {
 protected:
  TlsServerCertificates() {
    config.certificates = {shown(rsa_leaf()), shown(ecdsa_leaf()),
                           shown(authority().issue({.common_name = "vhost", .names = {"DNS:vhost.example"}}))};
  }
  std::string subject_for(ContextConfig client, const std::string& name) {
    client.server_name = name;
    Pair pair(make(only(GetParam(), client)), make(config));
    if (!pair.shake().done()) return "nothing";
    const auto facts = pair.client->take_established().facts;
    EXPECT_EQ(pair.server->take_established().facts->own->subject, facts->peer->subject);
    return facts->peer->subject;
  }
  ContextConfig config = server_config();
};
INSTANTIATE_TEST_SUITE_P(Both, TlsServerCertificates, testing::Values(Version::kTls12, Version::kTls13));

TEST_P(TlsServerCertificates, ByNameAndKey) {
  EXPECT_EQ(subject_for(client_config(), "VHOST.example"), "CN=vhost");
  EXPECT_EQ(subject_for(client_config(), "localhost"), "CN=ecdsa");
  EXPECT_EQ(subject_for(client_config(), "nobody.example"), "CN=rsa") << "the first";
  EXPECT_EQ(subject_for(client_config(), "a.example.com"), "CN=ecdsa");
  EXPECT_EQ(subject_for(client_config(), ""), "CN=ecdsa") << "the best of all";
  ContextConfig only_rsa = client_config();
  only_rsa.signature_algorithms = {"rsa_pss_rsae_sha256"};
  EXPECT_EQ(subject_for(only_rsa, "localhost"), "CN=rsa");
  EXPECT_EQ(subject_for(only_rsa, ""), "CN=rsa");
}

TEST_P(TlsServerCertificates, CiphersOfTls12NameTheKeyToo) {
  if (GetParam() == Version::kTls13) return;
  ContextConfig only_rsa = client_config();
  only_rsa.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
  EXPECT_EQ(subject_for(only_rsa, "localhost"), "CN=rsa");
  ContextConfig other_curves = client_config();
  other_curves.curves = {"X25519"};
  EXPECT_EQ(subject_for(other_curves, "localhost"), "CN=rsa") << "P-256 is not among them";
}

struct Stapled {
  Status server = Status::kNeedMore;
  std::string response = {};
  Staple told = Staple::kNotAsked;  ///< by the facts, or the failure
};

// A client that OpenSSL runs alone.
Stapled staple_from(const ContextPointer& context, int version) {
  SSL_CTX* client_context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(client_context, version);
  SSL* client = SSL_new(client_context);
  SSL_set_tlsext_status_type(client, TLSEXT_STATUSTYPE_ocsp);
  SSL_set_connect_state(client);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(client, in, out);
  Stapled result;
  const auto server = Handshake::make(context);
  for (int i = 0; i < 4 && result.server == Status::kNeedMore; ++i) {
    (void)SSL_do_handshake(client);
    Bytes bytes(BIO_ctrl_pending(out));
    BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
    result.server = server->run(bytes);
    const Bytes answer = server->take_output();
    BIO_write(in, answer.data(), static_cast<int>(answer.size()));
  }
  const unsigned char* response = nullptr;
  const long size = SSL_get_tlsext_status_ocsp_resp(client, &response);
  if (size > 0) result.response.assign(reinterpret_cast<const char*>(response), static_cast<std::size_t>(size));
  if (result.server == Status::kFailed) {
    EXPECT_EQ(server->failure().reason, HandshakeFailure::Reason::kNoStaple);
    EXPECT_THAT(server->failure().text, HasSubstr("OCSP staple of CN=leaf is missing or has expired"));
    result.told = server->failure().staple;
  } else {
    result.told = server->take_established().facts->staple;
  }
  SSL_free(client);
  SSL_CTX_free(client_context);
  return result;
}

TEST_P(TlsServerCertificates, AreStapledForThoseWhoAsk) {
  const int version = GetParam() == Version::kTls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
  const Issued leaf = authority().issue();
  ContextConfig stapled = server_config(leaf);
  stapled.certificates[0].ocsp_response = authority().ocsp_response(leaf.certificate, 600);
  stapled.ocsp_policy = OcspPolicy::kMustStaple;
  const Stapled good = staple_from(make(stapled), version);
  EXPECT_EQ(good.server, Status::kDone);
  EXPECT_EQ(good.response, stapled.certificates[0].ocsp_response);
  EXPECT_EQ(good.told, Staple::kAttached);
  stapled.clock = [] { return std::time(nullptr) + 3600; };
  const Stapled refused = staple_from(make(stapled), version);
  EXPECT_EQ(refused.server, Status::kFailed);
  EXPECT_EQ(refused.told, Staple::kRefused);
  stapled.ocsp_policy = OcspPolicy::kLenientStapling;
  const Stapled lenient = staple_from(make(stapled), version);
  EXPECT_EQ(lenient.server, Status::kDone);
  EXPECT_EQ(lenient.response, "");
  EXPECT_EQ(lenient.told, Staple::kOmitted);
}

}  // namespace
}  // namespace millrace::tls
