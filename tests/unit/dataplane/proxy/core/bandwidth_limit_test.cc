// The bandwidth limit filter: how fast bodies pass, who shares a limit, and what is held back meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/core/filter_support.h"

namespace millrace::proxy::test {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kName = "envoy.filters.http.bandwidth_limit";
constexpr std::size_t kKibibyte = 1024;

config::BandwidthLimit limit_of(std::uint64_t kibibytes_per_second) {
  config::BandwidthLimit limit;
  limit.bytes_per_second = kibibytes_per_second * kKibibyte;
  limit.rate = std::make_shared<report::ByteRateCell>(0, "", 1);
  limit.cell = std::make_shared<report::BandwidthLimitCell>(0, "edge", 1);
  return limit;
}

config::BandwidthLimit limit_of_responses(std::uint64_t kibibytes_per_second) {
  config::BandwidthLimit limit = limit_of(kibibytes_per_second);
  limit.limits_responses = true;
  return limit;
}

ProxyHarness::Change with(const config::BandwidthLimit& limit) {
  return [=](config::Listener& listener, config::Cluster&, config::Route&) { add_filter(listener, kName, limit); };
}

const report::BandwidthStats& responses(const config::BandwidthLimit& limit) { return limit.cell->per_worker[0].response; }
const report::BandwidthStats& requests(const config::BandwidthLimit& limit) { return limit.cell->per_worker[0].request; }

TEST(BandwidthLimit, AResponseComesAsFastAsItMay) {
  const config::BandwidthLimit limit = limit_of_responses(100);
  ProxyHarness proxy(with(limit));
  const std::string text(50 * kKibibyte, 'x');
  proxy.origin().answer(ok(text));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 ")) << "the head does not wait";
  EXPECT_EQ(body_of(client.received()), "");
  EXPECT_EQ(responses(limit).pending.value(), 1);
  proxy.advance(Duration::milliseconds(250));
  EXPECT_NEAR(static_cast<double>(body_of(client.received()).size()), 25.0 * kKibibyte, 6.0 * kKibibyte);
  proxy.advance(Duration::milliseconds(350));
  EXPECT_EQ(body_of(client.received()), text);
  EXPECT_EQ(responses(limit).enabled.value(), 1u);
  EXPECT_GE(responses(limit).enforced.value(), 9u) << "at each fill";
  EXPECT_LE(responses(limit).enforced.value(), 12u);
  EXPECT_EQ(responses(limit).incoming_total_size.value(), text.size());
  EXPECT_EQ(responses(limit).allowed_total_size.value(), text.size());
  EXPECT_EQ(responses(limit).pending.value(), 0);
  EXPECT_NEAR(static_cast<double>(responses(limit).transfer_duration.sum()), 500.0, 60.0);
  EXPECT_EQ(requests(limit).enabled.value(), 0u);
}

TEST(BandwidthLimit, ARequestToo) {
  config::BandwidthLimit limit = limit_of(10);
  limit.limits_requests = true;
  ProxyHarness proxy(with(limit));
  std::string seen;
  proxy.origin().on_bytes([&](OriginConnection& connection) {
    seen += connection.take_received();
    if (body_of(seen).size() == 5 * kKibibyte) connection.send(ok("done"));
  });
  const std::string text(5 * kKibibyte, 'x');
  Client& client = proxy.connect();
  client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5120\r\n\r\n" + text);
  proxy.run();
  proxy.advance(Duration::milliseconds(400));
  EXPECT_LE(body_of(seen).size(), 4'100u);
  EXPECT_EQ(client.received(), "");
  proxy.advance(Duration::milliseconds(200));
  EXPECT_EQ(body_of(seen), text);
  EXPECT_THAT(client.received(), EndsWith("done"));
  EXPECT_EQ(requests(limit).allowed_total_size.value(), text.size());
  EXPECT_EQ(responses(limit).enabled.value(), 0u);
}

TEST(BandwidthLimit, AllStreamsShareIt) {
  const config::BandwidthLimit limit = limit_of_responses(100);
  ProxyHarness proxy(with(limit));
  proxy.origin().answer(ok(std::string(50 * kKibibyte, 'x')));
  Client& first = proxy.connect();
  Client& second = proxy.connect();
  first.send(get());
  second.send(get());
  proxy.run();
  proxy.advance(Duration::milliseconds(500));
  const std::size_t both = body_of(first.received()).size() + body_of(second.received()).size();
  EXPECT_LE(both, 50 * kKibibyte);
  EXPECT_GE(both, 40 * kKibibyte);
  proxy.advance(Duration::milliseconds(600));
  EXPECT_EQ(body_of(first.received()).size() + body_of(second.received()).size(), 100 * kKibibyte);
}

TEST(BandwidthLimit, WhatMayNotPassHoldsBackItsSender) {
  const config::BandwidthLimit limit = limit_of_responses(1);
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster& cluster, config::Route&) {
    cluster.buffer_limit_bytes = 32 * kKibibyte;
    add_filter(listener, kName, limit);
  });
  proxy.origin().answer(ok(std::string(2'000'000, 'x')));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  proxy.advance(Duration::seconds(1));
  EXPECT_LE(responses(limit).incoming_total_size.value(), 64 * kKibibyte);
  client.reset();
  proxy.run();
  EXPECT_EQ(responses(limit).pending.value(), 0);
}

TEST(BandwidthLimit, ABodyThatEndsWithoutAByteIsNotHeld) {
  const config::BandwidthLimit limit = limit_of_responses(1);
  ProxyHarness proxy(with(limit));
  proxy.origin().answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_THAT(proxy.exchange(get()), EndsWith("\r\n0\r\n\r\n"));
  proxy.origin().answer("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_THAT(proxy.exchange(get()), StartsWith("HTTP/1.1 204 "));
  EXPECT_EQ(responses(limit).enabled.value(), 2u);
  EXPECT_EQ(responses(limit).enforced.value(), 0u);
  EXPECT_EQ(responses(limit).pending.value(), 0);
}

TEST(BandwidthLimit, ARouteHasALimitOfItsOwn) {
  const config::BandwidthLimit none = limit_of(1);
  const config::BandwidthLimit of_route = limit_of_responses(100);
  ProxyHarness proxy([&](config::Listener& listener, config::Cluster&, config::Route& route) {
    add_filter(listener, kName, none);
    add_route_config(route, kName, of_route);
  });
  proxy.origin().answer(ok(std::string(10 * kKibibyte, 'x')));
  Client& client = proxy.connect();
  client.send(get());
  proxy.run();
  EXPECT_EQ(body_of(client.received()), "");
  proxy.advance(Duration::milliseconds(160));
  EXPECT_EQ(body_of(client.received()).size(), 10 * kKibibyte);
  EXPECT_EQ(responses(none).enabled.value(), 0u);
  EXPECT_EQ(responses(of_route).enabled.value(), 1u);
}

}  // namespace
}  // namespace millrace::proxy::test
