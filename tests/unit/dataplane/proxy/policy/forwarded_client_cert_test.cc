#include "dataplane/proxy/policy/forwarded_client_cert.h"

#include <gtest/gtest.h>

#include "dataplane/proxy/policy/server_name.h"
#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using Mode = config::HttpConnectionManager::ForwardClientCert;
using http::HeaderId;

tls::SessionFacts session() {
  tls::SessionFacts facts;
  tls::CertificateFacts own;
  own.names = {{tls::NameKind::kDns, "gateway.example"}, {tls::NameKind::kUri, "spiffe://a/gateway"}};
  facts.own = std::make_shared<tls::CertificateFacts>(own);
  tls::PeerCertificate peer;
  peer.subject = "CN=a \"b\",O=c";
  peer.names = {
      {tls::NameKind::kUri, "spiffe://a/client"}, {tls::NameKind::kDns, "one.example"}, {tls::NameKind::kDns, "two.example"}};
  peer.fingerprint.fill(0xab);
  peer.pem = "-----BEGIN\nA+/=";
  peer.chain = "x y";
  facts.peer = std::make_shared<tls::PeerCertificate>(peer);
  return facts;
}

std::string hash() {
  std::string text = "Hash=";
  for (int i = 0; i < 32; ++i) text += "ab";
  return text;
}

TEST(ForwardedClientCert, TellsByAndHashAlwaysAndTheRestAsAsked) {
  EXPECT_EQ(client_cert_element(session(), {}), "By=spiffe://a/gateway;" + hash());
  EXPECT_EQ(client_cert_element(session(), {.subject = true, .cert = true, .chain = true, .dns = true, .uri = true}),
            "By=spiffe://a/gateway;" + hash() +
                ";Cert=\"-----BEGIN%0AA%2B%2F%3D\";Chain=\"x%20y\";Subject=\"CN=a "
                "\\\"b\\\",O=c\";URI=spiffe://a/client;DNS=one.example;"
                "DNS=two.example");
}

TEST(ForwardedClientCert, SaysNothingOfAClientWithoutOne) {
  tls::SessionFacts facts = session();
  facts.peer.reset();
  EXPECT_EQ(client_cert_element(facts, {.subject = true}), "");
}

struct Case {
  Mode mode;
  bool has_certificate;
  std::string_view expected;
};
class ForwardedClientCertMode : public ::testing::TestWithParam<Case> {};
TEST_P(ForwardedClientCertMode, DecidesWhatIsPassedOn) {
  Request request("/", {{"x-forwarded-client-cert", "By=before"}});
  ASSERT_TRUE(forward_client_cert(GetParam().mode, GetParam().has_certificate, "By=us", request.head.headers));
  EXPECT_EQ(request.head.headers.joined_value(HeaderId::kXForwardedClientCert), GetParam().expected);
}
INSTANTIATE_TEST_SUITE_P(Modes, ForwardedClientCertMode,
                         ::testing::Values(Case{Mode::kSanitize, true, ""}, Case{Mode::kSanitize, false, ""},
                                           Case{Mode::kForwardOnly, true, "By=before"}, Case{Mode::kForwardOnly, false, ""},
                                           Case{Mode::kAppendForward, true, "By=before,By=us"},
                                           Case{Mode::kAppendForward, false, ""}, Case{Mode::kSanitizeSet, true, "By=us"},
                                           Case{Mode::kSanitizeSet, false, ""}, Case{Mode::kAlwaysForwardOnly, true, "By=before"},
                                           Case{Mode::kAlwaysForwardOnly, false, "By=before"}));

TEST(ServerName, IsTheHostWithoutAPortInLowerCase) {
  Memory memory;
  const auto name = [&](std::string_view authority, std::string_view header = {}) {
    Request request("/", {{"x-sni", "From.Header:1"}});
    request.head.authority = authority;
    return std::string(server_name_of(request.head, header, memory.arena));
  };
  EXPECT_EQ(name("shop.example"), "shop.example");
  EXPECT_EQ(name("Shop.Example:8443"), "shop.example");
  EXPECT_EQ(name("192.0.2.1:443"), "192.0.2.1") << "which a certificate may name";
  EXPECT_EQ(name("[2001:DB8::1]:443"), "2001:db8::1");
  EXPECT_EQ(name("shop.example", "x-sni"), "from.header");
  EXPECT_EQ(name("shop.example", "x-other"), "shop.example");
}

}  // namespace
}  // namespace millrace::proxy
