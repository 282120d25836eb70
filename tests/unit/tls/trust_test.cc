// Who is believed: chains, revocation, names, hashes; and what those hear who are not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/tls/handshake_pair.h"
#include "tls/engines/openssl_engine.h"

namespace millrace::tls {
namespace {

using namespace test;
using Reason = HandshakeFailure::Reason;
using testing::HasSubstr;

class TlsTrust : public testing::TestWithParam<Version> {
 protected:
  // Of a server that judges a client.
  HandshakeFailure refused_client(const ContextConfig& server, const ContextConfig& client) {
    Pair pair(make(only(GetParam(), client)), make(server));
    pair.shake();
    EXPECT_EQ(pair.server_status, Status::kFailed);
    if (pair.server_status != Status::kFailed) return {};
    hears(pair, pair.server->failure());
    return pair.server->failure();
  }
  bool takes_client(const ContextConfig& server, const ContextConfig& client) {
    Pair pair(make(only(GetParam(), client)), make(server));
    if (!pair.shake().done()) return false;
    last = pair.server->take_established().facts;
    return true;
  }
  // Of a client that judges a server.
  HandshakeFailure refused_server(const ContextConfig& client, const ContextConfig& server,
                                  const HandshakeOptions& options = {}) {
    Pair pair(make(only(GetParam(), client)), make(server), options);
    pair.shake();
    EXPECT_EQ(pair.client_status, Status::kFailed);
    if (pair.client_status != Status::kFailed) return {};
    EXPECT_EQ(pair.server->failure().reason, Reason::kPeerAlert);
    EXPECT_EQ(pair.server->failure().alert, pair.client->failure().alert);
    return pair.client->failure();
  }
  bool takes_server(const ContextConfig& client, const ContextConfig& server, const HandshakeOptions& options = {}) {
    Pair pair(make(only(GetParam(), client)), make(server), options);
    if (!pair.shake().done()) return false;
    last = pair.client->take_established().facts;
    return true;
  }

  std::shared_ptr<const SessionFacts> last;

 private:
  // The alert is what the client gets: in TLS 1.3 it takes itself for connected by then, and it comes as a record.
  static void hears(Pair& pair, const HandshakeFailure& failure) {
    ASSERT_TRUE(failure.alert);
    if (pair.client_status == Status::kFailed) {
      EXPECT_EQ(pair.client->failure().reason, Reason::kPeerAlert);
      EXPECT_EQ(pair.client->failure().alert, failure.alert);
      EXPECT_THAT(pair.client->failure().text, HasSubstr("alert"));
      return;
    }
    ASSERT_EQ(pair.client_status, Status::kDone);
    const auto engine = make_openssl_engine();
    End client(*engine, pair.client->take_established());
    Bytes rest = pair.to_client;
    const Opened opened = client.receive(take_record(rest));
    EXPECT_EQ(opened.type, ContentType::kAlert);
    EXPECT_EQ(opened.text, (Bytes{2, static_cast<std::uint8_t>(*failure.alert)}));
  }
};
INSTANTIATE_TEST_SUITE_P(Both, TlsTrust, testing::Values(Version::kTls12, Version::kTls13));

TEST_P(TlsTrust, ACertificateThatIsRequiredHasToCome) {
  const auto failure = refused_client(mutual_config(), client_config());
  EXPECT_EQ(failure.reason, Reason::kNoCertificate);
  EXPECT_EQ(failure.alert, GetParam() == Version::kTls13 ? Alert::kCertificateRequired : Alert::kHandshakeFailure);
  EXPECT_EQ(failure.text, "peer did not return a certificate");
  ContextConfig optional = mutual_config();
  optional.require_client_certificate = false;
  EXPECT_TRUE(takes_client(optional, client_config()));
  EXPECT_FALSE(last->peer);
  EXPECT_FALSE(last->peer_verified);
}

TEST_P(TlsTrust, OneThatIsOptionalIsStillJudged) {
  ContextConfig optional = mutual_config();
  optional.require_client_certificate = false;
  EXPECT_EQ(refused_client(optional, client_with(stranger().issue())).reason, Reason::kUntrusted);
}

TEST_P(TlsTrust, AnAuthorityThatIsNotOurs) {
  const auto failure = refused_client(mutual_config(), client_with(stranger().issue({.common_name = "strange"})));
  EXPECT_EQ(failure.reason, Reason::kUntrusted);
  EXPECT_EQ(failure.alert, Alert::kUnknownCa);
  EXPECT_THAT(failure.text, HasSubstr("CN=strange is not trusted: unable to get local issuer certificate"));
  EXPECT_EQ(refused_server(client_config(), server_config(stranger().issue())).alert, Alert::kUnknownCa);
}

TEST_P(TlsTrust, WhatIsNotValidNow) {
  const Issued expired = authority().issue({.common_name = "old", .not_before = -7200, .not_after = 60});
  ContextConfig late = mutual_config();
  late.clock = [] { return std::time(nullptr) + 120; };
  const auto failure = refused_client(late, client_with(expired));
  EXPECT_EQ(failure.reason, Reason::kUntrusted);
  EXPECT_EQ(failure.alert, Alert::kCertificateExpired);
  EXPECT_THAT(failure.text, HasSubstr("CN=old is not trusted: certificate has expired"));
  late.validation->accept_expired = true;
  EXPECT_TRUE(takes_client(late, client_with(expired)));
  EXPECT_TRUE(last->peer_verified);
  const Issued early = authority().issue({.common_name = "young", .not_before = 3600});
  EXPECT_EQ(refused_client(mutual_config(), client_with(early)).alert, Alert::kBadCertificate);
}

TEST_P(TlsTrust, WhatWasRevoked) {
  const Issued revoked = authority().issue({.common_name = "revoked"});
  ContextConfig config = mutual_config();
  config.validation->crl = authority().revocation_list(std::vector{revoked.certificate});
  const auto failure = refused_client(config, client_with(revoked));
  EXPECT_EQ(failure.reason, Reason::kUntrusted);
  EXPECT_EQ(failure.alert, Alert::kCertificateRevoked);
  EXPECT_THAT(failure.text, HasSubstr("CN=revoked is not trusted: certificate revoked"));
  EXPECT_TRUE(takes_client(config, client_with(client_leaf())));
}

TEST_P(TlsTrust, ARevocationListForEachAuthorityOfTheChainOrForTheLeafAlone) {
  const Authority intermediate("Intermediate", &authority());
  Issued leaf = intermediate.issue({.common_name = "below"});
  leaf.certificate += intermediate.certificate();
  ContextConfig config = mutual_config();
  config.validation->crl = intermediate.revocation_list({});
  EXPECT_THAT(refused_client(config, client_with(leaf)).text, HasSubstr("unable to get certificate CRL"));
  ContextConfig leaf_only = config;
  leaf_only.validation->crl_of_leaf_only = true;
  EXPECT_TRUE(takes_client(leaf_only, client_with(leaf)));
  config.validation->crl += authority().revocation_list({});
  EXPECT_TRUE(takes_client(config, client_with(leaf)));
}

TEST_P(TlsTrust, ChainsAndTheirDepth) {
  const Authority intermediate("Intermediate", &authority());
  Issued leaf = intermediate.issue({.common_name = "below", .names = {"DNS:localhost"}});
  EXPECT_EQ(refused_client(mutual_config(), client_with(leaf)).alert, Alert::kUnknownCa) << "without the intermediate";
  leaf.certificate += intermediate.certificate();
  EXPECT_TRUE(takes_client(mutual_config(), client_with(leaf)));
  EXPECT_EQ(last->peer->chain, leaf.certificate);
  EXPECT_TRUE(takes_server(client_config(), server_config(leaf)));
  EXPECT_EQ(last->peer->chain, leaf.certificate);
  ContextConfig shallow = mutual_config();
  shallow.validation->most_intermediates = 0;
  EXPECT_EQ(refused_client(shallow, client_with(leaf)).alert, Alert::kUnknownCa);
  shallow.validation->most_intermediates = 1;
  EXPECT_TRUE(takes_client(shallow, client_with(leaf)));
  ContextConfig anchored = mutual_config();
  anchored.validation = trusting(intermediate);
  EXPECT_TRUE(takes_client(anchored, client_with(leaf))) << "an intermediate may be the anchor";
}

TEST_P(TlsTrust, ForWhatACertificateMayBeUsed) {
  const Issued server_only = authority().issue({.names = {"DNS:localhost"}, .extended_key_usage = "serverAuth"});
  EXPECT_EQ(refused_client(mutual_config(), client_with(server_only)).alert, Alert::kUnsupportedCertificate);
  EXPECT_TRUE(takes_server(client_config(), server_config(server_only)));
}

TEST_P(TlsTrust, NamesThatWillNotDo) {
  ContextConfig config = mutual_config();
  std::vector<SubjectName> seen;
  config.validation->accepts_names = [&seen](std::span<const SubjectName> names) {
    seen.assign(names.begin(), names.end());
    return false;
  };
  const auto failure = refused_client(config, client_with(client_leaf()));
  EXPECT_EQ(failure.reason, Reason::kWrongName);
  EXPECT_EQ(failure.alert, Alert::kBadCertificate);
  EXPECT_THAT(failure.text, HasSubstr("CN=client has the names spiffe://cluster.local/ns/a/sa/b, client.example"));
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(refused_client(config, client_with(stranger().issue())).reason, Reason::kUntrusted) << "the chain comes first";
  config.require_client_certificate = false;
  EXPECT_EQ(refused_client(config, client_config()).reason, Reason::kNoCertificate) << "only a certificate has a name";
}

TEST_P(TlsTrust, TheExpectedNameOfAServer) {
  HandshakeOptions options;
  const Issued leaf = authority().issue({.names = {"DNS:Web.example", "DNS:*.a.example", "IP:10.0.0.1", "IP:2001:db8::1"}});
  for (const std::string name : {"web.example", "b.a.example", "10.0.0.1", "2001:DB8:0::1"}) {
    options.expected_name = name;
    EXPECT_TRUE(takes_server(client_config(), server_config(leaf), options)) << name;
  }
  for (const std::string name : {"a.example", "c.b.a.example", "10.0.0.2", "*.example", "example"}) {
    options.expected_name = name;
    const auto failure = refused_server(client_config(), server_config(leaf), options);
    EXPECT_EQ(failure.reason, Reason::kWrongName) << name;
    EXPECT_EQ(failure.alert, Alert::kBadCertificate) << name;
    EXPECT_THAT(failure.text, HasSubstr("which is not " + name));
  }
  ContextConfig config = client_config();
  config.validation->accepts_names = [](std::span<const SubjectName>) { return false; };
  options.expected_name = "web.example";
  EXPECT_TRUE(takes_server(config, server_config(leaf), options)) << "it replaces what else is said of names";
}

TEST_P(TlsTrust, HashesOfEitherKind) {
  ContextConfig config = mutual_config();
  config.validation->certificate_hashes = {millrace::test::fingerprint(ecdsa_leaf().certificate)};
  const auto failure = refused_client(config, client_with(client_leaf()));
  EXPECT_EQ(failure.reason, Reason::kWrongHash);
  EXPECT_EQ(failure.alert, Alert::kBadCertificate);
  config.validation->public_key_hashes = {millrace::test::public_key_hash(client_leaf().certificate)};
  EXPECT_TRUE(takes_client(config, client_with(client_leaf())));
  config.validation->certificate_hashes = {millrace::test::fingerprint(client_leaf().certificate)};
  config.validation->public_key_hashes = {};
  EXPECT_TRUE(takes_client(config, client_with(client_leaf())));
}

TEST_P(TlsTrust, HashesWithoutAnAuthority) {
  const Issued strange = stranger().issue();
  ContextConfig config = server_config();
  config.validation = ValidationConfig{};
  config.validation->certificate_hashes = {millrace::test::fingerprint(strange.certificate)};
  EXPECT_TRUE(takes_client(config, client_with(strange)));
  EXPECT_FALSE(last->peer_verified) << "its chain was not";
  EXPECT_EQ(refused_client(config, client_with(client_leaf())).reason, Reason::kWrongHash);
}

TEST_P(TlsTrust, TheUntrustedIsTakenWhereThatIsWanted) {
  ContextConfig config = mutual_config();
  config.validation->accept_untrusted = true;
  config.validation->accepts_names = [](std::span<const SubjectName>) { return false; };
  EXPECT_TRUE(takes_client(config, client_with(stranger().issue({.common_name = "strange"}))));
  EXPECT_FALSE(last->peer_verified);
  EXPECT_EQ(last->peer->subject, "CN=strange");
  EXPECT_TRUE(takes_client(config, client_with(client_leaf())));
  EXPECT_TRUE(last->peer_verified);
}

TEST_P(TlsTrust, WithoutValidationAnyServerIsTaken) {
  ContextConfig config = client_config();
  config.validation.reset();
  EXPECT_TRUE(takes_server(config, server_config(stranger().issue())));
  EXPECT_FALSE(last->peer_verified);
  HandshakeOptions options;
  options.expected_name = "localhost";
  EXPECT_EQ(refused_server(config, server_config(stranger().issue()), options).reason, Reason::kWrongName);
}

}  // namespace
}  // namespace millrace::tls
