// Sessions whose records stay with OpenSSL.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "tests/unit/tls/handshake_pair.h"

namespace millrace::tls {
namespace {

using namespace test;

class TlsLibrarySession : public testing::TestWithParam<Version> {
 protected:
  // Both ends, of which one or both are OpenSSL's.
  void connect(ContextConfig client_settings, ContextConfig server_settings, HandshakeOptions options = {}) {
    client_context = client_context == nullptr ? make(only(GetParam(), client_settings)) : client_context;
    server_context = server_context == nullptr ? make(server_settings) : server_context;
    pair = std::make_unique<Pair>(client_context, server_context, options);
    ASSERT_TRUE(pair->shake().done());
    client = pair->client->take_established();
    server = pair->server->take_established();
    ASSERT_EQ(client.suite, nullptr);
    ASSERT_EQ(server.suite, nullptr);
    carry(client, server, pair->to_server);
    carry(server, client, pair->to_client);
  }
  static void carry(Established& from, Established& to, Bytes before = {}) {
    const Bytes output = from.library->take_output();
    before.insert(before.end(), output.begin(), output.end());
    to.library->feed(before);
  }
  static std::string read_all(Established& from) {
    std::string text;
    std::uint8_t part[1000];
    for (std::size_t size = from.library->read(part); size > 0; size = from.library->read(part)) text.append(part, part + size);
    return text;
  }
  static void write(Established& to, const std::string& text) { to.library->write(Bytes(text.begin(), text.end())); }
  static ContextConfig kept(ContextConfig config) {
    config.keep_records_in_openssl = true;
    return config;
  }

  ContextPointer client_context;
  ContextPointer server_context;
  std::unique_ptr<Pair> pair;
  Established client;
  Established server;
};
INSTANTIATE_TEST_SUITE_P(Both, TlsLibrarySession, testing::Values(Version::kTls12, Version::kTls13));

TEST_P(TlsLibrarySession, DataGoesBothWays) {
  connect(kept(client_config()), kept(server_config()));
  std::string text(100'000, ' ');
  std::iota(text.begin(), text.end(), char{0});
  write(client, text);
  carry(client, server);
  EXPECT_EQ(read_all(server), text);
  write(server, text + "answer");
  carry(server, client);
  EXPECT_EQ(read_all(client), text + "answer");
  EXPECT_FALSE(client.library->peer_closed());
  EXPECT_FALSE(client.library->failure());
}

TEST_P(TlsLibrarySession, ByteByByte) {
  connect(kept(client_config()), kept(server_config()));
  write(client, "hello");
  std::string got;
  for (const std::uint8_t byte : client.library->take_output()) {
    server.library->feed({&byte, 1});
    got += read_all(server);
  }
  EXPECT_EQ(got, "hello");
}

TEST_P(TlsLibrarySession, EndsByCloseNotify) {
  connect(kept(client_config()), kept(server_config()));
  write(client, "last");
  client.library->close();
  carry(client, server);
  EXPECT_EQ(read_all(server), "last");
  EXPECT_TRUE(server.library->peer_closed());
  EXPECT_FALSE(server.library->failure());
  write(server, "still");
  server.library->close();
  carry(server, client);
  EXPECT_EQ(read_all(client), "still") << "the other direction may go on";
  EXPECT_TRUE(client.library->peer_closed());
}

TEST_P(TlsLibrarySession, AForgedRecordEndsItWithAnAlert) {
  connect(kept(client_config()), kept(server_config()));
  write(client, "hello");
  Bytes bytes = client.library->take_output();
  bytes.back() ^= 1;
  server.library->feed(bytes);
  EXPECT_EQ(read_all(server), "");
  ASSERT_TRUE(server.library->failure());
  EXPECT_EQ(server.library->failure()->reason, HandshakeFailure::Reason::kProtocol);
  EXPECT_EQ(server.library->failure()->alert, Alert::kBadRecordMac);
  carry(server, client);
  EXPECT_EQ(read_all(client), "");
  ASSERT_TRUE(client.library->failure());
  EXPECT_EQ(client.library->failure()->reason, HandshakeFailure::Reason::kPeerAlert);
  EXPECT_EQ(client.library->failure()->alert, Alert::kBadRecordMac);
}

TEST_P(TlsLibrarySession, SessionsAreResumed) {
  connect(kept(client_config()), kept(server_config()));
  EXPECT_EQ(read_all(client), "") << "tickets are read";
  auto sessions = GetParam() == Version::kTls13 ? client.library->take_sessions() : pair->client->take_sessions();
  ASSERT_FALSE(sessions.empty());
  HandshakeOptions options;
  options.session = sessions.back();
  connect(client_config(), server_config(), options);
  EXPECT_TRUE(server.facts->resumed);
  EXPECT_TRUE(client.facts->resumed);
}

TEST(TlsLibrarySessionSuites, ThoseThatWeDoNotProtect) {
  ContextConfig config = only(Version::kTls12, client_config());
  config.ciphers = "ECDHE-ECDSA-AES128-SHA";
  ContextConfig server_settings = server_config();
  server_settings.ciphers = config.ciphers;
  Pair pair(make(config), make(server_settings));
  ASSERT_TRUE(pair.shake().done());
  EXPECT_NE(pair.client->take_established().library, nullptr);
  const Established server = pair.server->take_established();
  EXPECT_NE(server.library, nullptr);
  EXPECT_EQ(server.facts->cipher, "ECDHE-ECDSA-AES128-SHA");
}

TEST(TlsLibrarySessionSuites, EachSideDecidesForItself) {
  ContextConfig config = only(Version::kTls12, client_config());
  config.keep_records_in_openssl = true;
  Pair pair(make(config), make(server_config()));
  ASSERT_TRUE(pair.shake().done());
  EXPECT_EQ(pair.server->take_established().library, nullptr);
}

}  // namespace
}  // namespace millrace::tls
