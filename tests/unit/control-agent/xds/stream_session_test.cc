// A stream to management servers over its whole life, on virtual time.
#include "control-agent/xds/stream_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using test::response;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class StreamSessionTest : public testing::Test {
 protected:
  StreamSessionTest() { node_.set_id("node-1"); }

  static XdsServer server(const std::string& name) {
    XdsServer out;
    out.name = name;
    out.target = "unix:/" + name;
    return out;
  }
  StreamSession& make(XdsServerGroup group) {
    session_ = std::make_unique<StreamSession>(std::move(group), "/method", node_, transport_, 1);
    return *session_;
  }
  static XdsServerGroup group(std::vector<XdsServer> servers) {
    XdsServerGroup out;
    out.servers = std::move(servers);
    return out;
  }
  void take(ResourceType type, const std::string& version, const std::string& nonce,
            const std::optional<std::string>& error = {}) {
    const XdsResponse given = response(type, version, nonce);
    ASSERT_EQ(session_->on_response(given), type);
    session_->answer(type, given, error, now_);
  }
  /// Time passes until something is due, at most `longest`.
  void pass(Duration longest) {
    const Instant next = session_->next_timeout();
    now_ = std::max(now_, std::min(next, now_ + longest));
    session_->service(now_);
  }

  envoy::config::core::v3::Node node_;
  test::ScriptedTransport transport_;
  std::unique_ptr<StreamSession> session_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

TEST_F(StreamSessionTest, OpensAtOnceAndAsksInTheOrderOfTypes) {
  StreamSession& session = make(group({server("one")}));
  session.service(now_);
  EXPECT_THAT(transport_.opened, IsEmpty()) << "there is nothing to ask";
  session.add_type(ResourceType::kCluster, true);
  session.add_type(ResourceType::kAssignment, false);
  session.service(now_);
  EXPECT_THAT(transport_.opened, SizeIs(1));
  EXPECT_EQ(transport_.opened[0].method, "/method");
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster node"));
  session.want(ResourceType::kAssignment, {"a"});
  session.service(now_);
  EXPECT_THAT(transport_.requests(), ElementsAre("ClusterLoadAssignment a node"));
}

TEST_F(StreamSessionTest, TheNodeIsSentOnceWhereTheServerSaysSo) {
  XdsServerGroup once = group({server("one")});
  once.node_on_first_message_only = true;
  StreamSession& session = make(std::move(once));
  session.add_type(ResourceType::kCluster, true);
  session.add_type(ResourceType::kListener, true);
  session.service(now_);
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster node", "Listener"));
  session.on_closed({"UNAVAILABLE"}, now_);
  pass(Duration::seconds(1));
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster node", "Listener"));
}

TEST_F(StreamSessionTest, PausesGrowUntilAServerAnswers) {
  StreamSession& session = make(group({server("one")}));
  session.add_type(ResourceType::kCluster, true);
  session.service(now_);
  Duration longest;
  for (int failure = 0; failure < 30; ++failure) {
    session.on_closed({"UNAVAILABLE"}, now_);
    EXPECT_FALSE(session.stats().connected);
    const Duration pause = session.next_timeout() - now_;
    EXPECT_LT(pause, std::min(Duration::milliseconds(500) * (1LL << std::min(failure, 16)), Duration::seconds(30)));
    longest = std::max(longest, pause);
    pass(Duration::seconds(60));
  }
  EXPECT_GT(longest, Duration::seconds(10));
  EXPECT_THAT(transport_.opened, SizeIs(31));
  take(ResourceType::kCluster, "1", "a");
  EXPECT_TRUE(session.stats().connected);
  session.on_closed({"UNAVAILABLE"}, now_);
  EXPECT_LE(session.next_timeout() - now_, Duration::milliseconds(500));
}

TEST_F(StreamSessionTest, OthersStandInForAServerThatDoesNotAnswer) {
  StreamSession& session = make(group({server("first"), server("second")}));
  session.add_type(ResourceType::kCluster, true);
  session.service(now_);
  session.on_closed({"UNAVAILABLE"}, now_);
  pass(Duration::seconds(60));
  EXPECT_EQ(transport_.opened.back().server, "second");
  take(ResourceType::kCluster, "1", "a");
  session.on_closed({"UNAVAILABLE"}, now_);
  pass(Duration::seconds(60));
  EXPECT_EQ(transport_.opened.back().server, "first") << "it is preferred as soon as there is a choice";
}

TEST_F(StreamSessionTest, TheSameRejectedAgainIsAnsweredMoreAndMoreSlowly) {
  StreamSession& session = make(group({server("one")}));
  session.add_type(ResourceType::kCluster, true);
  session.service(now_);
  (void)transport_.requests();
  const Instant start = now_;
  // A server that sends the rejected version again at once.
  int answered = 0;
  for (; now_ < start + Duration::seconds(60); ++answered) {
    take(ResourceType::kCluster, "7", std::to_string(answered), "bad");
    while (transport_.requests().empty()) pass(Duration::seconds(60));
  }
  EXPECT_LT(answered, 40);
  EXPECT_GT(answered, 3);
  take(ResourceType::kCluster, "8", "good");
  session.service(now_);
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster v=8 n=good node")) << "another version is answered at once";
}

TEST_F(StreamSessionTest, RequestsAreLimited) {
  XdsServerGroup limited = group({server("one")});
  limited.rate_limit = XdsRateLimit{.max_tokens = 2, .fill_rate = 10};
  StreamSession& session = make(std::move(limited));
  session.add_type(ResourceType::kCluster, true);
  session.service(now_);
  for (int i = 0; i < 3; ++i) {
    take(ResourceType::kCluster, std::to_string(i), "n");
    session.service(now_);
  }
  EXPECT_THAT(transport_.requests(), SizeIs(2));
  EXPECT_GT(session.stats().rate_limited, 0u);
  EXPECT_EQ(session.stats().pending, 1u);
  pass(Duration::seconds(1));
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster v=2 n=n node"));
  EXPECT_EQ(session.stats().pending, 0u);
}

TEST_F(StreamSessionTest, ResponsesOfTypesThatNobodyAskedForAreNobodys) {
  StreamSession& session = make(group({server("one")}));
  session.add_type(ResourceType::kCluster, true);
  session.service(now_);
  EXPECT_EQ(session.on_response(response(ResourceType::kListener, "1", "a")), std::nullopt);
  EXPECT_EQ(session.on_response(test::delta(response(ResourceType::kCluster, "1", "a"))), std::nullopt);
  XdsResponse unknown = response(ResourceType::kCluster, "1", "a");
  unknown.type_url = "type.googleapis.com/no.such.Type";
  EXPECT_EQ(session.on_response(unknown), std::nullopt);
}

}  // namespace
}  // namespace millrace::agent
