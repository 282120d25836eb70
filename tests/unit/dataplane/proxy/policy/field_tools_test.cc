#include "dataplane/proxy/policy/field_tools.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;

TEST(HostWithoutPort, KnowsBracketsAndBareIpv6) {
  EXPECT_EQ(host_without_port("a.b:80"), "a.b");
  EXPECT_EQ(host_without_port("a.b"), "a.b");
  EXPECT_EQ(host_without_port("[::1]:80"), "[::1]");
  EXPECT_EQ(host_without_port("[::1]"), "[::1]");
  EXPECT_EQ(host_without_port("2001:db8::80"), "2001:db8::80");
  EXPECT_EQ(host_without_port("a.b:x"), "a.b:x");
  EXPECT_EQ(host_without_port(""), "");
}

TEST(ForwardedFor, CountsFromTheRight) {
  constexpr std::string_view kValue = "203.0.113.128, 203.0.113.10,203.0.113.1";
  const auto at = [&](std::uint32_t skip) {
    const ForwardedClient client = last_forwarded_for(kValue, skip);
    return client.found ? client.address.ip.to_string() : "(none)";
  };
  EXPECT_EQ(at(0), "203.0.113.1");
  EXPECT_EQ(at(1), "203.0.113.10");
  EXPECT_EQ(at(2), "203.0.113.128");
  EXPECT_EQ(at(3), "(none)");
}

TEST(ForwardedFor, SaysWhetherTheAddressStandsAlone) {
  EXPECT_TRUE(last_forwarded_for("10.0.0.1", 0).only);
  EXPECT_FALSE(last_forwarded_for("10.0.0.1, 10.0.0.2", 0).only);
  EXPECT_FALSE(last_forwarded_for("10.0.0.1, 10.0.0.2", 1).only);
}

TEST(ForwardedFor, RefusesWhatIsNoAddress) {
  EXPECT_FALSE(last_forwarded_for("", 0).found);
  EXPECT_FALSE(last_forwarded_for("  ", 0).found);
  EXPECT_FALSE(last_forwarded_for("unknown", 0).found);
  EXPECT_FALSE(last_forwarded_for("10.0.0.1,", 0).found);
  EXPECT_EQ(last_forwarded_for(" 2001:db8::1 ", 0).address.ip.to_string(), "2001:db8::1");
  EXPECT_EQ(last_forwarded_for("[2001:db8::1]:99", 0).address.port, 99);
}

TEST(HopByHop, RemovesWhatConcernsTheConnection) {
  Request request("/", {{"Connection", "keep-alive, X-Private"},
                        {"Keep-Alive", "5"},
                        {"Proxy-Connection", "keep-alive"},
                        {"Transfer-Encoding", "chunked"},
                        {"Upgrade", "h2c"},
                        {"X-Private", "1"},
                        {"X-Public", "2"},
                        {"Proxy-Authorization", "Basic eDp5"}});
  ASSERT_TRUE(strip_hop_by_hop(request.head.headers));
  ASSERT_EQ(request.head.headers.size(), 2u);
  EXPECT_EQ(request.head.headers.value("x-public"), "2");
  EXPECT_EQ(request.head.headers.value("proxy-authorization"), "Basic eDp5");
}

TEST(HopByHop, KeepsTrailersOfTe) {
  Request with("/", {{"te", "gzip;q=0.5, Trailers"}});
  ASSERT_TRUE(strip_hop_by_hop(with.head.headers));
  EXPECT_EQ(with.head.headers.value("te"), "trailers");
  Request without("/", {{"te", "gzip"}});
  ASSERT_TRUE(strip_hop_by_hop(without.head.headers));
  EXPECT_EQ(without.head.headers.find("te"), nullptr);
}

TEST(HopByHop, AClientCannotNameAwayWhatProxiesSay) {
  Request request("/", {{"connection", "x-forwarded-for, X-Envoy-Internal, content-length, x-request-id, cookie"},
                        {"x-forwarded-for", "10.0.0.1"},
                        {"x-envoy-internal", "true"},
                        {"content-length", "3"},
                        {"x-request-id", "r"},
                        {"cookie", "c"}});
  ASSERT_TRUE(strip_hop_by_hop(request.head.headers));
  EXPECT_EQ(request.head.headers.size(), 5u);
}

TEST(AppendToList, JoinsAllFieldsToOne) {
  Request request("/", {{"via", "1.0 a"}, {"x", "y"}, {"via", "1.1 b"}});
  ASSERT_TRUE(append_to_list(request.head.headers, http::HeaderId::kVia, "1.1 c", ", "));
  EXPECT_EQ(request.head.headers.value("via"), "1.0 a,1.1 b, 1.1 c");
  EXPECT_EQ(request.head.headers.size(), 2u);
  ASSERT_TRUE(append_to_list(request.head.headers, http::HeaderId::kXForwardedFor, "1.2.3.4", ","));
  EXPECT_EQ(request.head.headers.value("x-forwarded-for"), "1.2.3.4");
}

TEST(Uuid, HasVersionVariantAndNoRepetition) {
  Rng rng(1);
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) {
    std::array<char, kUuidBytes> text;
    write_uuid(rng, text);
    const std::string uuid(text.data(), text.size());
    EXPECT_TRUE(re2::RE2::FullMatch(uuid, "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")) << uuid;
    EXPECT_TRUE(seen.insert(uuid).second);
  }
}

}  // namespace
}  // namespace millrace::proxy
