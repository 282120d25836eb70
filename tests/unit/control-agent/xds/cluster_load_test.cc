// What is told of one cluster's load, interval by interval.
#include "control-agent/xds/cluster_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/load_fixture.h"

namespace millrace::agent {
namespace {

using test::to_texts;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class ClusterLoadTest : public testing::Test {
 protected:
  ClusterLoad& begin(const std::vector<test::LoadedWorld::Place>& endpoints, const ClusterMessage& message = {}) {
    loads_.set("c", endpoints, message);
    load_ = std::make_unique<ClusterLoad>(loads_.cluster("c"), now_);
    return *load_;
  }
  void change(const std::vector<test::LoadedWorld::Place>& endpoints, const ClusterMessage& message = {}) {
    loads_.set("c", endpoints, message);
    load_->follow(loads_.cluster("c"));
  }
  std::vector<std::string> take(bool by_endpoint = false) { return to_texts(load_->take(by_endpoint, now_)); }

  test::LoadedWorld loads_;
  std::unique_ptr<ClusterLoad> load_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

TEST_F(ClusterLoadTest, TellsWhatHasComeSinceTheLastTime) {
  begin({{.address = "10.0.0.1"}});
  EXPECT_THAT(take(), IsEmpty()) << "a locality without load is left out";
  loads_.serve("c", "10.0.0.1", 3, 1);
  EXPECT_THAT(take(), ElementsAre("/0 3+1 of 4, 0 open"));
  EXPECT_THAT(take(), IsEmpty());
  loads_.serve("c", "10.0.0.1", 1, 0);
  EXPECT_THAT(take(), ElementsAre("/0 1+0 of 1, 0 open"));
}

TEST_F(ClusterLoadTest, WhatWasBeforeIsNotTold) {
  loads_.serve("c", "10.0.0.1", 1000, 1000);
  loads_.cluster_stats("c").upstream_rq_pending_overflow.add(7);
  begin({{.address = "10.0.0.1"}});
  const auto stats = load_->take(false, now_);
  EXPECT_THAT(stats.upstream_locality_stats(), IsEmpty());
  EXPECT_EQ(stats.total_dropped_requests(), 0u);
}

TEST_F(ClusterLoadTest, RequestsInProgressAreThoseOfNow) {
  begin({{.address = "10.0.0.1"}});
  loads_.begin("c", "10.0.0.1", 2);
  EXPECT_THAT(take(), ElementsAre("/0 0+0 of 2, 2 open"));
  EXPECT_THAT(take(), ElementsAre("/0 0+0 of 0, 2 open"));
  loads_.end("c", "10.0.0.1", 2, 0);
  EXPECT_THAT(take(), ElementsAre("/0 2+0 of 0, 0 open"));
}

TEST_F(ClusterLoadTest, AddsUpWorkersAndTheEndpointsOfALocality) {
  begin({{.address = "10.0.0.1", .zone = "a"},
         {.address = "10.0.0.2", .zone = "b"},
         {.address = "10.0.0.3", .zone = "a"},
         {.address = "10.0.0.4", .zone = "a", .priority = 1}});
  loads_.serve("c", "10.0.0.1", 1, 0, 0);
  loads_.serve("c", "10.0.0.1", 2, 0, 1);
  loads_.serve("c", "10.0.0.3", 4, 1);
  loads_.serve("c", "10.0.0.4", 8);
  EXPECT_THAT(take(), ElementsAre("a/0 7+1 of 8, 0 open", "a/1 8+0 of 8, 0 open"));
}

TEST_F(ClusterLoadTest, NamesTheLocality) {
  begin({{.address = "10.0.0.1", .zone = "a"}});
  loads_.serve("c", "10.0.0.1", 1);
  const auto stats = load_->take(false, now_);
  ASSERT_THAT(stats.upstream_locality_stats(), SizeIs(1));
  EXPECT_EQ(stats.upstream_locality_stats(0).locality().region(), "here");
  EXPECT_EQ(stats.upstream_locality_stats(0).locality().zone(), "a");
}

TEST_F(ClusterLoadTest, EachEndpointIsToldWhereThatIsWanted) {
  begin({{.address = "10.0.0.1"}, {.address = "10.0.0.2"}, {.address = "/run/app"}});
  loads_.serve("c", "10.0.0.1", 1);
  loads_.serve("c", "/run/app", 0, 2);
  EXPECT_THAT(take(true), ElementsAre("/0 1+2 of 3, 0 open; 10.0.0.1 1+0 of 1, 0 open; /run/app 0+2 of 2, 0 open"));
}

TEST_F(ClusterLoadTest, AnEndpointThatLeavesStillTellsWhatItDid) {
  begin({{.address = "10.0.0.1"}, {.address = "10.0.0.2", .zone = "b"}});
  loads_.serve("c", "10.0.0.2", 5);
  loads_.begin("c", "10.0.0.2", 1);
  change({{.address = "10.0.0.1"}});
  EXPECT_THAT(take(), ElementsAre("b/0 5+0 of 6, 1 open"));
  EXPECT_THAT(take(), ElementsAre("b/0 0+0 of 0, 1 open"));
  loads_.end("c", "10.0.0.2", 0, 1);
  EXPECT_THAT(take(), ElementsAre("b/0 0+1 of 0, 0 open"));
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(ClusterLoadTest, AnEndpointThatComesBackStartsAnew) {
  begin({{.address = "10.0.0.1"}, {.address = "10.0.0.2"}});
  loads_.serve("c", "10.0.0.2", 5);
  change({{.address = "10.0.0.1"}});
  EXPECT_THAT(take(), SizeIs(1));
  EXPECT_THAT(take(), IsEmpty()) << "it is forgotten";
  change({{.address = "10.0.0.1"}, {.address = "10.0.0.2"}});
  loads_.serve("c", "10.0.0.2", 1);
  EXPECT_THAT(take(), ElementsAre("/0 1+0 of 1, 0 open"));
}

TEST_F(ClusterLoadTest, AnEndpointThatMovesIsToldWhereItIs) {
  begin({{.address = "10.0.0.1", .zone = "a"}});
  loads_.serve("c", "10.0.0.1", 2);
  change({{.address = "10.0.0.1", .zone = "b", .priority = 3}});
  EXPECT_THAT(take(), ElementsAre("b/3 2+0 of 2, 0 open"));
}

TEST_F(ClusterLoadTest, DropsAreToldByTheirReason) {
  ClusterMessage message;
  message.mutable_load_assignment()->mutable_policy()->add_drop_overloads()->set_category("throttle");
  begin({{.address = "10.0.0.1"}}, message);
  loads_.cluster_stats("c", 0).upstream_rq_drop_overload.add(3);
  loads_.cluster_stats("c", 1).upstream_rq_drop_overload.add(1);
  loads_.cluster_stats("c", 0).upstream_rq_pending_overflow.add(10);
  auto stats = load_->take(false, now_);
  EXPECT_EQ(stats.total_dropped_requests(), 14u) << "those that circuit breakers stopped, too";
  ASSERT_THAT(stats.dropped_requests(), SizeIs(1));
  EXPECT_EQ(stats.dropped_requests(0).category(), "throttle");
  EXPECT_EQ(stats.dropped_requests(0).dropped_count(), 4u);
  loads_.cluster_stats("c").upstream_rq_pending_overflow.add(1);
  stats = load_->take(false, now_);
  EXPECT_EQ(stats.total_dropped_requests(), 1u);
  EXPECT_THAT(stats.dropped_requests(), IsEmpty());
}

TEST_F(ClusterLoadTest, TheCategoryOfDropsOutlivesThem) {
  ClusterMessage message;
  message.mutable_load_assignment()->mutable_policy()->add_drop_overloads()->set_category("throttle");
  begin({{.address = "10.0.0.1"}}, message);
  loads_.cluster_stats("c").upstream_rq_drop_overload.add(3);
  change({{.address = "10.0.0.1"}});
  const auto stats = load_->take(false, now_);
  ASSERT_THAT(stats.dropped_requests(), SizeIs(1));
  EXPECT_EQ(stats.dropped_requests(0).category(), "throttle");
}

TEST_F(ClusterLoadTest, SaysWhichClusterAndForHowLong) {
  ClusterMessage message;
  message.mutable_eds_cluster_config()->set_service_name("service");
  begin({{.address = "10.0.0.1"}}, message);
  now_ = now_ + Duration::milliseconds(2500);
  auto stats = load_->take(false, now_);
  EXPECT_EQ(stats.cluster_name(), "c");
  EXPECT_EQ(stats.cluster_service_name(), "service");
  EXPECT_EQ(stats.load_report_interval().seconds(), 2);
  EXPECT_EQ(stats.load_report_interval().nanos(), 500'000'000);
  now_ = now_ + Duration::seconds(1);
  stats = load_->take(false, now_);
  EXPECT_EQ(stats.load_report_interval().seconds(), 1);
}

TEST_F(ClusterLoadTest, AClusterThatIsGoneIsOverWhenNothingHappensThere) {
  begin({{.address = "10.0.0.1"}});
  loads_.begin("c", "10.0.0.1", 1);
  load_->leave();
  EXPECT_THAT(take(), SizeIs(1));
  EXPECT_FALSE(load_->is_over());
  loads_.end("c", "10.0.0.1", 1, 0);
  EXPECT_THAT(take(), ElementsAre("/0 1+0 of 0, 0 open"));
  EXPECT_FALSE(load_->is_over());
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_TRUE(load_->is_over());
}

TEST_F(ClusterLoadTest, AClusterWithoutEndpointsIsNotOver) {
  begin({});
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_FALSE(load_->is_over());
}

}  // namespace
}  // namespace millrace::agent
