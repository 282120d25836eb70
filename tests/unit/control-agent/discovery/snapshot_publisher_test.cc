// Steps, batches and versions of what is published.
#include "control-agent/discovery/snapshot_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/loader.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"

namespace millrace::agent {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class SnapshotPublisherTest : public test::DiscoveryTest {
 protected:
  static ResourcePtr<ClusterMessage> cluster(const std::string& text) {
    ClusterMessage message;
    SourceMap places;
    Diagnostics diagnostics(&places);
    EXPECT_TRUE(parse_text("{" + text + "}", "test", {}, message, places, diagnostics));
    return std::make_shared<const Resource<ClusterMessage>>(std::move(message), ResourceOrigin{.path = "cluster"});
  }
  static void set(Resources& resources, const ResourcePtr<ClusterMessage>& resource) {
    resources.clusters.set(resource->name, resource);
  }

  Loaded loaded_ = load_good("");
  SnapshotPublisher& publisher_ = *loaded_.publisher;
};

TEST_F(SnapshotPublisherTest, PublishesWhatABatchHasDoneOnce) {
  config::SnapshotSlot slot;
  publisher_.start(slot);
  EXPECT_EQ(slot.version(), 1u);
  publisher_.update([&](SnapshotPublisher::Batch& batch) {
    for (const char* name : {"a", "b", "c"}) {
      EXPECT_THAT(batch.apply([&](Resources& all) { set(all, cluster(test::static_cluster_text(name))); }).errors, IsEmpty());
    }
    EXPECT_EQ(slot.version(), 1u);
  });
  EXPECT_EQ(slot.version(), 2u);
  EXPECT_THAT(slot.current()->clusters, SizeIs(3));
}

TEST_F(SnapshotPublisherTest, ABadStepLeavesTheOthers) {
  publisher_.update([&](SnapshotPublisher::Batch& batch) {
    (void)batch.apply([&](Resources& all) { set(all, cluster(test::static_cluster_text("a"))); });
    const auto outcome = batch.apply([&](Resources& all) {
      set(all, cluster(test::static_cluster_text("b")));
      set(all, cluster(test::static_cluster_text("c", "nowhere")));
      all.clusters.erase(std::string("a"));
    });
    EXPECT_THAT(outcome.errors, SizeIs(1));
    EXPECT_THAT(batch.resources().clusters, SizeIs(1));
  });
  EXPECT_NE(publisher_.snapshot()->find_cluster("a"), nullptr);
  EXPECT_EQ(publisher_.snapshot()->find_cluster("b"), nullptr);
}

TEST_F(SnapshotPublisherTest, CollectsWhatNoWorkerHasAnyMore) {
  config::SnapshotSlot slot;
  publisher_.start(slot);
  loaded_.snapshot.reset();
  const auto publish = [&](const char* name) {
    publisher_.update([&](SnapshotPublisher::Batch& batch) {
      (void)batch.apply([&](Resources& all) { set(all, cluster(test::static_cluster_text(name))); });
    });
    return std::weak_ptr(publisher_.snapshot());
  };
  const auto second = publish("a");
  const auto third = publish("b");
  const auto fourth = publish("c");
  publisher_.collect(3);
  EXPECT_TRUE(second.expired());
  EXPECT_FALSE(third.expired());
  publisher_.collect(4);
  EXPECT_TRUE(third.expired());
  EXPECT_FALSE(fourth.expired());
}

TEST_F(SnapshotPublisherTest, AnAccessLogThatCannotBeOpenedRefusesTheStepBeforeTheStartToo) {
  config::SnapshotSlot slot;
  std::vector<std::string> opened;
  bool good = false;
  publisher_.open_sinks_with([&](const std::vector<config::LogSink>& sinks) -> Result<void, std::string> {
    for (const auto& sink : sinks) opened.push_back(sink.path);
    if (!good) return Error<std::string>("access log /nowhere/log cannot be opened");
    return {};
  });
  const std::string text =
      test::listener_text("edge", 80,
                          "route_config: {name: r}, access_log: [{name: f, typed_config: {\"@type\": "
                          "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /nowhere/log}}]");
  ListenerMessage message;
  SourceMap places;
  Diagnostics diagnostics(&places);
  ASSERT_TRUE(parse_text("{" + text + "}", "test", {}, message, places, diagnostics));
  const auto listener = std::make_shared<const Resource<ListenerMessage>>(message, ResourceOrigin{.path = "listener"});
  const auto apply = [&] {
    std::vector<ConfigError> errors;
    publisher_.update([&](SnapshotPublisher::Batch& batch) {
      errors = batch.apply([&](Resources& all) { all.listeners.set("edge", listener); }).errors;
    });
    return errors;
  };
  EXPECT_THAT(apply(), SizeIs(1));
  publisher_.start(slot);
  EXPECT_THAT(slot.current()->listeners, IsEmpty());
  good = true;
  EXPECT_THAT(apply(), IsEmpty());
  EXPECT_THAT(slot.current()->listeners, SizeIs(1));
  EXPECT_THAT(opened, ::testing::ElementsAre("/nowhere/log", "/nowhere/log"));
}

class FirstChecksTest : public SnapshotPublisherTest {
 protected:
  static constexpr const char* kChecked =
      ", health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}]";

  void bring(const std::string& text) {
    publisher_.update([&](SnapshotPublisher::Batch& batch) {
      EXPECT_THAT(batch.apply([&](Resources& all) { set(all, cluster(text)); }).errors, IsEmpty());
    });
  }
  /// As a worker that has had its result.
  void check(const std::string& name) {
    for (const config::Endpoint& endpoint : (*publisher_.snapshot()->checking.find(name))->endpoints)
      endpoint.cell->health.get().decided.store(true);
    publisher_.follow_checks();
  }

  config::SnapshotSlot slot_;
};

TEST_F(FirstChecksTest, AClusterServesWhenItsEndpointsHaveBeenChecked) {
  publisher_.start_clusters(slot_);
  bring(test::static_cluster_text("a") + kChecked);
  EXPECT_EQ(slot_.current()->find_cluster("a"), nullptr);
  EXPECT_THAT(slot_.current()->checking, SizeIs(1));
  EXPECT_THAT(publisher_.world()->warming_clusters, SizeIs(1));
  EXPECT_FALSE(publisher_.is_checked());
  publisher_.follow_checks();
  EXPECT_EQ(slot_.current()->find_cluster("a"), nullptr);
  check("a");
  EXPECT_NE(slot_.current()->find_cluster("a"), nullptr);
  EXPECT_THAT(slot_.current()->checking, IsEmpty());
  EXPECT_TRUE(publisher_.is_checked());
}

TEST_F(FirstChecksTest, WhatHadTheNameBeforeServesUntilThen) {
  publisher_.start_clusters(slot_);
  bring(test::static_cluster_text("a", "198.18.0.1"));
  bring(test::static_cluster_text("a", "198.18.0.9") + kChecked);
  EXPECT_EQ(slot_.current()->find_cluster("a")->endpoints[0].address.ip.to_string(), "198.18.0.1");
  check("a");
  EXPECT_EQ(slot_.current()->find_cluster("a")->endpoints[0].address.ip.to_string(), "198.18.0.9");
}

TEST_F(FirstChecksTest, EndpointsThatAreKnownAreNotWaitedFor) {
  publisher_.start_clusters(slot_);
  bring(test::static_cluster_text("a") + kChecked);
  check("a");
  bring(test::static_cluster_text("a") + ", connect_timeout: 7s" + kChecked);
  EXPECT_EQ(slot_.current()->find_cluster("a")->connect_timeout, Duration::seconds(7));
}

TEST_F(FirstChecksTest, OneThatGoesBeforeItServesIsCheckedNoMore) {
  publisher_.start_clusters(slot_);
  bring(test::static_cluster_text("a") + kChecked);
  publisher_.update(
      [&](SnapshotPublisher::Batch& batch) { (void)batch.apply([&](Resources& all) { all.clusters.erase(std::string("a")); }); });
  EXPECT_THAT(slot_.current()->checking, IsEmpty());
  EXPECT_TRUE(publisher_.is_checked());
}

TEST_F(FirstChecksTest, ListenersAreHeldUntilTheyMayOpen) {
  Loaded loaded = load_good("", "listeners: [{" + test::listener_text("edge", 80, "route_config: {name: all}") + "}]");
  loaded.publisher->start_clusters(slot_);
  EXPECT_TRUE(slot_.current()->holds_listeners);
  EXPECT_THAT(slot_.current()->listeners, IsEmpty());
  loaded.publisher->open_listeners();
  EXPECT_FALSE(slot_.current()->holds_listeners);
  EXPECT_THAT(slot_.current()->listeners, SizeIs(1));
}

}  // namespace
}  // namespace millrace::agent
