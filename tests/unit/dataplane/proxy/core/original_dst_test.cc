// Requests and connections to ORIGINAL_DST clusters: where they go, and how long endpoints stay.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/proxy/original_destinations.h"
#include "dataplane/proxy/stream_info.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"
#include "tests/unit/dataplane/proxy/core/through.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

constexpr SocketAddress kSecond{IpAddress::v4(198, 18, 1, 2), 8080};

void set_original_dst(config::Cluster& cluster, const config::OriginalDst& rules = {}) {
  cluster.endpoints.clear();
  cluster.original_dst = std::make_shared<config::OriginalDst>(rules);
}

config::OriginalDst by_header() {
  config::OriginalDst rules;
  rules.http_header = "x-envoy-original-dst-host";
  return rules;
}

ProxyHarness::Change original_dst(const config::OriginalDst& rules) {
  return [rules](config::Listener&, config::Cluster& cluster, config::Route&) { set_original_dst(cluster, rules); };
}

/// A request that is meant for `address`.
std::string get_from(std::string_view address) { return get("/", "x-envoy-original-dst-host: " + std::string(address) + "\r\n"); }

/// A proxy with two origins.
struct TwoOrigins {
  explicit TwoOrigins(const ProxyHarness::Change& change) : proxy(change), second(proxy.chains, proxy.now) {
    proxy.origin().answer(ok("first"));
    second.answer(ok("second"));
    proxy.net.listen(kSecond, second);
  }
  ~TwoOrigins() {
    proxy.proxy->force_close_all(proxy.now);
    proxy.run();
  }
  TwoOrigins(const TwoOrigins&) = delete;
  TwoOrigins& operator=(const TwoOrigins&) = delete;

  ProxyHarness proxy;
  Origin second;
};

/// A request to 198.18.0.2:80 whose field and metadata name other addresses.
struct Overridden {
  explicit Overridden(std::string_view field, std::string_view metadata) {
    EXPECT_TRUE(request.headers.add_copy("x-to", field));
    address = {.kind = MetadataValue::Kind::kString, .text = metadata, .key = "address"};
    root = {.kind = MetadataValue::Kind::kStruct, .first = &address};
    EXPECT_TRUE(info.metadata.set("chooser", root, arena));
    info.request = &request;
    info.downstream_local = ProxyHarness::kListen;
    info.downstream_local_is_original = true;
  }

  ChunkPool chunks{1, 4, 0};
  Arena arena{chunks};
  http::RequestHead request{arena, 4};
  MetadataValue address;
  MetadataValue root;
  StreamInfo info;
};

TEST(OriginalDestination, MetadataGoesBeforeTheFieldAndThatBeforeTheAddress) {
  const Overridden request("198.18.1.1:81", "198.18.1.2:82");
  config::OriginalDst rules;
  EXPECT_EQ(original_destination(rules, request.info).address, ProxyHarness::kListen);
  rules.http_header = "x-to";
  EXPECT_EQ(original_destination(rules, request.info).address, (SocketAddress{IpAddress::v4(198, 18, 1, 1), 81}));
  rules.metadata_filter = "chooser";
  rules.metadata_path = {"address"};
  EXPECT_EQ(original_destination(rules, request.info).address, (SocketAddress{IpAddress::v4(198, 18, 1, 2), 82}));
  rules.metadata_path = {"address", "deeper"};
  EXPECT_EQ(original_destination(rules, request.info).address, (SocketAddress{IpAddress::v4(198, 18, 1, 1), 81}));
}

TEST(OriginalDestination, WhatIsNoAddressIsPassedOver) {
  const Overridden request("[2001:db8::1]:81", "nobody");
  config::OriginalDst rules;
  rules.http_header = "x-to";
  rules.metadata_filter = "chooser";
  rules.metadata_path = {"address"};
  const OriginalDestination found = original_destination(rules, request.info);
  EXPECT_EQ(found.address, SocketAddress::parse("[2001:db8::1]:81"));
  EXPECT_TRUE(found.invalid);
}

TEST(OriginalDestination, WhatStandsForAUnixSocketIsNobodysToWrite) {
  const Overridden request(SocketAddress::of_pipe("/run/agent.sock").to_string(), "nobody");
  config::OriginalDst rules;
  rules.http_header = "x-to";
  const OriginalDestination found = original_destination(rules, request.info);
  EXPECT_EQ(found.address, ProxyHarness::kListen);
  EXPECT_TRUE(found.invalid);
}

TEST(Proxy_OriginalDst, ARequestGoesWhereItsFieldSays) {
  TwoOrigins setup(original_dst(by_header()));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second"));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.1:8080")), EndsWith("first"));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second"));
  EXPECT_EQ(setup.second.connections(), 1u) << "the endpoint keeps its connection";
  EXPECT_EQ(setup.proxy.cluster().upstream_rq_total.value(), 3u);
  EXPECT_EQ(setup.proxy.cluster().original_dst_host_invalid.value(), 0u);
}

TEST(Proxy_OriginalDst, WhatIsNoAddressIsCounted) {
  TwoOrigins setup(original_dst(by_header()));
  EXPECT_THAT(setup.proxy.exchange(get_from("second.example:8080")), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(setup.proxy.cluster().original_dst_host_invalid.value(), 1u);
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2")), StartsWith("HTTP/1.1 503 ")) << "without a port";
  EXPECT_EQ(setup.proxy.cluster().original_dst_host_invalid.value(), 2u);
  EXPECT_THAT(setup.proxy.log(), StartsWith("503 UH no_healthy_upstream "));
}

TEST(Proxy_OriginalDst, WithoutAnOverrideTheAddressCountsWhereItIsKnown) {
  config::OriginalDst rules;
  rules.port_override = 8080;
  {
    TwoOrigins setup(original_dst(rules));
    EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), StartsWith("HTTP/1.1 503 ")) << "nobody knows it";
    EXPECT_EQ(setup.proxy.cluster().original_dst_host_invalid.value(), 0u);
    EXPECT_EQ(setup.proxy.cluster().upstream_cx_none_healthy.value(), 1u);
  }
  TwoOrigins setup([&](config::Listener& listener, config::Cluster& cluster, config::Route&) {
    set_original_dst(cluster, rules);
    listener.knows_original_dst = true;
  });
  const SocketAddress self{ProxyHarness::kListen.ip, 8080};
  setup.proxy.net.listen(self, setup.second);
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.1:8080")), EndsWith("second")) << "the field does not count";
}

TEST(Proxy_OriginalDst, ThePortIsOverriddenWhateverTheAddressIsFrom) {
  config::OriginalDst rules = by_header();
  rules.port_override = 8080;
  TwoOrigins setup(original_dst(rules));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:1")), EndsWith("second"));
}

TEST(Proxy_OriginalDst, EndpointsGoWhenNobodyUsesThem) {
  config::OriginalDst rules = by_header();
  rules.cleanup_interval = Duration::seconds(5);
  TwoOrigins setup(original_dst(rules));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second"));
  setup.proxy.advance(Duration::seconds(6));
  EXPECT_FALSE(setup.second.connection().ended()) << "used since the last clean-up";
  setup.proxy.advance(Duration::seconds(5));
  EXPECT_TRUE(setup.second.connection().ended());
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second")) << "it is made anew";
  EXPECT_EQ(setup.second.connections(), 2u);
}

TEST(Proxy_OriginalDst, ARequestInProgressKeepsItsEndpoint) {
  config::OriginalDst rules = by_header();
  TwoOrigins setup([&](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    set_original_dst(cluster, rules);
    listener.chains[0].http()->stream_idle_timeout = Duration();
    std::get<config::ForwardAction>(route.action).timeout = Duration();
  });
  setup.second.on_bytes({});
  Client& client = setup.proxy.connect();
  client.send(get_from("198.18.1.2:8080"));
  setup.proxy.advance(Duration::seconds(60));
  ASSERT_EQ(setup.second.connections(), 1u);
  setup.second.connection().send(ok("late"));
  setup.proxy.run();
  EXPECT_THAT(client.received(), EndsWith("late"));
}

TEST(Proxy_OriginalDst, ThereAreSoManyAtTheMost) {
  TwoOrigins setup([&](config::Listener& listener, config::Cluster& cluster, config::Route&) {
    set_original_dst(cluster, by_header());
    cluster.connect_timeout = Duration::milliseconds(1);
    listener.chains[0].http()->access_logs.clear();
  });
  Client& client = setup.proxy.connect();
  for (std::size_t i = 0; i < OriginalDestinations::kMost + 10; ++i) {
    client.send(get_from("198.19." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1) + ":80"));
    setup.proxy.run();
    EXPECT_THAT(client.take_received(), StartsWith("HTTP/1.1 503 ")) << "nobody is there";
  }
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second")) << "those without requests made room";
  EXPECT_EQ(setup.proxy.cluster().upstream_cx_none_healthy.value(), 0u);
}

TEST(Proxy_OriginalDst, AnotherTypeEndsWhatItHad) {
  TwoOrigins setup(original_dst(by_header()));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second"));
  setup.proxy.reconfigure([](config::Listener&, config::Cluster& cluster, config::Route&) { cluster.original_dst = nullptr; });
  EXPECT_TRUE(setup.second.connection().ended());
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), StartsWith("HTTP/1.1 503 "));
  setup.proxy.reconfigure(original_dst(by_header()));
  EXPECT_THAT(setup.proxy.exchange(get_from("198.18.1.2:8080")), EndsWith("second"));
}

TEST(Proxy_OriginalDst, ConnectionsGoWhereTheyWereMeantToGo) {
  config::OriginalDst rules;
  rules.port_override = 8080;
  Through it([&](config::TcpProxy&, config::Listener& listener, config::Cluster& cluster) {
    set_original_dst(cluster, rules);
    listener.knows_original_dst = true;
  });
  Origin self(it->chains, it->now);
  const SocketAddress address{ProxyHarness::kListen.ip, 8080};
  it->net.listen(address, self);
  it->connect().send("ping");
  it->run();
  ASSERT_EQ(self.connections(), 1u);
  EXPECT_EQ(self.connection().received(), "ping");
  it->proxy->force_close_all(it->now);
  it->run();
  it->net.close_listener(address);
}

}  // namespace
}  // namespace millrace::proxy::test
