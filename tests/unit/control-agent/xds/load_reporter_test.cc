// The conversation of load reports over its whole life, on virtual time.
#include "control-agent/xds/load_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/load_fixture.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using envoy::service::load_stats::v3::LoadStatsRequest;
using envoy::service::load_stats::v3::LoadStatsResponse;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kAddress = "10.0.0.1";

class LoadReporterTest : public testing::Test {
 protected:
  LoadReporterTest() {
    node_.set_id("node-1");
    loads_.set("a", {{.address = kAddress}});
    loads_.set("b", {{.address = kAddress}});
    make({"one"});
  }

  void make(const std::vector<std::string>& servers, bool node_on_first_message_only = false) {
    XdsServerGroup group;
    for (const std::string& name : servers) {
      XdsServer server;
      server.name = name;
      group.servers.push_back(server);
    }
    group.node_on_first_message_only = node_on_first_message_only;
    reporter_ = std::make_unique<LoadReporter>(std::move(group), node_, transport_, 1);
    transport_.sent.clear();
    transport_.opened.clear();
    reporter_->service(loads_.world(), now_);
  }
  static LoadStatsResponse order(const std::vector<std::string>& clusters, Duration interval = Duration::seconds(5)) {
    LoadStatsResponse out;
    for (const std::string& name : clusters) out.add_clusters(name);
    out.mutable_load_reporting_interval()->set_seconds(interval.to_milliseconds() / 1000);
    out.mutable_load_reporting_interval()->set_nanos(static_cast<int>(interval.to_nanoseconds() % 1'000'000'000));
    return out;
  }
  static LoadStatsResponse order_all() {
    LoadStatsResponse out = order({});
    out.set_send_all_clusters(true);
    return out;
  }
  void hear(const LoadStatsResponse& order) {
    reporter_->on_order(order, loads_.world(), now_);
    reporter_->service(loads_.world(), now_);
  }
  void pass(Duration time) {
    const Instant end = now_ + time;
    while (reporter_->next_timeout() <= end) {
      now_ = std::max(now_, reporter_->next_timeout());
      reporter_->service(loads_.world(), now_);
    }
    now_ = end;
  }
  void close() {
    reporter_->on_closed(now_);
    reporter_->service(loads_.world(), now_);
  }
  std::vector<LoadStatsRequest> sent() {
    std::vector<LoadStatsRequest> out;
    for (const auto& [stream, request] : transport_.sent) out.push_back(dynamic_cast<const LoadStatsRequest&>(*request));
    transport_.sent.clear();
    return out;
  }
  /// The reports since the last call: "a: LOCALITY, ... | b: ..." for each.
  std::vector<std::string> reports() {
    std::vector<std::string> out;
    for (const LoadStatsRequest& request : sent()) {
      std::string text;
      for (const auto& cluster : request.cluster_stats()) {
        text += (text.empty() ? "" : " | ") + cluster.cluster_name() + ":";
        for (const auto& locality : cluster.upstream_locality_stats()) text += " " + test::to_text(locality);
      }
      out.push_back(text);
    }
    return out;
  }

  envoy::config::core::v3::Node node_;
  test::LoadedWorld loads_;
  test::ScriptedTransport transport_;
  std::unique_ptr<LoadReporter> reporter_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

TEST_F(LoadReporterTest, IntroducesItselfAndWaitsForAnOrder) {
  ASSERT_THAT(transport_.opened, SizeIs(1));
  EXPECT_EQ(transport_.opened[0].method, "load reports");
  const auto first = sent();
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].node().id(), "node-1");
  EXPECT_THAT(first[0].node().client_features(), Contains("envoy.lrs.supports_send_all_clusters"));
  EXPECT_THAT(first[0].cluster_stats(), IsEmpty());
  loads_.serve("a", kAddress, 1);
  EXPECT_TRUE(reporter_->next_timeout().is_never());
  pass(Duration::seconds(60));
  EXPECT_THAT(sent(), IsEmpty());
}

TEST_F(LoadReporterTest, ReportsWhatIsAskedForAsOftenAsIsAskedFor) {
  (void)sent();
  hear(order({"a"}));
  loads_.serve("a", kAddress, 3, 1);
  loads_.serve("b", kAddress, 100);
  pass(Duration::milliseconds(4999));
  EXPECT_THAT(reports(), IsEmpty());
  pass(Duration::milliseconds(1));
  EXPECT_THAT(reports(), ElementsAre("a: /0 3+1 of 4, 0 open"));
  pass(Duration::seconds(10));
  EXPECT_THAT(reports(), ElementsAre("a:", "a:")) << "that it was idle is worth knowing";
  EXPECT_EQ(reporter_->stats().requests, 1u);
  EXPECT_EQ(reporter_->stats().responses, 4u);
}

TEST_F(LoadReporterTest, AllClustersAreReportedWhereThatIsAskedFor) {
  (void)sent();
  hear(order_all());
  loads_.serve("a", kAddress, 1);
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("a: /0 1+0 of 1, 0 open | b:"));
  loads_.set("c", {{.address = kAddress}});
  reporter_->service(loads_.world(), now_);
  loads_.serve("c", kAddress, 2);
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("a: | b: | c: /0 2+0 of 2, 0 open")) << "those that come later, too";
}

TEST_F(LoadReporterTest, EndpointsAreToldWhereThatIsAskedFor) {
  (void)sent();
  LoadStatsResponse fine = order({"a"});
  fine.set_report_endpoint_granularity(true);
  hear(fine);
  loads_.serve("a", kAddress, 1);
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("a: /0 1+0 of 1, 0 open; 10.0.0.1 1+0 of 1, 0 open"));
}

TEST_F(LoadReporterTest, AClusterThatIsNotThereYetIsReportedOnceItIs) {
  (void)sent();
  hear(order({"late"}));
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre(""));
  loads_.set("late", {{.address = kAddress}});
  reporter_->service(loads_.world(), now_);
  loads_.serve("late", kAddress, 1);
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("late: /0 1+0 of 1, 0 open"));
}

TEST_F(LoadReporterTest, AClusterThatGoesIsReportedToItsEnd) {
  (void)sent();
  hear(order_all());
  loads_.serve("a", kAddress, 1);
  loads_.remove("a");
  reporter_->service(loads_.world(), now_);
  pass(Duration::seconds(15));
  EXPECT_THAT(reports(), ElementsAre("a: /0 1+0 of 1, 0 open | b:", "a: | b:", "b:"));
}

TEST_F(LoadReporterTest, AChangedClusterIsFollowed) {
  (void)sent();
  hear(order({"a"}));
  loads_.set("a", {{.address = kAddress}, {.address = "10.0.0.2", .zone = "z"}});
  reporter_->service(loads_.world(), now_);
  loads_.serve("a", "10.0.0.2", 4);
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("a: z/0 4+0 of 4, 0 open"));
}

TEST_F(LoadReporterTest, ANewOrderReplacesTheLast) {
  (void)sent();
  hear(order({"a"}));
  loads_.serve("a", kAddress, 2);
  loads_.serve("b", kAddress, 7);
  hear(order({"b", "a"}, Duration::seconds(1)));
  pass(Duration::seconds(1));
  EXPECT_THAT(reports(), ElementsAre("a: /0 2+0 of 2, 0 open | b:"))
      << "what came to a cluster between two orders is billed to it; others begin anew";
  hear(order({"b"}));
  pass(Duration::seconds(1));
  EXPECT_THAT(reports(), ElementsAre("b:"));
  loads_.serve("b", kAddress, 1);
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("b: /0 1+0 of 1, 0 open"));
}

TEST_F(LoadReporterTest, AServerThatKeepsTalkingGetsItsReports) {
  (void)sent();
  for (int i = 0; i < 10; ++i) {
    hear(order({"a"}));
    pass(Duration::seconds(1));
  }
  EXPECT_THAT(reports(), SizeIs(2));
}

TEST_F(LoadReporterTest, NoIntervalDoesNotMeanWithoutEnd) {
  (void)sent();
  LoadStatsResponse careless;
  careless.add_clusters("a");
  hear(careless);
  pass(Duration::seconds(1));
  EXPECT_THAT(reports(), SizeIs(10));
}

TEST_F(LoadReporterTest, TheNodeIsSentOnceWhereTheServerSaysSo) {
  hear(order({"a"}));
  pass(Duration::seconds(5));
  for (const auto& request : sent()) EXPECT_TRUE(request.has_node());
  make({"one"}, true);
  hear(order({"a"}));
  pass(Duration::seconds(5));
  const auto requests = sent();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_TRUE(requests[0].has_node());
  EXPECT_FALSE(requests[1].has_node());
}

TEST_F(LoadReporterTest, AStreamThatEndsIsOpenedAgainAndNothingIsLost) {
  hear(order({"a"}));
  (void)sent();
  loads_.serve("a", kAddress, 2);
  close();
  EXPECT_EQ(reporter_->stats().errors, 1u);
  loads_.serve("a", kAddress, 1);
  EXPECT_LE(reporter_->next_timeout() - now_, Duration::milliseconds(500));
  pass(Duration::seconds(1));
  ASSERT_THAT(transport_.opened, SizeIs(2));
  EXPECT_EQ(reporter_->stats().retries, 1u);
  pass(Duration::seconds(60));
  EXPECT_THAT(reports(), ElementsAre("")) << "only who we are: there is no order on this stream yet";
  hear(order({"a"}));
  pass(Duration::seconds(5));
  EXPECT_THAT(reports(), ElementsAre("a: /0 3+0 of 3, 0 open"));
}

TEST_F(LoadReporterTest, PausesGrowUntilAServerAnswers) {
  Duration longest;
  for (int i = 0; i < 20; ++i) {
    close();
    longest = std::max(longest, reporter_->next_timeout() - now_);
    pass(Duration::seconds(31));
  }
  EXPECT_GT(longest, Duration::seconds(5));
  EXPECT_LE(longest, Duration::seconds(30));
  hear(order({"a"}));
  close();
  EXPECT_LE(reporter_->next_timeout() - now_, Duration::milliseconds(500));
}

TEST_F(LoadReporterTest, OthersStandInForAServerThatDoesNotAnswer) {
  make({"first", "second"});
  close();
  pass(Duration::seconds(60));
  EXPECT_EQ(transport_.opened.back().server, "second");
  hear(order({"a"}));
  close();
  pass(Duration::seconds(60));
  EXPECT_EQ(transport_.opened.back().server, "first");
}

}  // namespace
}  // namespace millrace::agent
