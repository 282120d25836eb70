// Names of clusters, asked of a resolver that the test answers for, on virtual time.
#include "control-agent/discovery/name_discovery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/unit/control-agent/discovery/discovery_fixture.h"

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Status = NameAnswer::Status;

class FakeResolver final : public NameResolver {
 public:
  struct Question {
    std::string name;
    IpFamily family;
    Done done;
  };
  void resolve(const std::string& name, IpFamily family, Done done) override { open.push_back({name, family, std::move(done)}); }

  std::deque<Question> open;
};

class NameDiscoveryTest : public test::DiscoveryTest {
 protected:
  static std::string cluster_text(const std::string& type, const std::string& more, const std::vector<std::string>& hosts) {
    return "name: named, type: " + type + more + ", load_assignment: {" + test::endpoints_text("named", hosts) + "}";
  }
  /// Loads, and asks for the first time.
  void begin(const std::string& type, const std::string& more = ", dns_lookup_family: V4_ONLY",
             const std::vector<std::string>& hosts = {"one.test"}) {
    place("cds.yaml", test::kClusterType, {cluster_text(type, more, hosts)});
    loaded_ = load_good(cds());
    discovery_ = std::make_unique<NameDiscovery>(
        *loaded_.publisher,
        [this](const ResolverSettings& settings) {
          asked_for_ = settings;
          return &resolver_;
        },
        routable_, 1);
    discovery_->service(now_);
  }
  void answer(Status status, const std::vector<std::string>& addresses = {}, Duration ttl = {}) {
    ASSERT_FALSE(resolver_.open.empty());
    NameAnswer answer{.status = status, .addresses = {}, .ttl = ttl};
    for (const std::string& text : addresses) answer.addresses.push_back(*IpAddress::parse(text));
    const auto question = std::move(resolver_.open.front());
    resolver_.open.pop_front();
    question.done(std::move(answer));
    discovery_->service(now_);
  }
  void pass(Duration time) {
    now_ = now_ + time;
    discovery_->service(now_);
  }
  [[nodiscard]] const config::Cluster& cluster() const { return *loaded_.publisher->snapshot()->find_cluster("named"); }
  [[nodiscard]] std::vector<std::string> addresses() const {
    std::vector<std::string> out;
    for (const auto& endpoint : cluster().endpoints) out.push_back(endpoint.address.to_string());
    return out;
  }
  [[nodiscard]] DnsStats stats() const { return discovery_->stats().at("named"); }

  FakeResolver resolver_;
  ResolverSettings asked_for_;
  RoutableFamilies routable_;
  Loaded loaded_;
  std::unique_ptr<NameDiscovery> discovery_;
  // Never earlier, and not much later.
  bool asks_again_after(Duration interval) const {
    const Duration wait = discovery_->next_timeout() - now_;
    return interval <= wait && wait <= interval + std::min(interval / 16, kMostLater);
  }
  static constexpr Duration kMostLater = Duration::seconds(1);

  Instant now_ = Instant::from_nanoseconds(0) + Duration::seconds(1000);
};

TEST_F(NameDiscoveryTest, AStrictClusterHasAllAddressesOfAllItsNames) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_ONLY", {"one.test", "two.test", "198.18.0.9"});
  EXPECT_THAT(addresses(), ElementsAre("198.18.0.9:8080")) << "an address needs no answer";
  ASSERT_THAT(resolver_.open, SizeIs(2));
  EXPECT_EQ(resolver_.open[0].name, "one.test");
  EXPECT_EQ(resolver_.open[0].family, IpFamily::kV4);
  answer(Status::kFound, {"198.18.0.2", "198.18.0.1"});
  answer(Status::kFound, {"198.18.0.3", "198.18.0.1"});
  EXPECT_THAT(addresses(), ElementsAre("198.18.0.1:8080", "198.18.0.2:8080", "198.18.0.3:8080", "198.18.0.9:8080"));
  EXPECT_EQ(cluster().endpoints[0].extras().hostname, "one.test");
  EXPECT_EQ(cluster().endpoints[2].extras().hostname, "two.test");
}

TEST_F(NameDiscoveryTest, AsksAgainAfterTheRefreshRate) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_ONLY, dns_refresh_rate: 7s");
  answer(Status::kFound, {"198.18.0.1"}, Duration::seconds(2));
  EXPECT_TRUE(asks_again_after(Duration::seconds(7)));
  pass(Duration::seconds(7) - Duration::milliseconds(1));
  EXPECT_THAT(resolver_.open, IsEmpty());
  pass(kMostLater);
  EXPECT_THAT(resolver_.open, SizeIs(1));
}

TEST_F(NameDiscoveryTest, NamesThatWereAskedTogetherAreNotAskedTogetherAgain) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_ONLY, dns_refresh_rate: 60s", {"one.test", "two.test"});
  answer(Status::kFound, {"198.18.0.1"});
  answer(Status::kFound, {"198.18.0.2"});
  pass(discovery_->next_timeout() - now_);
  EXPECT_THAT(resolver_.open, SizeIs(1));
}

TEST_F(NameDiscoveryTest, RespectsTheTimeToLive) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_ONLY, respect_dns_ttl: true");
  answer(Status::kFound, {"198.18.0.1"}, Duration::seconds(90));
  EXPECT_TRUE(asks_again_after(Duration::seconds(90)));
  pass(Duration::seconds(90) + kMostLater);
  answer(Status::kFound, {"198.18.0.1"}, Duration());
  EXPECT_TRUE(asks_again_after(Duration::seconds(5))) << "of a record without one the refresh rate counts";
}

TEST_F(NameDiscoveryTest, AFailureKeepsTheLastAnswer) {
  begin("STRICT_DNS");
  answer(Status::kFound, {"198.18.0.1"});
  const auto before = loaded_.publisher->snapshot();
  pass(Duration::seconds(5) + kMostLater);
  answer(Status::kFailed);
  EXPECT_EQ(loaded_.publisher->snapshot(), before);
  EXPECT_TRUE(asks_again_after(Duration::seconds(5)));
  EXPECT_EQ(stats().update_attempt, 2u);
  EXPECT_EQ(stats().update_success, 1u);
  EXPECT_EQ(stats().update_failure, 1u);
}

TEST_F(NameDiscoveryTest, FailuresBackOff) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_ONLY, dns_failure_refresh_rate: {base_interval: 2s, max_interval: 10s}");
  for (const int most : {2, 4, 8, 10, 10}) {
    answer(Status::kFailed);
    const Duration pause = discovery_->next_timeout() - now_;
    EXPECT_GT(pause, Duration());
    EXPECT_LE(pause, Duration::seconds(most));
    pass(pause);
  }
  answer(Status::kFound, {"198.18.0.1"});
  EXPECT_TRUE(asks_again_after(Duration::seconds(5)));
}

TEST_F(NameDiscoveryTest, ANameWithoutAddressesEmptiesAStrictClusterAndNotALogicalOne) {
  for (const bool logical : {false, true}) {
    resolver_.open.clear();
    begin(logical ? "LOGICAL_DNS" : "STRICT_DNS");
    answer(Status::kFound, {"198.18.0.1"});
    pass(Duration::seconds(5) + kMostLater);
    answer(Status::kEmpty);
    EXPECT_THAT(addresses(), SizeIs(logical ? 1 : 0));
    EXPECT_EQ(stats().update_empty, 1u);
    EXPECT_EQ(stats().update_success, 2u);
  }
}

TEST_F(NameDiscoveryTest, TheSameAnswerIsNoNewSnapshot) {
  begin("STRICT_DNS");
  answer(Status::kFound, {"198.18.0.1", "198.18.0.2"});
  const auto before = loaded_.publisher->snapshot();
  pass(Duration::seconds(5) + kMostLater);
  answer(Status::kFound, {"198.18.0.2", "198.18.0.1"});
  EXPECT_EQ(loaded_.publisher->snapshot(), before);
  EXPECT_EQ(stats().update_no_rebuild, 1u);
}

TEST_F(NameDiscoveryTest, ALogicalClusterTakesTheFirstAddressAndKeepsItsConnections) {
  begin("LOGICAL_DNS");
  answer(Status::kFound, {"198.18.0.5", "198.18.0.1"});
  EXPECT_THAT(addresses(), ElementsAre("198.18.0.5:8080"));
  const auto cell = cluster().endpoints[0].cell;
  pass(Duration::seconds(5) + kMostLater);
  answer(Status::kFound, {"198.18.0.1", "198.18.0.5"});
  EXPECT_THAT(addresses(), ElementsAre("198.18.0.1:8080"));
  EXPECT_EQ(cluster().endpoints[0].cell, cell) << "workers keep the pool of a cell";
  EXPECT_EQ(cluster().endpoints[0].extras().hostname, "one.test");
}

TEST_F(NameDiscoveryTest, FamiliesAreAskedAsConfigured) {
  const auto asked = [&](const std::string& family) {
    resolver_.open.clear();
    begin("STRICT_DNS", ", dns_lookup_family: " + family);
    std::string out;
    while (!resolver_.open.empty()) {
      for (const auto& question : resolver_.open) out += question.family == IpFamily::kV4 ? "4" : "6";
      out += resolver_.open.size() == 1 ? ";" : "";
      answer(Status::kEmpty);
    }
    return out;
  };
  EXPECT_EQ(asked("AUTO"), "6;4;");
  EXPECT_EQ(asked("V4_ONLY"), "4;");
  EXPECT_EQ(asked("V6_ONLY"), "6;");
  EXPECT_EQ(asked("V4_PREFERRED"), "4;6;");
  EXPECT_EQ(asked("ALL"), "466;");
}

TEST_F(NameDiscoveryTest, TheSecondFamilyIsAskedOnlyWhereTheFirstHasNothing) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_PREFERRED");
  answer(Status::kFound, {"198.18.0.1"});
  EXPECT_THAT(resolver_.open, IsEmpty());
  EXPECT_THAT(addresses(), SizeIs(1));
}

TEST_F(NameDiscoveryTest, AllFamiliesTogether) {
  begin("STRICT_DNS", ", dns_lookup_family: ALL");
  answer(Status::kFound, {"198.18.0.1"});
  EXPECT_THAT(addresses(), IsEmpty()) << "the other half is on its way";
  answer(Status::kFound, {"2001:db8::1"});
  EXPECT_THAT(addresses(), SizeIs(2));
}

TEST_F(NameDiscoveryTest, ALogicalClusterOfAllFamiliesHasOneEndpointWithAllAddresses) {
  begin("LOGICAL_DNS", ", dns_lookup_family: ALL");
  answer(Status::kFound, {"198.18.0.2", "198.18.0.1"});
  answer(Status::kFound, {"2001:db8::1"});
  EXPECT_THAT(addresses(), ElementsAre("[2001:db8::1]:8080"));
  const auto attempts = cluster().endpoints[0].extras().attempts;
  ASSERT_NE(attempts, nullptr);
  EXPECT_THAT(*attempts, ElementsAre(*SocketAddress::parse("[2001:db8::1]:8080"), *SocketAddress::parse("198.18.0.1:8080"),
                                     *SocketAddress::parse("198.18.0.2:8080")));
  const auto cell = cluster().endpoints[0].cell;
  pass(Duration::seconds(5) + kMostLater);
  answer(Status::kFound, {"198.18.0.1"});
  answer(Status::kEmpty);
  EXPECT_THAT(addresses(), ElementsAre("198.18.0.1:8080"));
  EXPECT_EQ(cluster().endpoints[0].extras().attempts, nullptr);
  EXPECT_EQ(cluster().endpoints[0].cell, cell);
}

TEST_F(NameDiscoveryTest, UnroutableFamiliesAreLeftOutOnRequest) {
  routable_.v6 = false;
  begin("STRICT_DNS",
        ", typed_dns_resolver_config: {name: envoy.network.dns_resolver.cares, typed_config: {\"@type\": "
        "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig, "
        "resolvers: [{socket_address: {address: 198.18.0.53, port_value: 5353}}, {socket_address: {address: 127.0.0.1, "
        "port_value: 0}}], "
        "use_resolvers_as_fallback: true, filter_unroutable_families: true, "
        "dns_resolver_options: {use_tcp_for_dns_lookups: true, no_default_search_domain: true}}}");
  ASSERT_THAT(resolver_.open, SizeIs(1));
  EXPECT_EQ(resolver_.open[0].family, IpFamily::kV4);
  EXPECT_THAT(asked_for_.servers, ElementsAre(*SocketAddress::parse("198.18.0.53:5353"), *SocketAddress::parse("127.0.0.1:53")));
  EXPECT_TRUE(asked_for_.servers_as_fallback);
  EXPECT_TRUE(asked_for_.use_tcp);
  EXPECT_TRUE(asked_for_.no_search_domains);
}

TEST_F(NameDiscoveryTest, IsWarmWhenEveryNameWasAnsweredOrHasFailed) {
  begin("STRICT_DNS", ", dns_lookup_family: V4_ONLY", {"one.test", "two.test"});
  EXPECT_FALSE(discovery_->is_warm());
  answer(Status::kFound, {"198.18.0.1"});
  EXPECT_FALSE(discovery_->is_warm());
  answer(Status::kFailed);
  EXPECT_TRUE(discovery_->is_warm());
}

TEST_F(NameDiscoveryTest, NobodyWaitsForAClusterThatDoesNotWantIt) {
  begin("STRICT_DNS", ", wait_for_warm_on_init: false");
  EXPECT_TRUE(discovery_->is_warm());
}

TEST_F(NameDiscoveryTest, FollowsClustersThatComeChangeAndGo) {
  begin("STRICT_DNS");
  answer(Status::kFound, {"198.18.0.1"});
  place("cds.yaml", test::kClusterType,
        {cluster_text("STRICT_DNS", ", dns_lookup_family: V4_ONLY, connect_timeout: 1s", {"one.test", "two.test"})});
  (void)loaded_.discovery->follow();
  discovery_->service(now_);
  EXPECT_THAT(addresses(), ElementsAre("198.18.0.1:8080")) << "known addresses stay until the next answer";
  EXPECT_THAT(resolver_.open, SizeIs(2));
  place("cds.yaml", test::kClusterType, {});
  (void)loaded_.discovery->follow();
  discovery_->service(now_);
  EXPECT_THAT(discovery_->stats(), IsEmpty());
  EXPECT_TRUE(loaded_.publisher->world()->resources.resolved.empty());
  answer(Status::kFound, {"198.18.0.4"});  // comes too late
  EXPECT_EQ(discovery_->next_timeout(), Instant::never());
}

TEST_F(NameDiscoveryTest, ChangesOfAddressesKeepTheFrame) {
  begin("STRICT_DNS");
  const auto frame = loaded_.publisher->world()->find_cluster("named")->frame;
  answer(Status::kFound, {"198.18.0.1"});
  EXPECT_EQ(loaded_.publisher->world()->find_cluster("named")->frame, frame);
}

}  // namespace
}  // namespace millrace::agent
