// A request on its way through the proxy when nothing goes wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Proxy_Forwarding, PassesARequestOnAndTheResponseBack) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("hello"));
  const std::string response = proxy.exchange(get("/a?b=1"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response, HasSubstr("\r\nserver: envoy\r\n"));
  EXPECT_THAT(response, HasSubstr("\r\ndate: "));
  EXPECT_THAT(response, HasSubstr("x-envoy-upstream-service-time: 0\r\n"));
  EXPECT_EQ(body_of(response), "hello");
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/5|");
}

TEST(Proxy_Forwarding, TellsTheOriginWhoAsked) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->use_remote_address = true; });
  proxy.exchange(get("/a?b=1", "connection: x-private\r\nx-private: 1\r\n"));
  const std::string seen = proxy.origin().connection().received();
  EXPECT_THAT(seen, StartsWith("GET /a?b=1 HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("host: example.com\r\n"));
  EXPECT_THAT(seen, HasSubstr("x-forwarded-for: 192.0.2.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("x-forwarded-proto: http\r\n"));
  EXPECT_THAT(seen, HasSubstr("x-envoy-expected-rq-timeout-ms: 15000\r\n"));
  EXPECT_THAT(seen, Not(HasSubstr("x-private")));
}

TEST(Proxy_Forwarding, ReusesTheUpstreamConnectionAcrossClientsAndRequests) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x"));
  Client& first = proxy.connect();
  for (int i = 0; i < 3; ++i) {
    first.send(get());
    proxy.run();
  }
  proxy.exchange(get());
  EXPECT_EQ(proxy.origin().connections(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_cx_total.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 4u);
  EXPECT_EQ(proxy.http().downstream_rq_2xx.value(), 4u);
  EXPECT_EQ(proxy.report.requests.value(), 4u);
}

TEST(Proxy_Forwarding, OpensAConnectionForEachConcurrentRequest) {
  ProxyHarness proxy;
  Client& first = proxy.connect();
  Client& second = proxy.connect();
  first.send(get("/1"));
  second.send(get("/2"));
  proxy.run();
  ASSERT_EQ(proxy.origin().connections(), 2u);
  EXPECT_EQ(proxy.cluster().upstream_rq_active.value(), 2);
  EXPECT_EQ(proxy.endpoint().cx_active.value(), 2);
  proxy.origin().connection(1).send(ok("second"));
  proxy.run();
  EXPECT_EQ(first.received(), "");
  EXPECT_THAT(second.received(), EndsWith("second"));
}

TEST(Proxy_Forwarding, AnswersPipelinedRequestsInOrderOneAtATime) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get("/1") + get("/2") + get("/3"));
  proxy.run();
  for (const char* path : {"/1", "/2", "/3"}) {
    ASSERT_EQ(proxy.origin().connections(), 1u);
    EXPECT_THAT(proxy.origin().connection().take_received(), StartsWith("GET " + std::string(path) + " "));
    proxy.origin().connection().send(ok(path));
    proxy.run();
    EXPECT_THAT(client.take_received(), EndsWith("\r\n\r\n" + std::string(path)));
  }
}

TEST(Proxy_Forwarding, StreamsARequestBodyBeforeItIsComplete) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello");
  proxy.run();
  EXPECT_EQ(body_of(proxy.origin().connection().received()), "hello");
  client.send("world");
  proxy.run();
  EXPECT_EQ(body_of(proxy.origin().connection().received()), "helloworld");
  proxy.origin().connection().send(ok(""));
  proxy.run();
  EXPECT_EQ(proxy.log(), "200 - via_upstream 10/0|");
}

TEST(Proxy_Forwarding, StreamsAResponseBodyBeforeItIsComplete) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc");
  proxy.run();
  EXPECT_EQ(body_of(client.received()), "abc");
  proxy.origin().connection().send("def");
  proxy.run();
  EXPECT_EQ(body_of(client.received()), "abcdef");
}

TEST(Proxy_Forwarding, PassesChunkedBodiesAndTrailersBothWays) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->enable_trailers = true; });
  Client& client = proxy.connect();
  client.send(
      "POST / HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n");
  proxy.run();
  EXPECT_THAT(proxy.origin().connection().received(), EndsWith("3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"));
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: 2\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), EndsWith("2\r\nok\r\n0\r\nx-end: 2\r\n\r\n"));
}

TEST(Proxy_Forwarding, KeepsTheLengthOfAHeadResponseAndSendsNoBody) {
  ProxyHarness proxy;
  proxy.origin().answer("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
  Client& client = proxy.connect();
  client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("content-length: 1000\r\n"));
  EXPECT_EQ(body_of(client.take_received()), "");
  client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(proxy.origin().connections(), 1u);
}

TEST(Proxy_Forwarding, PassesAResponseThatEndsWithTheConnection) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
  proxy.origin().connection().end();
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("until the end"));
  EXPECT_THAT(client.received(), EndsWith("0\r\n\r\n"));  // chunked towards the client, whose connection persists
  EXPECT_FALSE(client.ended());
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/13|");
  EXPECT_EQ(proxy.proxy->counts().upstream_connections, 0u);
}

TEST(Proxy_Forwarding, DoesNotReuseAConnectionThatTheOriginWillClose) {
  ProxyHarness proxy;
  proxy.origin().answer(ok("x", "connection: close\r\n"));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.take_received(), Not(HasSubstr("connection: close")));
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(proxy.origin().connections(), 2u);
}

TEST(Proxy_Forwarding, AnswersAnExpectationItselfAndDoesNotPassItOn) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  proxy.run();
  EXPECT_EQ(client.take_received(), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_THAT(proxy.origin().connection().received(), Not(HasSubstr("\nexpect:")));
  client.send("ok");
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 100 Continue\r\n\r\n" + ok("done"));  // a second one is not passed on
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(proxy.http().downstream_rq_1xx.value(), 1u);
}

TEST(Proxy_Forwarding, DoesNotInviteABodyThatItRefuses) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) { route.match.path.text = "/only"; });
  const std::string response = proxy.exchange("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  EXPECT_THAT(response, StartsWith("HTTP/1.1 404 "));
}

TEST(Proxy_Forwarding, PassesEarlyHintsOn) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.take_received(), StartsWith("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n"));
  proxy.origin().connection().send(ok("x"));
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 OK"));
}

TEST(Proxy_Forwarding, ForwardsAnEarlyResponseThenClosesBothSides) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf");
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(client.received(), EndsWith("big"));
  EXPECT_TRUE(client.ended());
  EXPECT_TRUE(proxy.origin().connection().gone());
  EXPECT_EQ(proxy.log(), "413 - via_upstream 4/3|");
  EXPECT_EQ(proxy.cluster().upstream_rq_tx_reset.value(), 1u);
}

TEST(Proxy_Forwarding, AnEarlyResponseHeadLeavesTheRequestFlowing) {
  ProxyHarness proxy;
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nhalf");
  proxy.run();
  proxy.origin().connection().send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab");
  proxy.run();
  client.send("rest");
  proxy.run();
  EXPECT_EQ(body_of(proxy.origin().connection().received()), "halfrest");
  proxy.origin().connection().send("cd");
  proxy.run();
  EXPECT_EQ(body_of(client.received()), "abcd");
  EXPECT_FALSE(client.ended());
  EXPECT_EQ(proxy.log(), "200 - via_upstream 8/4|");
}

TEST(Proxy_Forwarding, RewritesThePathAndChangesFields) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    std::get<config::ForwardAction>(route.action).prefix_rewrite = "/new/";
    config::HeaderMutation add;
    add.name = "x-added";
    add.value.elements.push_back({config::FormatCommand::kLiteral, "yes", {}, {}});
    route.headers.request_add.push_back(add);
    route.headers.response_add.push_back(add);
  });
  proxy.origin().answer(ok("x"));
  std::string seen;
  proxy.origin().on_bytes([&seen](OriginConnection& connection) {
    seen = connection.take_received();
    connection.send(ok("x"));
  });
  const std::string response = proxy.exchange(get("/page"));
  EXPECT_THAT(seen, StartsWith("GET /new/page HTTP/1.1\r\n"));
  EXPECT_THAT(seen, HasSubstr("x-added: yes\r\n"));
  EXPECT_THAT(response, HasSubstr("x-added: yes\r\n"));
}

TEST(Proxy_Forwarding, ServesHttp10WhenAccepted) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) {
    listener.chains[0].http()->accept_http_10 = true;
    listener.chains[0].http()->default_host_for_http_10 = "default";
  });
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  client.send("GET / HTTP/1.0\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.ended());
}

TEST(Proxy_Forwarding, ClosesAfterTheConfiguredNumberOfRequests) {
  ProxyHarness proxy([](auto& listener, auto&, auto&) { listener.chains[0].http()->max_requests_per_connection = 2; });
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.take_received(), Not(HasSubstr("connection: close")));
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("connection: close"));
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.http().downstream_cx_max_requests_reached.value(), 1u);
}

TEST(Proxy_Forwarding, UsesAnUpstreamConnectionForTheConfiguredNumberOfRequests) {
  ProxyHarness proxy([](auto&, auto& cluster, auto&) { cluster.http.max_requests_per_connection = 2; });
  proxy.origin().answer(ok("x"));
  Client& client = proxy.connect();
  for (int i = 0; i < 5; ++i) {
    client.send(get());
    proxy.run();
  }
  EXPECT_EQ(proxy.origin().connections(), 3u);
  EXPECT_EQ(proxy.cluster().upstream_cx_max_requests.value(), 2u);
}

TEST(Proxy_LocalAnswers, DirectResponse) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    route.action = config::DirectResponse{.status = 418, .body = "short and stout"};
  });
  const std::string response = proxy.exchange(get());
  EXPECT_THAT(response, StartsWith("HTTP/1.1 418 "));
  EXPECT_THAT(response, HasSubstr("content-type: text/plain\r\n"));
  EXPECT_THAT(response, HasSubstr("content-length: 15\r\n"));
  EXPECT_THAT(response, HasSubstr("server: envoy\r\n"));
  EXPECT_EQ(body_of(response), "short and stout");
  EXPECT_EQ(proxy.http().rq_direct_response.value(), 1u);
  EXPECT_EQ(proxy.log(), "418 - direct_response 0/15|");
}

TEST(Proxy_LocalAnswers, ADirectResponseToHeadHasALengthAndNoBody) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { route.action = config::DirectResponse{.status = 200, .body = "12345"}; });
  Client& client = proxy.connect();
  client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), HasSubstr("content-length: 5\r\n"));
  EXPECT_THAT(client.received(), EndsWith("\r\n\r\n"));
}

TEST(Proxy_LocalAnswers, Redirect) {
  ProxyHarness proxy([](auto&, auto&, config::Route& route) {
    config::RedirectAction action;
    action.status = 302;
    action.host = "other.example";
    route.action = action;
  });
  const std::string response = proxy.exchange(get("/x?y=z"));
  EXPECT_THAT(response, StartsWith("HTTP/1.1 302 "));
  EXPECT_THAT(response, HasSubstr("location: http://other.example/x?y=z\r\n"));
  EXPECT_EQ(proxy.http().rq_redirect.value(), 1u);
}

// The request, and the end of the client's side, in one burst.
TEST(Proxy_LocalAnswers, AClientThatEndsItsSideAtOnceGetsTheAnswer) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { route.action = config::DirectResponse{.status = 200, .body = "12345"}; });
  Client& client = proxy.connect();
  client.send(get());
  client.end();
  proxy.run();
  EXPECT_EQ(body_of(client.received()), "12345");
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(proxy.log(), "200 - direct_response 0/5|");
}

TEST(Proxy_LocalAnswers, ADirectResponseToAnUnfinishedUploadClosesTheConnection) {
  for (const bool ends_at_once : {false, true}) {
    ProxyHarness proxy(
        [](auto&, auto&, config::Route& route) { route.action = config::DirectResponse{.status = 200, .body = "no"}; });
    Client& client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab");
    if (ends_at_once) client.end();
    proxy.run();
    EXPECT_THAT(client.received(), EndsWith("no"));
    EXPECT_TRUE(client.ended());
  }
}

TEST(Proxy_LocalAnswers, PipelinedRequestsWithTheClientsEndAreAllAnswered) {
  ProxyHarness proxy(
      [](auto&, auto&, config::Route& route) { route.action = config::DirectResponse{.status = 200, .body = "12345"}; });
  Client& client = proxy.connect();
  client.send(get("/1") + get("/2") + get("/3"));
  client.end();
  proxy.run();
  EXPECT_EQ(proxy.http().rq_direct_response.value(), 3u);
  EXPECT_EQ(proxy.log(), "200 - direct_response 0/5|200 - direct_response 0/5|200 - direct_response 0/5|");
}

}  // namespace
}  // namespace millrace::proxy::test
