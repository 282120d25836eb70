// Redirects that the gateway follows itself, seen by the client and by the origin.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using config::InternalRedirectPolicy;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProxyHarness::Change follows(const InternalRedirectPolicy& policy = {}) {
  return [policy](auto&, auto&, config::Route& route) {
    action_of(route).redirects = std::make_shared<InternalRedirectPolicy>(policy);
  };
}

std::string redirect_to(std::string_view location, std::string_view status = "302 Found", std::string_view fields = "") {
  return "HTTP/1.1 " + std::string(status) + "\r\nlocation: " + std::string(location) + "\r\n" + std::string(fields) +
         "content-length: 0\r\n\r\n";
}

/// Answers the first request with `redirect`, all others with 200; keeps what they were.
struct Redirecting {
  Redirecting(ProxyHarness& proxy, std::string redirect, std::string_view end = "\r\n\r\n") {
    proxy.origin().on_bytes([this, redirect = std::move(redirect), end = std::string(end)](OriginConnection& connection) {
      if (!connection.received().ends_with(end)) return;
      requests.push_back(connection.take_received());
      connection.send(requests.size() == 1 ? redirect : ok("there"));
    });
  }
  std::vector<std::string> requests;
};

TEST(Proxy_InternalRedirects, TheClientGetsTheTarget) {
  ProxyHarness proxy(follows());
  Redirecting origin(proxy, redirect_to("http://other.example/there?x=y#z"));
  EXPECT_THAT(proxy.exchange(get("/here?a=b", "x-field: kept\r\n")), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("there")));
  ASSERT_EQ(origin.requests.size(), 2u);
  EXPECT_THAT(origin.requests[1], StartsWith("GET /there?x=y HTTP/1.1\r\nhost: other.example\r\n"));
  EXPECT_THAT(origin.requests[1], HasSubstr("x-field: kept\r\n"));
  EXPECT_THAT(origin.requests[1], HasSubstr("x-envoy-original-url: http://example.com/here?a=b\r\n"));
  EXPECT_EQ(proxy.log(), "200 - via_upstream 0/5|") << "one request";
  EXPECT_EQ(proxy.cluster().upstream_internal_redirect_succeeded_total.value(), 1u);
  EXPECT_EQ(proxy.cluster().upstream_internal_redirect_failed_total.value(), 0u);
  EXPECT_EQ(proxy.cluster().upstream_rq_3xx.value(), 0u) << "of what clients get";
  EXPECT_EQ(proxy.endpoint().rq_success.value(), 2u);
  EXPECT_EQ(proxy.origin().connections(), 1u) << "the redirect was complete";
}

TEST(Proxy_InternalRedirects, WithoutAPolicyTheyAreTheClients) {
  ProxyHarness proxy;
  Redirecting origin(proxy, redirect_to("http://other.example/there"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 302 "));
}

TEST(Proxy_InternalRedirects, OthersAreTheClients) {
  for (const std::string& redirect :
       {redirect_to("http://other.example/there", "301 Moved Permanently"), redirect_to("/relative"),
        redirect_to("https://other.example/there"), redirect_to("http://other.example/a b")}) {
    ProxyHarness proxy(follows());
    Redirecting origin(proxy, redirect);
    EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 30")) << redirect;
    EXPECT_EQ(origin.requests.size(), 1u);
    EXPECT_EQ(proxy.cluster().upstream_internal_redirect_failed_total.value(), redirect.contains("301") ? 0u : 1u) << redirect;
  }
}

TEST(Proxy_InternalRedirects, OnlySoManyInARow) {
  ProxyHarness proxy(follows({.most = 3}));
  proxy.origin().answer(redirect_to("http://example.com/again"));
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 302 "));
  EXPECT_EQ(proxy.cluster().upstream_rq_total.value(), 4u);
  EXPECT_EQ(proxy.cluster().upstream_internal_redirect_succeeded_total.value(), 3u);
  EXPECT_EQ(proxy.cluster().upstream_internal_redirect_failed_total.value(), 1u);
}

TEST(Proxy_InternalRedirects, TheBodyGoesToTheTargetToo) {
  ProxyHarness proxy(follows({.statuses = {307}}));
  Redirecting origin(proxy, redirect_to("http://example.com/there", "307 Temporary Redirect"), "body");
  EXPECT_THAT(proxy.exchange("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"), EndsWith("there"));
  ASSERT_EQ(origin.requests.size(), 2u);
  EXPECT_THAT(origin.requests[1], AllOf(StartsWith("PUT /there HTTP/1.1\r\n"), EndsWith("\r\n\r\nbody")));
}

TEST(Proxy_InternalRedirects, SeeOtherAsksByGet) {
  ProxyHarness proxy(follows({.statuses = {303}}));
  std::vector<std::string> requests;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    const bool whole = requests.empty() ? connection.received().ends_with("body") : connection.received().ends_with("\r\n\r\n");
    if (!whole) return;
    requests.push_back(connection.take_received());
    connection.send(requests.size() == 1 ? redirect_to("http://example.com/there", "303 See Other") : ok("there"));
  });
  EXPECT_THAT(proxy.exchange("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"), EndsWith("there"));
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_THAT(requests[1], StartsWith("GET /there HTTP/1.1\r\n"));
  EXPECT_THAT(requests[1], Not(HasSubstr("content-length")));
  EXPECT_THAT(requests[1], Not(HasSubstr("transfer-encoding")));
}

TEST(Proxy_InternalRedirects, ARequestThatIsStillArrivingIsNotTurned) {
  ProxyHarness proxy(follows());
  Redirecting origin(proxy, redirect_to("http://example.com/there"));
  Client& client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 302 "));
  EXPECT_EQ(proxy.cluster().upstream_internal_redirect_failed_total.value(), 1u);
}

TEST(Proxy_InternalRedirects, ABodyThatWasTooLargeToKeepIsNotTurned) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    follows()(listener, cluster, route);
    action_of(route).retry_buffer_limit_bytes = 3;
  });
  Redirecting origin(proxy, redirect_to("http://example.com/there"), "body");
  EXPECT_THAT(proxy.exchange("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody"), StartsWith("HTTP/1.1 302 "));
  EXPECT_EQ(origin.requests.size(), 1u);
}

TEST(Proxy_InternalRedirects, TheBodyOfARedirectIsDropped) {
  ProxyHarness proxy(follows());
  Redirecting origin(proxy, "HTTP/1.1 302 Found\r\nlocation: http://a/there\r\ncontent-length: 5\r\n\r\nmoved");
  EXPECT_THAT(proxy.exchange(get()), AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("there"), Not(HasSubstr("moved"))));
}

TEST(Proxy_InternalRedirects, FieldsOfTheRedirectAreCopied) {
  ProxyHarness proxy(follows({.copied_headers = {"x-token"}}));
  Redirecting origin(proxy, redirect_to("http://a/there", "302 Found", "x-token: secret\r\n"));
  proxy.exchange(get());
  ASSERT_EQ(origin.requests.size(), 2u);
  EXPECT_THAT(origin.requests[1], HasSubstr("x-token: secret\r\n"));
}

TEST(Proxy_InternalRedirects, ATargetWithoutARouteIsTheClients) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    follows()(listener, cluster, route);
    route.match.path.text = "/here";
  });
  Redirecting origin(proxy, redirect_to("http://example.com/there"));
  EXPECT_THAT(proxy.exchange(get("/here")),
              AllOf(StartsWith("HTTP/1.1 302 "), HasSubstr("location: http://example.com/there\r\n")));
  EXPECT_EQ(proxy.log(), "302 - via_upstream 0/0|");
}

TEST(Proxy_InternalRedirects, ATryThatFailedIsRetriedFirst) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    follows()(listener, cluster, route);
    auto policy = std::make_shared<config::RetryPolicy>();
    policy->conditions.add(config::RetryCondition::k5xx);
    action_of(route).retry = policy;
  });
  int seen = 0;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    if (!connection.received().ends_with("\r\n\r\n")) return;
    connection.clear_received();
    const std::string answers[] = {"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", redirect_to("http://a/there"),
                                   "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", ok("there")};
    connection.send(answers[seen++]);
  });
  Client& client = proxy.connect();
  client.send(get());
  proxy.advance(Duration::seconds(2));
  EXPECT_THAT(client.received(), EndsWith("there")) << "the target has the retries of its route";
  EXPECT_EQ(proxy.cluster().upstream_rq_retry.value(), 2u);
}

TEST(Proxy_InternalRedirects, AClientThatLeavesMeanwhileIsForgotten) {
  ProxyHarness proxy(follows());
  Client* client = &proxy.connect();
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    if (!connection.received().ends_with("\r\n\r\n")) return;
    connection.clear_received();
    connection.send(redirect_to("http://a/there"));
    client->reset();
  });
  client->send(get());
  proxy.run();
  EXPECT_EQ(proxy.http().downstream_rq_active.value(), 0);
}

}  // namespace
}  // namespace millrace::proxy::test
