// Connections that are passed through with TLS on either side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/through.h"
#include "tests/unit/dataplane/proxy/core/tls_sides.h"

namespace millrace::proxy::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

ChangeTcp from_tls(const tls::ContextConfig& config) {
  return [config](config::TcpProxy&, config::Listener& listener, config::Cluster&) { listener.chains[0].tls = slot(config); };
}

ChangeTcp through_to_tls(const tls::ContextConfig& config) {
  return [config](config::TcpProxy&, config::Listener& listener, config::Cluster& cluster) {
    config::Route unused;
    to_tls(config)(listener, cluster, unused);
  };
}

TEST(TcpProxyTls, AClientThatEndsWithoutCloseNotifyHasEnded) {
  Through it(from_tls(server()));
  it.origin().pause_reading();
  TlsClient client_(*it.proxy, client());
  it->run();
  const std::string all = pattern(400'000);
  client_.peer().send(all);
  it->run();
  client_.truncate();
  ASSERT_EQ(it.origin().connections(), 1u);
  OriginConnection& origin = it.origin().connection();
  EXPECT_FALSE(it->proxy->idle()) << "what it has sent waits for the origin";
  origin.set_reading(true);
  it->run();
  EXPECT_TRUE(origin.received() == all.substr(0, origin.received().size()));
  EXPECT_GT(origin.received().size(), 0u);
  EXPECT_TRUE(origin.ended());
  EXPECT_FALSE(origin.gone()) << "its own side is still open";
  EXPECT_TRUE(it->proxy->idle());
  origin.end();
  it->run();
  EXPECT_EQ(origin.reason(), stream::CloseReason::kGraceful);
  EXPECT_EQ(it->log(), "0 - - " + std::to_string(origin.received().size()) + "/0|");
  EXPECT_EQ(it->cluster().upstream_cx_destroy_local.value(), 1u);
}

TEST(TcpProxyTls, AnOriginThatEndsWithoutCloseNotifyHasEnded) {
  Through it(through_to_tls(believing_client()));
  TlsOrigin origin(*it.proxy, server());
  Client& client_ = it->connect();
  client_.set_reading(false);
  it->run();
  ASSERT_EQ(it.origin().connections(), 1u);
  const std::string all = pattern(40'000);
  it.origin().connection().send(all);
  it->run();
  it->net.shut(ProxyHarness::kOrigin);
  it->run();
  client_.set_reading(true);
  it->run();
  EXPECT_TRUE(client_.received() == all);
  EXPECT_TRUE(client_.ended());
  EXPECT_FALSE(client_.was_reset());
  EXPECT_TRUE(it->proxy->idle());
  EXPECT_EQ(it->log(), "0 - - 0/40000|");
  EXPECT_EQ(it->cluster().upstream_cx_destroy_remote.value(), 1u);
}

TEST(TcpProxyTls, WhatASideThatHasEndedSoCannotTakeAnyMoreIsFlagged) {
  Through it(from_tls(server()));
  TlsClient client_(*it.proxy, client());
  it->run();
  client_.peer().set_reading(false);
  ASSERT_EQ(it.origin().connections(), 1u);
  it.origin().connection().send(pattern(2'000'000));
  it->run();
  client_.truncate();
  EXPECT_TRUE(it.origin().connection().ended());
  EXPECT_FALSE(it.origin().connection().was_reset());
  EXPECT_TRUE(it->proxy->idle());
  EXPECT_THAT(it->log(), HasSubstr("0 DC - 0/"));
}

TEST(TcpProxyTls, AResetBehindAnEndWithoutCloseNotifyIsTheOrigins) {
  Through it(from_tls(server()));
  it.origin().pause_reading();
  TlsClient client_(*it.proxy, client());
  it->run();
  client_.peer().send(pattern(150'000));
  it->run();
  client_.truncate();
  ASSERT_EQ(it.origin().connections(), 1u);
  it.origin().connection().reset();
  it->run();
  EXPECT_TRUE(it->proxy->idle());
  EXPECT_THAT(it->log(), HasSubstr("0 UR - "));
}

TEST(TcpProxyTls, CountsItsHandshakesWithEndpoints) {
  Through it(through_to_tls(believing_client()));
  TlsOrigin origin(*it.proxy, server());
  Client& client_ = it->connect();
  client_.send("hello");
  it->run();
  EXPECT_EQ(it.origin().connection().received(), "hello");
  EXPECT_EQ(it->cluster().tls.handshake.value(), 1u);
}

config::Format failure_format() {
  config::Format format;
  format.elements.push_back({config::FormatCommand::kResponseFlags, {}, {}, {}});
  format.elements.push_back({config::FormatCommand::kLiteral, " ", {}, {}});
  format.elements.push_back({config::FormatCommand::kUpstreamTransportFailureReason, {}, {}, {}});
  return format;
}

TEST(TcpProxyTls, TellsWhyAnEndpointIsNotBelieved) {
  tls::ContextConfig config = believing_client();
  config.validation->accepts_names = [](std::span<const tls::SubjectName>) { return false; };
  Through it([&](config::TcpProxy& proxy, config::Listener& listener, config::Cluster& cluster) {
    through_to_tls(config)(proxy, listener, cluster);
    proxy.max_connect_attempts = 2;
    proxy.access_logs = {{.sink = 0, .format = failure_format()}};
  });
  TlsOrigin origin(*it.proxy, server());
  Client& client_ = it->connect();
  it->advance(Duration::milliseconds(10));
  EXPECT_TRUE(client_.ended());
  EXPECT_EQ(it->cluster().tls.fail_verify_san.value(), 2u);
  EXPECT_EQ(it->cluster().tls.handshake.value(), 0u);
  EXPECT_EQ(it->cluster().upstream_cx_connect_fail.value(), 2u);
  EXPECT_THAT(it->log(), StartsWith("UF,URX TLS_error: "));
}

TEST(TcpProxyTls, AnAttemptThatFailsForAnotherReasonTellsThatOne) {
  tls::ContextConfig config = believing_client();
  config.validation->accepts_names = [](std::span<const tls::SubjectName>) { return false; };
  Through it([&](config::TcpProxy& proxy, config::Listener& listener, config::Cluster& cluster) {
    through_to_tls(config)(proxy, listener, cluster);
    proxy.max_connect_attempts = 2;
    proxy.access_logs = {{.sink = 0, .format = failure_format()}};
  });
  TlsOrigin origin(*it.proxy, server());
  it->connect();
  it->run();
  it->net.fail_connects(stream::CloseReason::kNoPort);
  it->advance(Duration::milliseconds(10));
  EXPECT_EQ(it->log(), "UF,URX no free local port|");
}

TEST(TcpProxyTls, TheEndOfAnEarlierAttemptIsNotTheConnections) {
  Through it([](config::TcpProxy& proxy, config::Listener& listener, config::Cluster& cluster) {
    through_to_tls(believing_client())(proxy, listener, cluster);
    proxy.max_connect_attempts = 2;
  });
  TlsOrigin origin(*it.proxy, server());
  Client& client_ = it->connect();
  it->net.run(it->now);
  it->proxy->end_of_turn(it->now);
  // The endpoint has shaken hands and ends at once, all before the proxy has its turn.
  for (int i = 0; i < 20 && it->cluster().tls.handshake.value() == 0; ++i) {
    it->net.run(it->now);
    it->tls.service(it->now);
  }
  ASSERT_EQ(it->cluster().tls.handshake.value(), 1u);
  it->net.shut(ProxyHarness::kOrigin);
  it->net.run(it->now);
  it->tls.service(it->now);
  it->run();
  EXPECT_EQ(it->cluster().upstream_cx_connect_fail.value(), 1u);
  it->advance(Duration::milliseconds(10));
  EXPECT_FALSE(client_.ended());
  ASSERT_EQ(it.origin().connections(), 2u);
  it.origin().connection(1).send("hello");
  it->run();
  EXPECT_EQ(client_.received(), "hello");
}

TEST(TcpProxyTls, AnEndpointMayRefuseOurCertificateAfterTheHandshake) {
  tls::ContextConfig nobody;
  nobody.role = tls::Role::kClient;
  Through it([&](config::TcpProxy& proxy, config::Listener& listener, config::Cluster& cluster) {
    through_to_tls(nobody)(proxy, listener, cluster);
    proxy.access_logs = {{.sink = 0, .format = failure_format()}};
  });
  TlsOrigin origin(*it.proxy, server(true));
  Client& client_ = it->connect();
  it->run();
  EXPECT_TRUE(client_.ended() || client_.gone());
  EXPECT_THAT(it->log(), HasSubstr(" TLS_error: "));
}

}  // namespace
}  // namespace millrace::proxy::test
