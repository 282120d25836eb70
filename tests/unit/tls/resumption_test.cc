// Sessions that are resumed, and those that must not be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <string>

#include "tests/unit/tls/handshake_pair.h"

namespace millrace::tls {
namespace {

using namespace test;

const std::string kOneKey(80, 'a');
const std::string kOtherKey(80, 'b');

class TlsResumption : public testing::TestWithParam<Version> {
 protected:
  // The sessions of a full handshake between the two.
  std::shared_ptr<ClientSession> session_between(const ContextPointer& client, const ContextPointer& server,
                                                 HandshakeOptions options = {}) {
    Pair pair(client, server, options);
    EXPECT_TRUE(pair.shake().done());
    const auto sessions = sessions_of(pair);
    return sessions.empty() ? nullptr : sessions.back();
  }
  // Whether both sides resumed it; nothing: the handshake failed.
  std::optional<bool> resumes(const ContextPointer& client, const ContextPointer& server, std::shared_ptr<ClientSession> session,
                              HandshakeOptions options = {}) {
    options.session = std::move(session);
    Pair pair(client, server, options);
    if (!pair.shake().done()) return std::nullopt;
    const auto at_client = pair.client->take_established();
    last = pair.server->take_established().facts;
    EXPECT_EQ(at_client.facts->resumed, last->resumed);
    EXPECT_EQ(at_client.facts->peer_verified, true);
    return last->resumed;
  }
  ContextConfig client_settings(ContextConfig config = client_config()) { return only(GetParam(), std::move(config)); }
  ContextConfig clocked(ContextConfig config) {
    config.clock = [this] { return now; };
    return config;
  }

  std::int64_t now = std::time(nullptr);
  std::shared_ptr<const SessionFacts> last;
};
INSTANTIATE_TEST_SUITE_P(Both, TlsResumption, testing::Values(Version::kTls12, Version::kTls13));

TEST_P(TlsResumption, KeepsWhatIsKnownOfTheClient) {
  const auto client = make(only(GetParam(), client_with(client_leaf())));
  const auto server = make(mutual_config());
  const auto session = session_between(client, server);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(single_use(*session), GetParam() == Version::kTls13);
  EXPECT_NEAR(static_cast<double>(expiry(*session)), static_cast<double>(now + 7200), 10.0);
  EXPECT_EQ(resumes(client, server, session), true);
  ASSERT_TRUE(last->peer);
  EXPECT_EQ(last->peer->subject, "CN=client");
  EXPECT_EQ(last->peer->names.size(), 2u);
  EXPECT_TRUE(last->peer_verified);
  EXPECT_EQ(last->server_name, "localhost");
  EXPECT_EQ(last->own->subject, "CN=ecdsa");
}

TEST_P(TlsResumption, AsOftenAsTheClientComes) {
  const auto client = make(client_settings());
  const auto server = make(server_config());
  auto session = session_between(client, server);
  for (int i = 0; i < 3; ++i) {
    HandshakeOptions options;
    options.session = session;
    Pair pair(client, server, options);
    ASSERT_TRUE(pair.shake().done());
    EXPECT_TRUE(pair.server->take_established().facts->resumed) << i;
    const auto sessions = sessions_of(pair);
    if (!sessions.empty()) session = sessions.back();
  }
}

TEST_P(TlsResumption, NotWithAnotherContext) {
  const auto server = make(server_config());
  const auto client = make(client_settings());
  const auto session = session_between(client, server);
  EXPECT_EQ(resumes(make(client_settings()), server, session), false);
  EXPECT_EQ(resumes(client, make(server_config()), session), false) << "keys of its own";
}

TEST_P(TlsResumption, NotWhenSwitchedOff) {
  ContextConfig config = client_settings();
  config.resume = false;
  EXPECT_EQ(session_between(make(config), make(server_config())), nullptr);
}

TEST_P(TlsResumption, NotForAnotherServerName) {
  const auto server = make(server_config());
  const auto client = make(client_settings());
  const auto session = session_between(client, server);
  HandshakeOptions other;
  other.server_name = "a.example.com";
  EXPECT_EQ(resumes(client, server, session, other), false);
}

TEST_P(TlsResumption, NotForAnotherExpectedName) {
  const auto server = make(server_config());
  const auto client = make(client_settings());
  HandshakeOptions options;
  options.expected_name = "localhost";
  const auto session = session_between(client, server, options);
  EXPECT_EQ(resumes(client, server, session, options), true);
  options.expected_name = "other.example";
  EXPECT_EQ(resumes(client, server, session, options), std::nullopt) << "a full handshake, in which it is refused";
}

TEST_P(TlsResumption, ConfiguredKeysAreSharedByServersThatTrustTheSame) {
  ContextConfig config = mutual_config();
  config.ticket_keys = {kOneKey};
  const auto client = make(client_settings(client_with(client_leaf())));
  const auto session = session_between(client, make(config));
  EXPECT_EQ(resumes(client, make(config), session), true);
  ContextConfig stricter = config;
  stricter.validation->certificate_hashes = {millrace::test::fingerprint(client_leaf().certificate)};
  EXPECT_EQ(resumes(client, make(stricter), session), false);
  ContextConfig both = config;
  both.validation->trusted_ca += stranger().certificate();
  EXPECT_EQ(resumes(client, make(both), session), false);
  ContextConfig open = config;
  open.require_client_certificate = false;
  EXPECT_EQ(resumes(client, make(open), session), false);
}

TEST_P(TlsResumption, ConfiguredKeysRotate) {
  ContextConfig config = server_config();
  const auto client = make(client_settings());
  config.ticket_keys = {kOneKey};
  const auto session = session_between(client, make(config));
  config.ticket_keys = {kOtherKey, kOneKey};
  const auto rotated = make(config);
  HandshakeOptions options;
  options.session = session;
  Pair pair(client, rotated, options);
  ASSERT_TRUE(pair.shake().done());
  EXPECT_TRUE(pair.server->take_established().facts->resumed);
  const auto renewed = sessions_of(pair);
  ASSERT_FALSE(renewed.empty()) << "under the key that seals now";
  config.ticket_keys = {kOtherKey};
  EXPECT_EQ(resumes(client, make(config), renewed.back()), true);
  EXPECT_EQ(resumes(client, make(config), session), false);
}

TEST_P(TlsResumption, OwnKeysOpenForALifetime) {
  ContextConfig config = clocked(server_config());
  const auto server = make(config);
  const auto client = make(client_settings());
  const auto session = session_between(client, server);
  now += 3600;  // half of the lifetime: another key seals
  EXPECT_EQ(resumes(client, server, session), true);
  now += 3600;
  EXPECT_EQ(resumes(client, server, session), false);
}

TEST_P(TlsResumption, AClientWhoseCertificateHasExpiredSinceIsRefused) {
  const Issued shortly = authority().issue({.common_name = "short", .not_after = 600});
  const auto client = make(client_settings(client_with(shortly)));
  const auto server = make(clocked(mutual_config()));
  const auto session = session_between(client, server);
  EXPECT_EQ(resumes(client, server, session), true);
  now += 700;
  EXPECT_EQ(resumes(client, server, session), std::nullopt);
}

TEST_P(TlsResumption, AServerWhoseCertificateHasExpiredSinceIsRefused) {
  const auto server =
      make(server_config(authority().issue({.common_name = "short", .names = {"DNS:localhost"}, .not_after = 600})));
  const auto client = make(clocked(client_settings()));
  const auto session = session_between(client, server);
  EXPECT_EQ(resumes(client, server, session), true);
  now += 700;
  EXPECT_EQ(resumes(client, server, session), std::nullopt);
}

TEST_P(TlsResumption, NamesAreAskedForEachTime) {
  bool accept = true;
  ContextConfig config = mutual_config();
  config.validation->accepts_names = [&accept](std::span<const SubjectName>) { return accept; };
  const auto server = make(config);
  const auto client = make(client_settings(client_with(client_leaf())));
  const auto session = session_between(client, server);
  EXPECT_EQ(resumes(client, server, session), true);
  accept = false;
  EXPECT_EQ(resumes(client, server, session), std::nullopt);
}

TEST_P(TlsResumption, SessionsOutliveTheirContext) {
  const auto server = make(server_config());
  const auto session = session_between(make(client_settings()), server);
  EXPECT_EQ(resumes(make(client_settings()), server, session), false);
}

TEST(TlsTickets, WhatIsNoTicketEndsOnlyTheTickets) {
  Pair pair(make(client_config()), make(server_config()));
  ASSERT_TRUE(pair.shake().done());
  const Bytes garbage = {23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  pair.client->feed_ticket(garbage);
  EXPECT_TRUE(sessions_of(pair).empty());
}

}  // namespace
}  // namespace millrace::tls
