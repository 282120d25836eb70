// TLS on both sides of the proxy: who gets in, what the origin hears of the client, how endpoints are reached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/tls_sides.h"

namespace millrace::proxy::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// What the origin heard last.
std::string* remember_requests(ProxyHarness& proxy) {
  auto heard = std::make_shared<std::string>();
  proxy.origin().on_bytes([heard](OriginConnection& connection) {
    if (connection.received().find("\r\n\r\n") == std::string::npos) return;
    *heard = connection.take_received();
    connection.send(ok("hello"));
  });
  static std::vector<std::shared_ptr<std::string>> kept;
  kept.push_back(heard);
  return heard.get();
}

TEST(ProxyTls, ServesAClientAndSaysThatItWasEncrypted) {
  ProxyHarness proxy(with_tls(server()));
  const std::string* heard = remember_requests(proxy);
  TlsClient client_(proxy, client());
  proxy.run();
  EXPECT_THAT(client_.exchange(get()), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(*heard, HasSubstr("x-forwarded-proto: https\r\n"));
  EXPECT_EQ(proxy.listener_stats().tls.handshake.value(), 1u);
  EXPECT_EQ(proxy.listener_stats().tls.no_certificate.value(), 1u) << "nobody asked for one";
  EXPECT_EQ(proxy.http().downstream_cx_ssl_active.value(), 1);
}

TEST(ProxyTls, KeepsPlainTextOut) {
  ProxyHarness proxy(with_tls(server()));
  proxy.origin().answer(ok("no"));
  EXPECT_EQ(proxy.exchange(get()), "");
  EXPECT_EQ(proxy.listener_stats().tls.connection_error.value(), 1u);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_total.value(), 1u);
  EXPECT_EQ(proxy.listener_stats().downstream_cx_destroy.value(), 1u);
  EXPECT_EQ(proxy.http().downstream_cx_total.value(), 0u);
}

TEST(ProxyTls, TellsTheOriginWhoTheClientIs) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].tls = slot(server(true));
    auto& http = *listener.chains[0].http();
    http.forward_client_cert = config::HttpConnectionManager::ForwardClientCert::kSanitizeSet;
    http.client_cert_details = {.subject = true, .dns = true, .uri = true};
  });
  const std::string* heard = remember_requests(proxy);
  TlsClient client_(proxy, client());
  proxy.run();
  EXPECT_THAT(client_.exchange(get("/", "x-forwarded-client-cert: Hash=forged\r\n")), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(*heard, HasSubstr("x-forwarded-client-cert: By=spiffe://a/gateway;Hash="));
  EXPECT_THAT(*heard, HasSubstr(";Subject=\"CN=leaf\";URI=spiffe://a/client;DNS=client.example\r\n"));
  EXPECT_EQ(heard->find("forged"), std::string::npos);
}

TEST(ProxyTls, RefusesAClientWithoutACertificateAndCountsIt) {
  ProxyHarness proxy(with_tls(server(true)));
  tls::ContextConfig nobody;
  nobody.role = tls::Role::kClient;
  TlsClient client_(proxy, nobody);
  proxy.run();
  EXPECT_EQ(client_.exchange(get()), "");
  EXPECT_TRUE(client_.peer().gone());
  EXPECT_EQ(proxy.listener_stats().tls.fail_verify_no_cert.value(), 1u);
}

TEST(ProxyTls, GivesUpAClientThatDoesNotShakeHands) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster&, config::Route&) {
    listener.chains[0].tls = slot(server());
    listener.chains[0].transport_socket_connect_timeout = Duration::seconds(3);
  });
  Client& client_ = proxy.connect();
  client_.send("\x16\x03\x01");
  proxy.advance(Duration::milliseconds(2'900));
  EXPECT_FALSE(client_.gone());
  proxy.advance(Duration::milliseconds(200));
  EXPECT_TRUE(client_.gone());
  EXPECT_EQ(proxy.listener_stats().tls.connection_error.value(), 1u);
}

TEST(ProxyTls, ANewContextInTheSlotServesTheNextHandshake) {
  const auto kept = slot(server());
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route&) { listener.chains[0].tls = kept; });
  proxy.origin().answer(ok("x"));
  TlsClient first(proxy, client());
  proxy.run();
  kept->replace(make(config_of(tls::Role::kServer, {.common_name = "second"})));
  TlsClient second(proxy, client());
  proxy.run();
  EXPECT_EQ(second.peer().stream()->session_facts()->peer->subject, "CN=second");
  EXPECT_THAT(first.exchange(get()), StartsWith("HTTP/1.1 200 OK\r\n")) << "who has shaken hands goes on";
}

TEST(ProxyTls, ReachesAnEndpointAndKeepsTheConnection) {
  ProxyHarness proxy(to_tls(believing_client()));
  TlsOrigin origin(proxy, server(true));
  proxy.origin().answer(ok("secret"));
  for (int i = 0; i < 3; ++i) EXPECT_THAT(proxy.exchange(get()), HasSubstr("secret"));
  EXPECT_EQ(proxy.cluster().tls.handshake.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_cx_total.value(), 1u);
}

TEST(ProxyTls, AnEndpointThatIsNotBelievedIsAnAnswerWithTheReason) {
  tls::ContextConfig config = believing_client();
  config.validation->accepts_names = [](std::span<const tls::SubjectName>) { return false; };
  ProxyHarness proxy(to_tls(config));
  TlsOrigin origin(proxy, server());
  const std::string answer = proxy.exchange(get());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(answer, HasSubstr("reset reason: remote connection failure, transport failure reason: TLS_error: "));
  EXPECT_EQ(proxy.cluster().tls.fail_verify_san.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_cx_connect_fail.value(), 1u);
  EXPECT_THAT(proxy.log(), HasSubstr("503 UF "));
}

TEST(ProxyTls, TheServersNameFollowsTheRequestAndConnectionsAreNotSharedBetweenNames) {
  ProxyHarness proxy(to_tls(believing_client(), [](config::UpstreamTls& tls) { tls.auto_sni = tls.auto_san_validation = true; }));
  tls::ContextConfig names = config_of(tls::Role::kServer, {.names = {"DNS:a.example", "DNS:b.example"}});
  TlsOrigin origin(proxy, names);
  proxy.origin().answer(ok("named"));
  for (const char* host : {"a.example", "B.example:8443", "a.example"}) {
    EXPECT_THAT(proxy.exchange("GET / HTTP/1.1\r\nhost: " + std::string(host) + "\r\n\r\n"), HasSubstr("named")) << host;
  }
  EXPECT_EQ(proxy.cluster().tls.handshake.value(), 2u);
  EXPECT_THAT(proxy.exchange("GET / HTTP/1.1\r\nhost: c.example\r\n\r\n"), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(proxy.cluster().tls.fail_verify_san.value(), 1u);
}

TEST(ProxyTls, ReachesAnEndpointAnewWhenItsProtectionChanges) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("plain"));
  EXPECT_THAT(proxy.exchange(get()), HasSubstr("plain"));
  TlsOrigin origin(proxy, server());
  proxy.reconfigure(to_tls(believing_client()));
  proxy.origin().answer(ok("secret"));
  EXPECT_THAT(proxy.exchange(get()), HasSubstr("secret"));
  EXPECT_EQ(proxy.cluster().upstream_cx_total.value(), 2u);
  EXPECT_EQ(proxy.cluster().tls.handshake.value(), 1u);
}

}  // namespace
}  // namespace millrace::proxy::test
