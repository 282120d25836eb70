// When keys are fetched and what becomes of them, on virtual time, with a test that answers in the issuer's place.
#include "control-agent/jwks/key_set_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "tests/support/jwt_signer.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"

namespace millrace::agent {
namespace {

using ::millrace::test::JwtSigner;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FakeGetter final : public HttpGetter {
 public:
  struct Question {
    HttpGet request;
    Done done;
  };
  void get(const HttpGet& request, Done done) override { open.push_back({request, std::move(done)}); }

  std::deque<Question> open;
};

std::string key_set(std::size_t count = 1) {
  static const JwtSigner kSigner("Ed25519");
  std::string text = "{\"keys\": [";
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + kSigner.jwk(R"("kid": "k)" + std::to_string(i) + "\"");
  return text + "]}";
}

class KeySetFetcherTest : public test::DiscoveryTest {
 protected:
  KeySetFetcherTest() {
    plan_ = {.uri = "http://issuer.test/keys",
             .authority = "issuer.test",
             .path = "/keys",
             .cluster = "issuer",
             .timeout = Duration::seconds(3),
             .cell = std::make_shared<report::HttpCell>(0, "edge", 1)};
  }
  /// Loads the cluster of the issuer, and fetches for the first time.
  void begin(const std::string& clusters) {
    place("cds.yaml", test::kClusterType, {clusters});
    loaded_ = load_good(cds());
    fetcher_ = std::make_unique<KeySetFetcher>(store_, *loaded_.publisher, getter_, 1);
    slot_ = store_.slot(plan_, 1);
    service();
  }
  void begin() { begin(test::static_cluster_text("issuer", "198.18.0.7")); }

  void service() {
    for (auto& report : fetcher_->service(now_)) reports_.push_back(std::move(report));
  }
  void answer(HttpAnswer answer) {
    ASSERT_FALSE(getter_.open.empty());
    const auto question = std::move(getter_.open.front());
    getter_.open.pop_front();
    question.done(std::move(answer));
    service();
  }
  void answer(std::uint16_t status, std::string body = {}) { answer({.status = status, .body = std::move(body)}); }
  void answer_error(std::string error) { answer({.status = 0, .body = {}, .error = std::move(error)}); }
  void pass(Duration time) {
    now_ = now_ + time;
    service();
  }
  [[nodiscard]] std::size_t keys() const {
    const auto reading = slot_->read(0);
    return reading.keys() == nullptr ? 0 : reading.keys()->size();
  }
  [[nodiscard]] const report::JwtAuthnStats& stats() const { return plan_.cell->per_worker[0].jwt_authn; }
  void expect_counts(std::uint64_t good, std::uint64_t bad) const {
    EXPECT_EQ(stats().jwks_fetch_success.value(), good);
    EXPECT_EQ(stats().jwks_fetch_failed.value(), bad);
  }

  KeySetPlan plan_;
  KeySetStore store_;
  FakeGetter getter_;
  Loaded loaded_;
  std::unique_ptr<KeySetFetcher> fetcher_;
  std::shared_ptr<config::JsonWebKeySlot> slot_;
  std::vector<KeySetReport> reports_;
  Instant now_ = Instant::from_nanoseconds(0) + Duration::seconds(1000);
};

TEST_F(KeySetFetcherTest, AsksAnEndpointOfTheClusterForHostAndPathOfTheUri) {
  begin();
  ASSERT_THAT(getter_.open, SizeIs(1));
  const HttpGet& request = getter_.open[0].request;
  EXPECT_EQ(request.address.to_string(), "198.18.0.7:8080");
  EXPECT_EQ(request.authority, "issuer.test");
  EXPECT_EQ(request.path, "/keys");
  EXPECT_EQ(request.timeout, Duration::seconds(3));
  EXPECT_EQ(request.connect_timeout, Duration::seconds(5));
  EXPECT_EQ(request.tls, nullptr);
  EXPECT_TRUE(slot_->is_awaited());
}

TEST_F(KeySetFetcherTest, KeysStayForTheirTimeAndAreReplaced) {
  begin();
  answer(200, key_set(2));
  EXPECT_EQ(keys(), 2u);
  EXPECT_FALSE(slot_->is_awaited());
  expect_counts(1, 0);
  ASSERT_THAT(reports_, SizeIs(1));
  EXPECT_EQ(reports_[0].keys, 2u);
  EXPECT_EQ(fetcher_->next_timeout(), now_ + Duration::seconds(600));
  pass(Duration::seconds(599));
  EXPECT_THAT(getter_.open, IsEmpty());
  pass(Duration::seconds(1));
  answer(200, key_set(1));
  EXPECT_EQ(keys(), 1u);
  expect_counts(2, 0);
}

TEST_F(KeySetFetcherTest, TheSameKeysAreNoNews) {
  begin();
  answer(200, key_set());
  const auto reading = slot_->read(0);
  pass(Duration::seconds(600));
  answer(200, key_set());
  EXPECT_EQ(slot_->read(0).keys(), reading.keys());
  EXPECT_THAT(reports_, SizeIs(1));
  expect_counts(2, 0);
}

TEST_F(KeySetFetcherTest, InTheBackgroundTheyAreFetchedBeforeTheyExpire) {
  plan_.is_async = true;
  plan_.cache_duration = Duration::seconds(20);
  begin();
  answer(200, key_set());
  EXPECT_EQ(fetcher_->next_timeout(), now_ + Duration::seconds(15));
}

TEST_F(KeySetFetcherTest, TimesTooShortAreLengthened) {
  plan_.cache_duration = Duration::milliseconds(1);
  plan_.failed_refetch_duration = Duration();
  begin();
  answer(200, key_set());
  EXPECT_EQ(fetcher_->next_timeout(), now_ + Duration::milliseconds(100));
  pass(Duration::milliseconds(100));
  answer(404);
  EXPECT_EQ(fetcher_->next_timeout(), now_ + Duration::milliseconds(100));
}

TEST_F(KeySetFetcherTest, AFailureKeepsTheLastKeysAndIsToldOnce) {
  plan_.failed_refetch_duration = Duration::seconds(4);
  begin();
  answer(200, key_set());
  pass(Duration::seconds(600));
  answer(503);
  EXPECT_EQ(keys(), 1u);
  expect_counts(1, 1);
  ASSERT_THAT(reports_, SizeIs(2));
  EXPECT_EQ(reports_[1].error, "the answer has the status 503, not 200");
  EXPECT_EQ(reports_[1].keys, 1u);
  EXPECT_EQ(fetcher_->next_timeout(), now_ + Duration::seconds(4));
  pass(Duration::seconds(4));
  answer_error("refused");
  expect_counts(1, 2);
  EXPECT_THAT(reports_, SizeIs(2)) << "that it fails is known";
  pass(Duration::seconds(4));
  answer(200, key_set());
  ASSERT_THAT(reports_, SizeIs(3)) << "and that it does no more is told";
  EXPECT_THAT(reports_[2].error, IsEmpty());
}

TEST_F(KeySetFetcherTest, WhatIsNoSetOfKeysIsAFailure) {
  begin();
  for (const char* body : {"", "nonsense", "{}", R"({"keys": []})", R"({"keys": [{"kty": "RSA"}]})"}) {
    SCOPED_TRACE(body);
    answer(200, body);
    EXPECT_EQ(keys(), 0u);
    EXPECT_FALSE(slot_->is_awaited()) << "there is nothing to wait for";
    pass(Duration::seconds(1));
  }
  expect_counts(0, 5);
  answer(200, R"({"keys": [{"kty": "RSA"}, )" + key_set().substr(10));
  EXPECT_EQ(keys(), 1u);
  EXPECT_THAT(reports_.back().left_out, SizeIs(1));
}

TEST_F(KeySetFetcherTest, WithoutARetryPolicyThereIsOneTry) {
  begin();
  answer_error("Connection refused");
  EXPECT_THAT(getter_.open, IsEmpty());
  expect_counts(0, 1);
  EXPECT_EQ(reports_.at(0).error, "Connection refused");
}

TEST_F(KeySetFetcherTest, TriesAgainWithPausesThatGrow) {
  plan_.retries = 2;
  plan_.base_interval = Duration::milliseconds(100);
  plan_.max_interval = Duration::milliseconds(150);
  begin();
  EXPECT_EQ(getter_.open.at(0).request.timeout, Duration::milliseconds(150)) << "of one try";
  answer_error("refused");
  EXPECT_LE(fetcher_->next_timeout(), now_ + Duration::milliseconds(100));
  EXPECT_GT(fetcher_->next_timeout(), now_);
  pass(Duration::milliseconds(100));
  answer(502);
  EXPECT_LE(fetcher_->next_timeout(), now_ + Duration::milliseconds(150));
  pass(Duration::milliseconds(150));
  expect_counts(0, 0);
  EXPECT_TRUE(slot_->is_awaited());
  answer(500);
  expect_counts(0, 1);
  pass(Duration::seconds(1));
  answer_error("refused");
  EXPECT_EQ(stats().jwks_fetch_failed.value(), 1u) << "the next fetch has as many tries";
}

TEST_F(KeySetFetcherTest, AllTriesTogetherHaveTheTimeout) {
  plan_.retries = 10;
  plan_.timeout = Duration::seconds(1);
  plan_.max_interval = Duration::seconds(10);
  begin();
  now_ = now_ + Duration::seconds(1);
  answer_error("timed out");
  expect_counts(0, 1);
}

TEST_F(KeySetFetcherTest, WhatARetryDoesNotHelpIsNotRetried) {
  plan_.retries = 3;
  begin();
  answer(404);
  expect_counts(0, 1);
}

TEST_F(KeySetFetcherTest, SaysWhatIsWrongWithTheCluster) {
  plan_.cluster = "nobody";
  begin();
  EXPECT_THAT(getter_.open, IsEmpty());
  EXPECT_EQ(reports_.at(0).error, "there is no cluster \"nobody\"");
  EXPECT_FALSE(slot_->is_awaited());
  place("cds.yaml", test::kClusterType, {test::static_cluster_text("issuer"), test::static_cluster_text("nobody")});
  (void)loaded_.discovery->follow();
  pass(Duration::seconds(1));
  EXPECT_THAT(getter_.open, SizeIs(1)) << "it has come meanwhile";
}

TEST_F(KeySetFetcherTest, AClusterWithoutEndpointsIsAFailure) {
  begin("name: issuer, load_assignment: {cluster_name: issuer}");
  EXPECT_EQ(reports_.at(0).error, "the cluster \"issuer\" has no endpoints");
}

TEST_F(KeySetFetcherTest, NamesOfTheClusterAreWaitedFor) {
  begin("name: issuer, type: STRICT_DNS, load_assignment: {" + test::endpoints_text("issuer", {"one.test"}) + "}");
  EXPECT_THAT(getter_.open, IsEmpty());
  EXPECT_TRUE(slot_->is_awaited());
  pass(Duration::seconds(1));
  const auto names = std::make_shared<ResolvedNames>(ResolvedNames{{"one.test", {*IpAddress::parse("198.18.0.4")}}});
  loaded_.publisher->update([&](SnapshotPublisher::Batch& batch) {
    EXPECT_THAT(batch.apply([&](Resources& all) { all.resolved.set("issuer", names); }).errors, IsEmpty());
  });
  service();
  ASSERT_THAT(getter_.open, SizeIs(1));
  EXPECT_EQ(getter_.open[0].request.address.to_string(), "198.18.0.4:8080");
  EXPECT_EQ(getter_.open[0].request.timeout, Duration::seconds(2)) << "the time for names is of the fetch";
}

TEST_F(KeySetFetcherTest, NamesThatNeverComeAreAFailure) {
  begin("name: issuer, type: STRICT_DNS, load_assignment: {" + test::endpoints_text("issuer", {"one.test"}) + "}");
  EXPECT_EQ(fetcher_->next_timeout(), now_ + Duration::seconds(3));
  pass(Duration::seconds(3));
  expect_counts(0, 1);
  EXPECT_FALSE(slot_->is_awaited());
}

TEST_F(KeySetFetcherTest, UnhealthyEndpointsAreLeftOut) {
  const auto endpoint = [](const std::string& address, const std::string& health) {
    return "{health_status: " + health + ", endpoint: {address: {socket_address: {address: " + address + ", port_value: 8080}}}}";
  };
  begin("name: issuer, load_assignment: {cluster_name: issuer, endpoints: [{lb_endpoints: [" +
        endpoint("198.18.0.5", "UNHEALTHY") + ", " + endpoint("198.18.0.6", "HEALTHY") + "]}]}");
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(getter_.open.at(0).request.address.to_string(), "198.18.0.6:8080");
    answer(404);
    pass(Duration::seconds(1));
  }
}

TEST_F(KeySetFetcherTest, TheClustersTlsIsTakenWithTheServersName) {
  const std::string socket =
      ", transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: keys.test}}";
  begin(test::static_cluster_text("issuer") + socket);
  ASSERT_THAT(getter_.open, SizeIs(1));
  EXPECT_NE(getter_.open[0].request.tls, nullptr);
  EXPECT_EQ(getter_.open[0].request.server_name, "keys.test");
  EXPECT_EQ(getter_.open[0].request.expected_name, "");
}

TEST_F(KeySetFetcherTest, AutoSniNamesTheHostOfTheUri) {
  plan_.authority = "issuer.test:8443";
  const std::string socket =
      ", transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: keys.test}}, "
      "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
      "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, upstream_http_protocol_options: "
      "{auto_sni: true, auto_san_validation: true}, explicit_http_config: {http_protocol_options: {}}}}";
  begin(test::static_cluster_text("issuer") + socket);
  ASSERT_THAT(getter_.open, SizeIs(1));
  EXPECT_EQ(getter_.open[0].request.authority, "issuer.test:8443");
  EXPECT_EQ(getter_.open[0].request.server_name, "issuer.test");
  EXPECT_EQ(getter_.open[0].request.expected_name, "issuer.test");
}

TEST_F(KeySetFetcherTest, ListenersWaitForTheFirstFetchWhereTheyShould) {
  plan_.is_async = plan_.holds_listener = true;
  begin();
  EXPECT_FALSE(fetcher_->is_warm());
  answer(404);
  EXPECT_TRUE(fetcher_->is_warm()) << "a failure is an end, too";
  pass(Duration::seconds(1));
  EXPECT_TRUE(fetcher_->is_warm());
}

TEST_F(KeySetFetcherTest, NobodyWaitsForOtherSets) {
  plan_.is_async = true;
  begin();
  EXPECT_TRUE(fetcher_->is_warm());
}

TEST_F(KeySetFetcherTest, OneFetchServesAllThatAskForTheSame) {
  begin();
  EXPECT_EQ(store_.slot(plan_, 1), slot_);
  KeySetPlan other = plan_;
  other.path = "/others";
  EXPECT_NE(store_.slot(other, 1), slot_);
  EXPECT_THAT(store_.sets(), SizeIs(1)) << "of the other nobody has the slot";
}

TEST_F(KeySetFetcherTest, WhatNobodyUsesIsNotFetchedAnyMore) {
  begin();
  slot_.reset();
  answer(200, key_set());
  expect_counts(0, 0);
  EXPECT_TRUE(fetcher_->next_timeout().is_never());
}

}  // namespace
}  // namespace millrace::agent
