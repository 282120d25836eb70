// The xDS client with a whole agent behind it, on virtual time, against scripted servers: conversations as they go.
#include "control-agent/xds/xds_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "control-agent/tls_secrets.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using test::response;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kServerCluster =
    "name: xds, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": "
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: "
    "{}}}}, load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/xds}}}}]}]}";

std::string eds(const std::string& name, const std::string& more = "") {
  return "name: " + name + ", type: EDS, eds_cluster_config: {eds_config: {ads: {}" + more + "}}";
}
std::string ads_routes(const std::string& name) { return "rds: {route_config_name: " + name + ", config_source: {ads: {}}}"; }

class XdsClientTest : public testing::Test {
 protected:
  void start(const std::string& api_type, const std::string& source = "ads: {}", const std::string& statics = "") {
    LoadOptions options;
    options.config_yaml = "{node: {id: node-1, cluster: edge}, static_resources: {clusters: [{" + std::string(kServerCluster) +
                          "}]" + statics + "}, dynamic_resources: {ads_config: {api_type: " + api_type +
                          ", transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: "
                          "{cluster_name: xds}}]}, cds_config: {" +
                          source + "}, lds_config: {" + source + "}}}";
    options.concurrency = 1;
    auto loaded = load(options);
    for (const auto& error : loaded ? std::vector<ConfigError>() : loaded.error()) ADD_FAILURE() << error.to_string();
    ASSERT_TRUE(loaded);
    loaded_ = std::move(*loaded);
    client_ = std::make_unique<XdsClient>(XdsSurroundings{.bootstrap = *loaded_.bootstrap,
                                                          .node = *loaded_.node,
                                                          .publisher = *loaded_.publisher,
                                                          .secrets = *loaded_.secrets,
                                                          .discovered = *loaded_.discovered_secrets,
                                                          .transport = transport_},
                                          1);
    client_->service(now_);
  }
  /// What is sent in answer to `given`.
  std::vector<std::string> after(XdsResponse given) {
    transport_.answer(std::move(given));
    client_->service(now_);
    client_->service(now_);  // what the world's change asks for
    return transport_.requests();
  }
  void pass(Duration time) {
    const Instant end = now_ + time;
    while (client_->next_timeout() < end) {
      now_ = std::max(now_ + Duration::nanoseconds(1), client_->next_timeout());
      client_->service(now_);
    }
    now_ = end;
    client_->service(now_);
  }

  XdsResponse clusters(const std::string& version, const std::vector<std::string>& all) {
    std::vector<XdsResource> resources;
    for (const std::string& one : all) resources.push_back(named<ClusterMessage>("{" + one + "}", version));
    return response(ResourceType::kCluster, version, "c" + version, std::move(resources));
  }
  XdsResponse listeners(const std::string& version, const std::vector<std::string>& all) {
    std::vector<XdsResource> resources;
    for (const std::string& one : all) resources.push_back(named<ListenerMessage>("{" + one + "}", version));
    return response(ResourceType::kListener, version, "l" + version, std::move(resources));
  }
  XdsResponse routes(const std::string& version, const std::string& name, const std::string& cluster) {
    return response(ResourceType::kRoutes, version, "r" + version,
                    {named<RouteMessage>("{" + test::routes_text(name, cluster) + "}", version)});
  }
  XdsResponse endpoints(const std::string& version, const std::string& name, const std::vector<std::string>& addresses) {
    return response(ResourceType::kAssignment, version, "e" + version,
                    {named<AssignmentMessage>("{" + test::endpoints_text(name, addresses) + "}", version)});
  }
  template <typename Message>
  XdsResource named(const std::string& yaml, const std::string& version) {
    XdsResource out = test::resource<Message>({}, yaml, version);
    Message message;
    out.body.UnpackTo(&message);
    if constexpr (requires { message.name(); }) {
      out.name = message.name();
    } else {
      out.name = message.cluster_name();
    }
    return out;
  }

  std::shared_ptr<const config::Snapshot> snapshot() { return loaded_.publisher->snapshot(); }
  std::shared_ptr<const World> world() { return loaded_.publisher->world(); }
  std::size_t endpoints_of(const std::string& name) {
    const auto* cluster = snapshot()->find_cluster(name);
    if (cluster == nullptr) return 999;
    return world()->find_cluster(name)->assignment == nullptr
               ? 0
               : static_cast<std::size_t>(world()->find_cluster(name)->assignment->message.endpoints(0).lb_endpoints_size());
  }

  test::ScriptedTransport transport_;
  Loaded loaded_;
  std::unique_ptr<XdsClient> client_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

TEST_F(XdsClientTest, TheConversationAtTheStartOfStateOfTheWorld) {
  start("GRPC");
  EXPECT_EQ(transport_.opened.at(0).method, "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources");
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster node"));
  EXPECT_THAT(after(clusters("1", {eds("a"), eds("b")})), ElementsAre("Cluster v=1 n=c1", "ClusterLoadAssignment a b"));
  EXPECT_FALSE(client_->is_warm());
  EXPECT_THAT(after(response(ResourceType::kAssignment, "1", "e1",
                             {named<AssignmentMessage>("{" + test::endpoints_text("a", {"198.18.0.1"}) + "}", ""),
                              named<AssignmentMessage>("{" + test::endpoints_text("b", {"198.18.0.2"}) + "}", "")})),
              ElementsAre("ClusterLoadAssignment v=1 n=e1 a b", "Listener"))
      << "listeners are asked for when the clusters serve";
  EXPECT_THAT(after(listeners("1", {test::listener_text("edge", 80, ads_routes("main"))})),
              ElementsAre("RouteConfiguration main", "Listener v=1 n=l1"));
  EXPECT_FALSE(client_->is_warm());
  EXPECT_THAT(snapshot()->listeners, IsEmpty());
  EXPECT_THAT(after(routes("1", "main", "a")), ElementsAre("RouteConfiguration v=1 n=r1 main"));
  EXPECT_TRUE(client_->is_warm());
  EXPECT_THAT(snapshot()->listeners, SizeIs(1));
  EXPECT_EQ(endpoints_of("a"), 1u);
}

TEST_F(XdsClientTest, TheConversationAtTheStartOfDelta) {
  start("DELTA_GRPC");
  EXPECT_EQ(transport_.opened.at(0).method, "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster node"));
  EXPECT_THAT(after(test::delta(clusters("1", {eds("a")}))), ElementsAre("Cluster n=c1", "ClusterLoadAssignment +a"));
  EXPECT_THAT(after(test::delta(endpoints("1", "a", {"198.18.0.1"}))), ElementsAre("ClusterLoadAssignment n=e1", "Listener"));
  EXPECT_THAT(after(test::delta(listeners("1", {test::listener_text("edge", 80, ads_routes("main"))}))),
              ElementsAre("RouteConfiguration +main", "Listener n=l1"));
  EXPECT_THAT(after(test::delta(routes("1", "main", "a"))), ElementsAre("RouteConfiguration n=r1"));
  EXPECT_TRUE(client_->is_warm());
  transport_.end("UNAVAILABLE: the server is gone");
  client_->service(now_);
  pass(Duration::seconds(1));
  EXPECT_THAT(transport_.requests(), ElementsAre("Cluster a@1 node", "ClusterLoadAssignment +a a@1",
                                                 "RouteConfiguration +main main@1", "Listener edge@1"));
  EXPECT_EQ(endpoints_of("a"), 1u) << "what runs stays in use";
}

class Serving : public XdsClientTest {
 protected:
  void serve(const std::string& api_type = "GRPC") {
    delta_ = api_type != "GRPC";
    start(api_type);
    (void)give(clusters("1", {eds("a")}));
    (void)give(endpoints("1", "a", {"198.18.0.1"}));
    (void)give(listeners("1", {test::listener_text("edge", 80, ads_routes("main"))}));
    (void)give(routes("1", "main", "a"));
    ASSERT_TRUE(client_->is_warm());
  }
  std::vector<std::string> give(XdsResponse given) { return after(delta_ ? test::delta(std::move(given)) : std::move(given)); }

  bool delta_ = false;
};

TEST_F(Serving, ANewClusterServesWhenItsEndpointsHaveCome) {
  serve();
  EXPECT_THAT(give(clusters("2", {eds("a"), eds("b")})), ElementsAre("Cluster v=2 n=c2", "ClusterLoadAssignment v=1 n=e1 a b"));
  EXPECT_EQ(snapshot()->find_cluster("b"), nullptr);
  EXPECT_TRUE(world()->warming_clusters.contains("b"));
  (void)give(endpoints("2", "b", {"198.18.0.3"}));
  EXPECT_NE(snapshot()->find_cluster("b"), nullptr);
  EXPECT_THAT(world()->warming_clusters, IsEmpty());
}

TEST_F(Serving, AChangedClusterServesAsItWasUntilTheNewOneIsWarm) {
  serve();
  const auto* before = snapshot()->find_cluster("a");
  (void)give(clusters("2", {"name: a, type: EDS, eds_cluster_config: {service_name: other, eds_config: {ads: {}}}"}));
  EXPECT_EQ(snapshot()->find_cluster("a"), before);
  (void)give(endpoints("2", "other", {"198.18.0.3", "198.18.0.4"}));
  EXPECT_NE(snapshot()->find_cluster("a"), before);
  EXPECT_EQ(endpoints_of("a"), 2u);
}

TEST_F(Serving, AClusterThatNeverGetsEndpointsServesWithoutThemInTheEnd) {
  serve();
  (void)give(clusters("2", {eds("a"), eds("b", ", initial_fetch_timeout: 3s"), eds("c", ", initial_fetch_timeout: 0s")}));
  pass(Duration::milliseconds(2'900));
  EXPECT_EQ(snapshot()->find_cluster("b"), nullptr);
  pass(Duration::milliseconds(200));
  EXPECT_NE(snapshot()->find_cluster("b"), nullptr);
  pass(Duration::seconds(3600));
  EXPECT_EQ(snapshot()->find_cluster("c"), nullptr) << "it waits for ever";
}

TEST_F(Serving, AChangedListenerServesAsItWasUntilItsRoutesHaveCome) {
  serve();
  const auto before = snapshot()->listeners.at(0);
  EXPECT_THAT(give(listeners("2", {test::listener_text("edge", 81, ads_routes("next"))})),
              ElementsAre("RouteConfiguration v=1 n=r1 main next", "Listener v=2 n=l2"));
  EXPECT_EQ(snapshot()->listeners.at(0), before);
  EXPECT_THAT(give(routes("2", "next", "a")), ElementsAre("RouteConfiguration v=2 n=r2 next"))
      << "nobody needs the routes of the old one any more";
  EXPECT_NE(snapshot()->listeners.at(0), before);
}

TEST_F(Serving, TheSameAgainUnderANewVersionChangesNothing) {
  serve();
  const auto before = snapshot();
  (void)give(clusters("2", {eds("a")}));
  (void)give(endpoints("2", "a", {"198.18.0.1"}));
  (void)give(listeners("2", {test::listener_text("edge", 80, ads_routes("main"))}));
  (void)give(routes("2", "main", "a"));
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Serving, ABadResourceIsNamedAndTheOthersAreTaken) {
  serve();
  const auto sent = give(
      clusters("2", {eds("a"), "name: worse, lb_policy: CLUSTER_PROVIDED, type: STATIC", test::static_cluster_text("good")}));
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_THAT(sent[0], AllOf(HasSubstr("Cluster v=1 n=c2 error: "), HasSubstr("Cluster \"worse\"")));
  EXPECT_NE(snapshot()->find_cluster("good"), nullptr);
  EXPECT_EQ(snapshot()->find_cluster("worse"), nullptr);
  const auto stats = client_->stats().at({ResourceType::kCluster, {"", ""}});
  EXPECT_EQ(stats.update_rejected, 1u);
  EXPECT_EQ(stats.version_text, "1");
}

TEST_F(Serving, AFieldThatIsNotServedIsNamedWithItsPath) {
  serve();
  const auto before = snapshot();
  const auto sent = give(listeners(
      "2",
      {test::listener_text("edge", 80, ads_routes("main") + ", scheme_header_transformation: {scheme_to_overwrite: https}")}));
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_THAT(sent[0], AllOf(HasSubstr("Listener v=1 n=l2 error: Listener \"edge\".filter_chains[0]"),
                             HasSubstr("scheme_header_transformation")));
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Serving, ANameThatComesTwiceRejectsTheWholeResponse) {
  serve();
  const auto before = snapshot();
  const auto sent = give(clusters("2", {test::static_cluster_text("x"), test::static_cluster_text("x", "198.18.0.9")}));
  EXPECT_THAT(
      sent, ElementsAre("Cluster v=1 n=c2 error: Cluster \"x\": the name comes twice in one response, of which nothing is used"));
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Serving, WhatCannotBeReadIsRejected) {
  serve();
  XdsResponse garbage = clusters("2", {eds("a")});
  garbage.resources[0].body.set_value("\xff\xff\xff");
  EXPECT_THAT(give(garbage), ElementsAre(HasSubstr("cannot be read as a envoy.config.cluster.v3.Cluster")));
  XdsResponse foreign = clusters("3", {});
  foreign.resources.push_back(named<RouteMessage>("{" + test::routes_text("r", "a") + "}", ""));
  EXPECT_THAT(give(foreign), ElementsAre(HasSubstr("RouteConfiguration\" cannot be read as")));
  EXPECT_NE(snapshot()->find_cluster("a"), nullptr);
}

TEST_F(Serving, WhatCannotBeReadIsNotTakenForRemoved) {
  serve();
  const auto before = snapshot();
  XdsResponse garbled = listeners("2", {test::listener_text("other", 81, "route_config: {" + test::routes_text("r", "a") + "}"),
                                        test::listener_text("edge", 80, ads_routes("main"))});
  for (XdsResource& one : garbled.resources) one.name.clear();
  garbled.resources[1].body.set_value("\xff\xff\xff");
  (void)give(garbled);
  EXPECT_EQ(snapshot(), before);
  XdsResponse nameless = clusters("2", {test::static_cluster_text("b")});
  for (XdsResource& one : nameless.resources) one.name.clear();
  nameless.resources.push_back(test::resource<ClusterMessage>({}, "{connect_timeout: 1s}"));
  (void)give(nameless);
  pass(Duration::seconds(10));
  EXPECT_EQ(snapshot(), before);
}

TEST_F(Serving, ClustersThatNeedEachOtherGoTogether) {
  serve("DELTA_GRPC");
  const auto aggregate = [](const std::string& name, const std::string& first, const std::string& second) {
    return "name: " + name +
           ", lb_policy: CLUSTER_PROVIDED, cluster_type: {name: envoy.clusters.aggregate, typed_config: {\"@type\": "
           "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig, clusters: [" +
           first + ", " + second + "]}}";
  };
  (void)give(clusters("2", {aggregate("g29", "g30", "h30"), aggregate("h29", "h30", "g30"), test::static_cluster_text("g30"),
                            test::static_cluster_text("h30", "198.18.0.9")}));
  EXPECT_NE(snapshot()->find_cluster("h29"), nullptr);
  (void)give(response(ResourceType::kCluster, "3", "c3", {}, {"g29", "h29", "g30", "h30"}));
  pass(Duration::seconds(6));
  EXPECT_EQ(snapshot()->clusters.size(), 1u);
}

TEST_F(Serving, StateOfTheWorldRemovesWhatItLeavesOut) {
  serve();
  (void)give(clusters("2", {test::static_cluster_text("b")}));
  EXPECT_NE(snapshot()->find_cluster("a"), nullptr) << "for the requests and the routes that still lead there";
  pass(Duration::seconds(6));
  EXPECT_EQ(snapshot()->find_cluster("a"), nullptr);
  EXPECT_THAT(transport_.requests(), ElementsAre("ClusterLoadAssignment v=1 n=e1")) << "nobody needs its endpoints any more";
  (void)give(listeners("2", {}));
  EXPECT_THAT(snapshot()->listeners, IsEmpty());
}

TEST_F(Serving, EndpointsAndRoutesThatAreLeftOutStay) {
  serve();
  (void)give(clusters("2", {eds("a"), eds("b")}));
  (void)give(endpoints("2", "b", {"198.18.0.3"}));
  EXPECT_EQ(endpoints_of("a"), 1u);
  (void)give(response(ResourceType::kRoutes, "2", "r2"));
  EXPECT_THAT(snapshot()->listeners.at(0)->chains[0].http()->routes->virtual_hosts, SizeIs(1));
}

TEST_F(Serving, AClusterThatIsBackInTimeNeverWent) {
  serve("DELTA_GRPC");
  const auto* before = snapshot()->find_cluster("a");
  (void)give(response(ResourceType::kCluster, "2", "c2", {}, {"a"}));
  pass(Duration::seconds(4));
  (void)give(clusters("3", {eds("a")}));
  pass(Duration::seconds(60));
  EXPECT_EQ(snapshot()->find_cluster("a"), before);
}

TEST_F(Serving, DeltaRemovesByName) {
  serve("DELTA_GRPC");
  (void)give(clusters("2", {test::static_cluster_text("b")}));
  EXPECT_NE(snapshot()->find_cluster("a"), nullptr);
  EXPECT_THAT(give(response(ResourceType::kCluster, "3", "c3", {}, {"a", "unknown"})), ElementsAre("Cluster n=c3"));
  pass(Duration::seconds(6));
  EXPECT_EQ(snapshot()->find_cluster("a"), nullptr);
  EXPECT_NE(snapshot()->find_cluster("b"), nullptr);
  EXPECT_THAT(transport_.requests(), ElementsAre("ClusterLoadAssignment -a"));
}

TEST_F(Serving, WhatHasATimeToLiveGoesUnlessItIsRenewed) {
  serve("DELTA_GRPC");
  XdsResponse mortal = clusters("2", {test::static_cluster_text("b")});
  mortal.resources[0].ttl = Duration::seconds(10);
  (void)give(mortal);
  pass(Duration::seconds(9));
  XdsResponse heartbeat = mortal;
  heartbeat.resources[0].has_body = false;
  heartbeat.resources[0].body.Clear();
  (void)give(heartbeat);
  pass(Duration::seconds(9));
  EXPECT_NE(snapshot()->find_cluster("b"), nullptr);
  pass(Duration::seconds(2));
  EXPECT_EQ(snapshot()->find_cluster("b"), nullptr);
}

TEST_F(XdsClientTest, WithoutAnAnswerTheGatewayServesWhatItHasInTheEnd) {
  start("GRPC", "ads: {}");
  pass(Duration::seconds(14));
  EXPECT_FALSE(client_->is_warm());
  pass(Duration::seconds(2));
  EXPECT_FALSE(client_->is_warm()) << "now it waits for listeners";
  pass(Duration::seconds(15));
  EXPECT_TRUE(client_->is_warm());
  EXPECT_EQ(client_->stats().at({ResourceType::kCluster, {"", ""}}).init_fetch_timeout, 1u);
}

TEST_F(XdsClientTest, ASourceOfItsOwnHasAStreamForEachType) {
  start(
      "GRPC",
      "api_config_source: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}");
  EXPECT_THAT(transport_.opened, SizeIs(2)) << "one is for ads, which is not asked yet";
  EXPECT_EQ(transport_.opened.at(1).method, "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters");
}

TEST_F(XdsClientTest, SecretsAreWaitedForAndThenUsed) {
  start("DELTA_GRPC");
  const std::string tls =
      ", transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: "
      "{validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}}}}";
  EXPECT_THAT(after(test::delta(clusters("1", {test::static_cluster_text("a") + tls}))),
              ElementsAre(testing::_, "Cluster n=c1", "Secret +ROOTCA"));
  EXPECT_TRUE(world()->warming_clusters.contains("a"));
  EXPECT_THAT(after(test::delta(response(ResourceType::kSecret, "1", "s1", {}, {"ROOTCA"}))),
              ElementsAre("Secret n=s1", "Listener"));
  EXPECT_TRUE(world()->clusters.contains("a")) << "there is none: what needs it goes on without";
}

}  // namespace
}  // namespace millrace::agent
