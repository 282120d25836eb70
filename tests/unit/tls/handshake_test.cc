// Handshakes of both versions with every suite, however the bytes are cut; what they leave is used by the record layer.
#include "tls/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <atomic>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/unit/tls/handshake_pair.h"
#include "tls/engines/ipsec_mb_engine.h"
#include "tls/engines/openssl_engine.h"
#include "tls/openssl/context_impl.h"

namespace millrace::tls {
namespace {

using namespace test;
using Reason = HandshakeFailure::Reason;
using testing::HasSubstr;

// TLS 1.3 has no setting for its suites: they are left out of the client's SSL_CTX before anybody uses it.
ContextPointer client_of(Version version, const std::string& suite) {
  ContextConfig config = only(version, client_config());
  if (version == Version::kTls12) config.ciphers = suite;
  ContextPointer context = make(config);
  if (version == Version::kTls13) (void)SSL_CTX_set_ciphersuites(context->impl().ssl.get(), suite.c_str());
  return context;
}

struct SuiteCase {
  Version version;
  const char* suite;
  bool rsa;
};

std::size_t established_tickets(Version version, bool resumed) {
  if (version == Version::kTls12) return resumed ? 0 : 1;
  return resumed ? 1 : 2;
}

class TlsHandshakeSuites : public testing::TestWithParam<std::tuple<SuiteCase, bool>> {};
INSTANTIATE_TEST_SUITE_P(All, TlsHandshakeSuites,
                         testing::Combine(testing::Values(SuiteCase{Version::kTls13, "TLS_AES_128_GCM_SHA256", false},
                                                          SuiteCase{Version::kTls13, "TLS_AES_256_GCM_SHA384", true},
                                                          SuiteCase{Version::kTls13, "TLS_CHACHA20_POLY1305_SHA256", false},
                                                          SuiteCase{Version::kTls12, "ECDHE-ECDSA-AES128-GCM-SHA256", false},
                                                          SuiteCase{Version::kTls12, "ECDHE-ECDSA-AES256-GCM-SHA384", false},
                                                          SuiteCase{Version::kTls12, "ECDHE-ECDSA-CHACHA20-POLY1305", false},
                                                          SuiteCase{Version::kTls12, "ECDHE-RSA-AES128-GCM-SHA256", true},
                                                          SuiteCase{Version::kTls12, "ECDHE-RSA-AES256-GCM-SHA384", true},
                                                          SuiteCase{Version::kTls12, "ECDHE-RSA-CHACHA20-POLY1305", true}),
                                          testing::Bool()));

// Full and then resumed: sequence numbers and nonces differ.
TEST_P(TlsHandshakeSuites, RecordsGoOnWhereTheHandshakeEnded) {
  const auto& [wanted, ipsec_mb] = GetParam();
  const auto engine = ipsec_mb ? make_ipsec_mb_engine() : make_openssl_engine();
  ContextConfig config = server_config(wanted.rsa ? rsa_leaf() : ecdsa_leaf());
  if (wanted.version == Version::kTls12) config.ciphers = wanted.suite;
  const ContextPointer server_context = make(config);
  const ContextPointer client_context = client_of(wanted.version, wanted.suite);
  HandshakeOptions options;
  for (const bool resumed : {false, true}) {
    Pair pair(client_context, server_context, options);
    ASSERT_TRUE(pair.shake().done());
    End client(*engine, pair.client->take_established());
    End server(*engine, pair.server->take_established());
    EXPECT_EQ(client.established.suite->name, wanted.suite);
    EXPECT_EQ(client.established.facts->cipher, wanted.suite);
    EXPECT_EQ(client.established.facts->resumed, resumed);
    EXPECT_EQ(server.established.facts->resumed, resumed);
    EXPECT_EQ(client.established.send_sequence, wanted.version == Version::kTls12 ? 1u : 0u);
    EXPECT_EQ(server.established.send_sequence, wanted.version == Version::kTls12 ? 1u : resumed ? 1u : 2u);
    Bytes rest = client.established.unread;
    rest.insert(rest.end(), pair.to_client.begin(), pair.to_client.end());
    for (Bytes ticket = take_record(rest); !ticket.empty(); ticket = take_record(rest)) {
      ASSERT_EQ(client.receive(ticket).type, ContentType::kHandshake);
      pair.client->feed_ticket(ticket);
    }
    for (const std::string text : {"one", "two", "three"}) {
      EXPECT_EQ(text_of(server.receive(client.send(text))), text);
      EXPECT_EQ(text_of(client.receive(server.send(text))), text);
    }
    const auto sessions = pair.client->take_sessions();
    // TLS 1.2 keeps the ticket that it has, while its key seals.
    EXPECT_EQ(sessions.size(), established_tickets(wanted.version, resumed));
    if (!sessions.empty()) options.session = sessions.back();
  }
}

class TlsHandshakeVersions : public testing::TestWithParam<Version> {};
INSTANTIATE_TEST_SUITE_P(Both, TlsHandshakeVersions, testing::Values(Version::kTls12, Version::kTls13));

TEST_P(TlsHandshakeVersions, HoweverTheBytesAreCut) {
  const ContextPointer client = make(only(GetParam(), client_with(client_leaf())));
  const ContextPointer server = make(mutual_config());
  for (const std::size_t step : std::initializer_list<std::size_t>{1, 2, 3, 5, 6, 100, 1000}) {
    Pair pair(client, server);
    ASSERT_TRUE(pair.shake(step).done()) << step;
    const Established established = pair.server->take_established();
    EXPECT_EQ(established.facts->version, GetParam());
    EXPECT_TRUE(established.unread.empty());
  }
}

// A client's first request often comes with its Finished; in TLS 1.2 it is the server that may be so fast.
TEST_P(TlsHandshakeVersions, WhatComesBehindTheHandshakeIsHandedOver) {
  const auto engine = make_openssl_engine();
  Pair pair(make(only(GetParam(), client_config())), make(server_config()));
  pair.shake_halfway();
  const bool client_first = pair.client_status == Status::kDone;
  ASSERT_EQ(client_first, GetParam() == Version::kTls13);
  End fast(*engine, client_first ? pair.client->take_established() : pair.server->take_established());
  Bytes& on_the_way = client_first ? pair.to_server : pair.to_client;
  for (const char* text : {"first", "second"}) {
    const Bytes record = fast.send(text);
    on_the_way.insert(on_the_way.end(), record.begin(), record.end());
  }
  ASSERT_TRUE(pair.shake().done());
  End slow(*engine, client_first ? pair.server->take_established() : pair.client->take_established());
  Bytes rest = slow.established.unread;
  EXPECT_EQ(text_of(slow.receive(take_record(rest))), "first");
  EXPECT_EQ(text_of(slow.receive(take_record(rest))), "second");
  EXPECT_TRUE(rest.empty());
}

TEST_P(TlsHandshakeVersions, FactsOfBothSides) {
  ContextConfig client_settings = only(GetParam(), client_with(client_leaf()));
  client_settings.server_name = "LocalHost";
  client_settings.protocols = {"http/1.1", "h2"};
  ContextConfig server_settings = mutual_config();
  server_settings.protocols = {"h2", "http/1.1"};
  Pair pair(make(client_settings), make(server_settings));
  ASSERT_TRUE(pair.shake().done());
  const auto client = pair.client->take_established().facts;
  const auto server = pair.server->take_established().facts;
  EXPECT_EQ(server->server_name, "localhost");
  EXPECT_EQ(client->server_name, "LocalHost") << "as it was sent";
  for (const auto& facts : {client, server}) {
    EXPECT_EQ(facts->version, GetParam());
    EXPECT_EQ(facts->curve, "X25519");
    EXPECT_EQ(facts->protocol, "h2");
    EXPECT_FALSE(facts->resumed);
    EXPECT_TRUE(facts->peer_verified);
    ASSERT_TRUE(facts->own && facts->peer);
    EXPECT_EQ(facts->peer->chain, facts->peer->pem);
  }
  const CertificateFacts& peer = *server->peer;
  EXPECT_EQ(peer.subject, "CN=client");
  EXPECT_EQ(peer.issuer, "CN=Test Authority");
  EXPECT_EQ(peer.serial.size(), 16u);
  EXPECT_EQ(peer.fingerprint, millrace::test::fingerprint(client_leaf().certificate));
  EXPECT_EQ(peer.public_key, millrace::test::public_key_hash(client_leaf().certificate));
  EXPECT_EQ(peer.pem, client_leaf().certificate);
  EXPECT_EQ(peer.not_after - peer.not_before, 86'400 + 3600);
  ASSERT_EQ(peer.names.size(), 2u);
  EXPECT_EQ(peer.names[0].kind, NameKind::kUri);
  EXPECT_EQ(peer.names[0].value, "spiffe://cluster.local/ns/a/sa/b");
  EXPECT_EQ(client->own->subject, "CN=client");
  EXPECT_EQ(server->own->subject, "CN=ecdsa");
}

TEST_P(TlsHandshakeVersions, SessionsWithTheSamePeerShareWhatIsKnownOfIt) {
  const auto server = make(mutual_config());
  const auto known_of = [&](const Issued& leaf) {
    Pair pair(make(only(GetParam(), client_with(leaf))), server);
    EXPECT_TRUE(pair.shake().done());
    return pair.server->take_established().facts;
  };
  const auto first = known_of(client_leaf());
  const auto second = known_of(client_leaf());
  EXPECT_EQ(first->peer, second->peer);
  EXPECT_EQ(first->own, second->own);
  const auto other = known_of(authority().issue({.common_name = "other"}));
  EXPECT_NE(first->peer, other->peer);
  EXPECT_EQ(other->peer->subject, "CN=other");
}

TEST_P(TlsHandshakeVersions, AClientThatWasNotAskedShowsNothing) {
  Pair pair(make(only(GetParam(), client_with(client_leaf()))), make(server_config()));
  ASSERT_TRUE(pair.shake().done());
  EXPECT_FALSE(pair.client->take_established().facts->own);
  EXPECT_FALSE(pair.server->take_established().facts->peer);
}

TEST_P(TlsHandshakeVersions, CutOffInTheMiddle) {
  const ContextPointer server_context = make(server_config());
  Pair pair(make(only(GetParam(), client_config())), server_context);
  Bytes hello = pair.to_server;
  const auto server = Handshake::make(server_context);
  ASSERT_EQ(server->run(std::span(hello).first(hello.size() / 2), true), Status::kFailed);
  EXPECT_EQ(server->failure().reason, Reason::kTruncated);
  EXPECT_FALSE(server->failure().text.empty());
}

TEST_P(TlsHandshakeVersions, AChangedByteIsNoticed) {
  for (const std::size_t at : std::initializer_list<std::size_t>{20, 60, 90}) {  // within the ServerHello
    Pair pair(make(only(GetParam(), client_config())), make(server_config()));
    pair.server_status = pair.server->run(std::exchange(pair.to_server, {}));
    pair.to_client = pair.server->take_output();
    ASSERT_GT(pair.to_client.size(), at);
    pair.to_client[at] ^= 1;
    pair.shake();
    EXPECT_FALSE(pair.done()) << at;
    ASSERT_EQ(pair.client_status, Status::kFailed) << at;
    EXPECT_EQ(pair.client->failure().reason, Reason::kProtocol) << at << ": " << pair.client->failure().text;
    EXPECT_TRUE(pair.client->failure().alert) << at;
  }
}

TEST(TlsHandshake, GarbageIsNoHandshake) {
  const ContextPointer context = make(server_config());
  const std::string texts[] = {"GET / HTTP/1.1\r\n\r\n", std::string(64, '\0'), std::string("\x16\x03\x01\x00\x05hello", 10)};
  for (const std::string& text : texts) {
    const auto server = Handshake::make(context);
    ASSERT_EQ(server->run(Bytes(text.begin(), text.end())), Status::kFailed);
    EXPECT_EQ(server->failure().reason, Reason::kProtocol);
    EXPECT_FALSE(server->failure().text.empty());
    EXPECT_EQ(server->failure().alert, text[0] == 22 ? std::optional(Alert::kUnexpectedMessage) : std::nullopt);
  }
  const auto client = Handshake::make(make(client_config()));
  EXPECT_EQ(client->run({}), Status::kNeedMore);
  const std::string answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
  EXPECT_EQ(client->run(Bytes(answer.begin(), answer.end())), Status::kFailed);
  EXPECT_EQ(client->failure().text, "wrong version number");
  EXPECT_EQ(client->failure().alert, std::nullopt) << "who does not speak TLS would not understand it";
}

TEST(TlsHandshake, NoVersionInCommonIsToldToBothSides) {
  Pair pair(make(only(Version::kTls12, client_config())), make(only(Version::kTls13, server_config())));
  pair.shake();
  EXPECT_EQ(pair.server_status, Status::kFailed);
  EXPECT_EQ(pair.server->failure().reason, Reason::kProtocol);
  EXPECT_EQ(pair.server->failure().alert, Alert::kProtocolVersion);
  EXPECT_THAT(pair.server->failure().text, HasSubstr("protocol"));
  EXPECT_EQ(pair.client->failure().reason, Reason::kPeerAlert);
  EXPECT_EQ(pair.client->failure().alert, Alert::kProtocolVersion);
  EXPECT_THAT(pair.client->failure().text, HasSubstr("alert protocol version"));
}

TEST(TlsHandshake, NoCipherInCommon) {
  ContextConfig client = only(Version::kTls12, client_config());
  client.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
  Pair pair(make(client), make(server_config()));
  pair.shake();
  EXPECT_EQ(pair.server->failure().alert, Alert::kHandshakeFailure);
  EXPECT_EQ(pair.server->failure().text, "no shared cipher");
}

TEST(TlsHandshake, CurvesInTheServersOrder) {
  ContextConfig config = server_config();
  config.curves = {"P-384"};
  Pair pair(make(client_config()), make(config));  // needs a HelloRetryRequest
  ASSERT_TRUE(pair.shake(1).done());
  EXPECT_EQ(pair.client->take_established().facts->curve, "P-384");
}

TEST(TlsHandshake, SignatureAlgorithmsAreKeptTo) {
  ContextConfig config = client_config();
  config.signature_algorithms = {"rsa_pss_rsae_sha256"};
  Pair pair(make(config), make(server_config()));
  EXPECT_FALSE(pair.shake().done());
  config.signature_algorithms = {"ecdsa_secp256r1_sha256"};
  Pair better(make(config), make(server_config()));
  EXPECT_TRUE(better.shake().done());
}

TEST(TlsHandshake, ProtocolsOfOneHandshakeReplaceTheContexts) {
  ContextConfig server = server_config();
  server.protocols = {"h2", "http/1.1"};
  ContextConfig client = client_config();
  client.protocols = {"h2"};
  HandshakeOptions options;
  options.protocols = {"http/1.1"};
  Pair pair(make(client), make(server), options);
  ASSERT_TRUE(pair.shake().done());
  EXPECT_EQ(pair.client->take_established().facts->protocol, "http/1.1");
  options.protocols = {std::string(256, 'x')};
  EXPECT_EQ(Handshake::make(make(client), options), nullptr);
}

TEST(TlsHandshake, ProtocolsWithoutOverlapAreNotAnswered) {
  ContextConfig server = server_config();
  server.protocols = {"h2"};
  ContextConfig client = client_config();
  client.protocols = {"spdy"};
  Pair pair(make(client), make(server));
  ASSERT_TRUE(pair.shake().done());
  EXPECT_EQ(pair.client->take_established().facts->protocol, "");
  Pair none(make(client), make(server_config()));
  EXPECT_TRUE(none.shake().done()) << "nor by a server that has none";
}

// Workers and helper threads share contexts.
TEST(TlsHandshake, FromSeveralThreads) {
  ContextConfig config = mutual_config();
  config.certificates.push_back(shown(rsa_leaf()));
  const ContextPointer server = make(config);
  const ContextPointer client = make(client_with(client_leaf()));
  std::atomic<int> resumed = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      HandshakeOptions options;
      for (int i = 0; i < 20; ++i) {
        Pair pair(client, server, options);
        ASSERT_TRUE(pair.shake().done());
        if (pair.server->take_established().facts->resumed) ++resumed;
        options.session = sessions_of(pair).back();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(resumed, 4 * 19);
}

TEST(TlsHandshake, NoTicketsWhereTheyAreOff) {
  ContextConfig config = server_config();
  config.tickets = false;
  const auto engine = make_openssl_engine();
  for (const Version version : {Version::kTls12, Version::kTls13}) {
    Pair pair(make(only(version, client_config())), make(config));
    ASSERT_TRUE(pair.shake().done());
    EXPECT_TRUE(pair.to_client.empty());
    EXPECT_TRUE(pair.client->take_sessions().empty());
    End client(*engine, pair.client->take_established());
    End server(*engine, pair.server->take_established());
    EXPECT_EQ(server.established.send_sequence, version == Version::kTls12 ? 1u : 0u);
    EXPECT_EQ(text_of(client.receive(server.send("text"))), "text");
  }
}

}  // namespace
}  // namespace millrace::tls
