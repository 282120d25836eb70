#include "dataplane/proxy/policy/filter_chain_matcher.h"

#include <gtest/gtest.h>

#include "config/compile/filter_chain_table.h"

namespace millrace::proxy {
namespace {

using config::FilterChainClash;
using config::FilterChainConditions;
using SourceType = config::FilterChainConditions::SourceType;

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
SocketAddress address(const char* text) { return *SocketAddress::parse(text); }

/// A table of these chains; without clashes.
config::FilterChainTable table_of(const std::vector<FilterChainConditions>& chains, std::optional<std::uint32_t> fallback = {}) {
  std::vector<FilterChainClash> clashes;
  auto table = config::compile_filter_chains(chains, fallback, clashes);
  EXPECT_TRUE(clashes.empty());
  return table;
}

/// A client of 198.51.100.7:40000 that came to 198.18.0.2:443.
struct Client {
  SocketAddress local = address("198.18.0.2:443");
  SocketAddress peer = address("198.51.100.7:40000");
  SocketAddress direct = peer;
  std::string name = {};
  std::string transport = "raw_buffer";
  std::vector<std::string> protocols = {};
};

constexpr std::uint32_t kNone = 999;

std::uint32_t chosen(const config::FilterChainTable& table, const Client& client = {}) {
  return find_filter_chain(table, {.local = client.local,
                                   .remote = client.peer,
                                   .direct_remote = client.direct,
                                   .server_name = client.name,
                                   .transport_protocol = client.transport,
                                   .application_protocols = client.protocols})
      .value_or(kNone);
}

TEST(FilterChainMatcher, OneChainWithoutConditionsIsEverybodys) {
  const auto table = table_of({{}});
  EXPECT_TRUE(table.is_unconditional());
  EXPECT_EQ(chosen(table), 0u);
}

TEST(FilterChainMatcher, ADefaultChainAloneIsEverybodys) {
  const auto table = table_of({}, 0);
  EXPECT_TRUE(table.is_unconditional());
  EXPECT_EQ(chosen(table), 0u);
}

TEST(FilterChainMatcher, WithoutAMatchTheDefaultServesOrNobody) {
  FilterChainConditions tls;
  tls.transport_protocol = "tls";
  EXPECT_EQ(chosen(table_of({tls})), kNone);
  EXPECT_EQ(chosen(table_of({tls}, 1)), 1u);
  EXPECT_EQ(chosen(table_of({tls}, 1), {.transport = "tls"}), 0u);
}

TEST(FilterChainMatcher, DestinationPort) {
  FilterChainConditions port;
  port.destination_port = 443;
  const auto table = table_of({{}, port});
  EXPECT_EQ(chosen(table), 1u);
  EXPECT_EQ(chosen(table, {.local = address("198.18.0.2:80")}), 0u);
}

TEST(FilterChainMatcher, TheLongestDestinationPrefixWins) {
  FilterChainConditions wide, narrow, host, six, all;
  wide.destinations = {prefix("198.18.0.0/16")};
  narrow.destinations = {prefix("10.0.0.0/8"), prefix("198.18.0.0/24")};
  host.destinations = {prefix("198.18.0.9/32")};
  six.destinations = {prefix("2001:db8::/32")};
  all.destinations = {prefix("0.0.0.0/0")};
  const auto table = table_of({wide, narrow, host, six, all});
  const auto to = [&](const char* text) { return chosen(table, {.local = address(text)}); };
  EXPECT_EQ(to("198.18.7.1:443"), 0u);
  EXPECT_EQ(to("198.18.0.2:443"), 1u);
  EXPECT_EQ(to("10.1.2.3:443"), 1u);
  EXPECT_EQ(to("198.18.0.9:443"), 2u);
  EXPECT_EQ(to("[2001:db8::1]:443"), 3u);
  EXPECT_EQ(to("203.0.113.1:443"), 4u);
  EXPECT_EQ(to("[2001:db9::1]:443"), kNone) << "0.0.0.0/0 is about IPv4 only";
}

TEST(FilterChainMatcher, AnIpv6PrefixOfEverythingIsNotAboutIpv4) {
  FilterChainConditions six;
  six.destinations = {prefix("::/0")};
  const auto table = table_of({six});
  EXPECT_EQ(chosen(table), kNone);
  EXPECT_EQ(chosen(table, {.local = address("[2001:db8::1]:443")}), 0u);
}

TEST(FilterChainMatcher, TheMostSpecificServerNameWins) {
  FilterChainConditions exact, suffix, top, any;
  exact.server_names = {"www.example.com", "example.net"};
  suffix.server_names = {"*.example.com"};
  top.server_names = {"*.com"};
  const auto table = table_of({exact, suffix, top, any});
  const auto to = [&](const char* name) { return chosen(table, {.name = name, .transport = "tls"}); };
  EXPECT_EQ(to("www.example.com"), 0u);
  EXPECT_EQ(to("example.net"), 0u);
  EXPECT_EQ(to("api.example.com"), 1u);
  EXPECT_EQ(to("a.b.example.com"), 1u);
  EXPECT_EQ(to("example.com"), 2u) << "a wildcard stands for at least one label";
  EXPECT_EQ(to("other.com"), 2u);
  EXPECT_EQ(to("com"), 3u);
  EXPECT_EQ(to("www.example.org"), 3u);
  EXPECT_EQ(to(".com"), 3u);
  EXPECT_EQ(to("x."), 3u);
  EXPECT_EQ(to(""), 3u);
}

TEST(FilterChainMatcher, TransportProtocol) {
  FilterChainConditions tls, raw;
  tls.transport_protocol = "tls";
  raw.transport_protocol = "raw_buffer";
  const auto table = table_of({tls, raw});
  EXPECT_EQ(chosen(table, {.transport = "tls"}), 0u);
  EXPECT_EQ(chosen(table), 1u);
}

TEST(FilterChainMatcher, TheClientsFirstProtocolThatIsKnownDecides) {
  FilterChainConditions h2, http1;
  h2.application_protocols = {"h2"};
  http1.application_protocols = {"http/1.1", "http/1.0"};
  const auto table = table_of({h2, http1});
  EXPECT_EQ(chosen(table, {.protocols = {"h2", "http/1.1"}}), 0u);
  EXPECT_EQ(chosen(table, {.protocols = {"spdy", "http/1.1", "h2"}}), 1u);
  EXPECT_EQ(chosen(table, {.protocols = {"http/1.0"}}), 1u);
  EXPECT_EQ(chosen(table, {.protocols = {"istio"}}), kNone);
  EXPECT_EQ(chosen(table), kNone);
}

TEST(FilterChainMatcher, SourceTypePrefersWhatFitsOverAny) {
  FilterChainConditions local, external, any;
  local.source_type = SourceType::kLocal;
  external.source_type = SourceType::kExternal;
  const auto table = table_of({local, external, any});
  EXPECT_EQ(chosen(table), 1u);
  EXPECT_EQ(chosen(table, {.peer = address("198.18.0.2:40000")}), 0u);
  EXPECT_EQ(chosen(table, {.peer = address("127.0.0.1:40000")}), 0u);
  const auto without = table_of({local, any});
  EXPECT_EQ(chosen(without), 1u);
  EXPECT_EQ(chosen(table_of({local})), kNone);
}

TEST(FilterChainMatcher, SourceAddressAndPort) {
  FilterChainConditions net, port, direct;
  net.sources = {prefix("198.51.100.0/24")};
  port.sources = {prefix("198.51.100.0/24")};
  port.source_ports = {1234, 40000};
  direct.direct_sources = {prefix("203.0.113.0/24")};
  const auto table = table_of({net, port, direct});
  EXPECT_EQ(chosen(table), 1u);
  EXPECT_EQ(chosen(table, {.peer = address("198.51.100.7:1")}), 0u);
  EXPECT_EQ(chosen(table, {.peer = address("203.0.113.8:1")}), 2u);
  EXPECT_EQ(chosen(table, {.peer = address("192.0.2.8:1")}), kNone);
}

TEST(FilterChainMatcher, EachStepIsFinalEvenWhenALaterOneFails) {
  // The port decides before the name, the name before the transport protocol, and so on: there is no way back.
  FilterChainConditions port, name;
  port.destination_port = 443;
  port.server_names = {"a.example"};
  name.server_names = {"b.example"};
  const auto table = table_of({port, name});
  EXPECT_EQ(chosen(table, {.name = "b.example"}), kNone) << "port 443 is spoken for";
  EXPECT_EQ(chosen(table, {.local = address("198.18.0.2:80"), .name = "b.example"}), 1u);

  FilterChainConditions exact, wild;
  exact.server_names = {"www.example.com"};
  exact.transport_protocol = "raw_buffer";
  wild.server_names = {"*.example.com"};
  EXPECT_EQ(chosen(table_of({exact, wild}), {.name = "www.example.com", .transport = "tls"}), kNone);

  FilterChainConditions direct, source;
  direct.direct_sources = {prefix("198.51.100.7/32")};
  direct.source_ports = {1};
  EXPECT_EQ(chosen(table_of({direct, source})), kNone);
}

TEST(FilterChainMatcher, OrderIsOfKindsNotOfChains) {
  // A chain that names the address is chosen over one that names everything else.
  FilterChainConditions everything, place;
  everything.server_names = {"www.example.com"};
  everything.transport_protocol = "tls";
  everything.application_protocols = {"h2"};
  place.destinations = {prefix("198.18.0.2/32")};
  const auto table = table_of({everything, place});
  EXPECT_EQ(chosen(table, {.name = "www.example.com", .transport = "tls", .protocols = {"h2"}}), 1u);
}

TEST(FilterChainTable, NamesChainsThatClash) {
  std::vector<FilterChainClash> clashes;
  FilterChainConditions ab, bc, other;
  ab.server_names = {"a", "b", "a"};
  bc.server_names = {"b", "c"};
  other.server_names = {"b"};
  other.source_ports = {1};
  const auto table = config::compile_filter_chains({ab, bc, other}, {}, clashes);
  EXPECT_EQ(clashes, (std::vector<FilterChainClash>{{0, 1}}));
  EXPECT_EQ(chosen(table, {.name = "b"}), 0u);
  EXPECT_EQ(chosen(table, {.name = "c"}), 1u);

  clashes.clear();
  (void)config::compile_filter_chains({{}, {}, {}}, {}, clashes);
  EXPECT_EQ(clashes, (std::vector<FilterChainClash>{{0, 1}, {0, 2}}));

  clashes.clear();
  FilterChainConditions ports, same;
  ports.source_ports = {1, 2};
  same.source_ports = {2, 1};
  (void)config::compile_filter_chains({ports, same}, {}, clashes);
  EXPECT_EQ(clashes, (std::vector<FilterChainClash>{{0, 1}})) << "told once, however often they meet";

  clashes.clear();
  FilterChainConditions net, unmasked;
  net.destinations = {prefix("10.0.0.0/8")};
  unmasked.destinations = {prefix("10.1.2.3/8")};
  (void)config::compile_filter_chains({net, unmasked}, {}, clashes);
  EXPECT_EQ(clashes.size(), 1u) << "host bits do not count";
}

}  // namespace
}  // namespace millrace::proxy
