// The xDS client with a whole agent behind it, on virtual time, against scripted servers. How conversations go as a whole stands
// in tests/data/xds_golden.
#include "control-agent/xds/xds_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "control-agent/discovery/name_discovery.h"
#include "control-agent/tls_secrets.h"
#include "tests/unit/control-agent/discovery/discovery_fixture.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using test::named;
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
  void start(const std::string& api_type, const std::string& source = "ads: {}", const std::string& statics = "",
             const std::string& more = "", LastGood last_good = {}) {
    auto loaded =
        test::load_bootstrap("{node: {id: node-1, cluster: edge}, static_resources: {clusters: [{" + std::string(kServerCluster) +
                             "}]" + statics + "}, dynamic_resources: {ads_config: {api_type: " + api_type +
                             ", transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{envoy_grpc: "
                             "{cluster_name: xds}}]}, cds_config: {" +
                             source + "}, lds_config: {" + source + "}}" + more + "}");
    ASSERT_TRUE(loaded);
    loaded_ = std::move(*loaded);
    client_ = test::make_client(loaded_, transport_, reject_unknown_fields_, std::move(last_good));
    client_->service(now_);
  }
  /// A process after this one, which has what this one kept.
  void restart(const std::string& api_type) {
    LastGood kept = collect_last_good(*world(), *loaded_.discovered_secrets, false).last_good;
    client_.reset();
    transport_ = {};
    start(api_type, "ads: {}", "", "", std::move(kept));
  }
  /// What is sent in answer to `given`.
  std::vector<std::string> after(XdsResponse given) {
    transport_.answer(std::move(given));
    client_->service(now_);
    client_->service(now_);  // what the world's change asks for
    return transport_.requests();
  }
  void pass(Duration time) { test::pass(*client_, now_, time); }

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

  std::shared_ptr<const config::Snapshot> snapshot() { return loaded_.publisher->snapshot(); }
  std::shared_ptr<const World> world() { return loaded_.publisher->world(); }
  std::size_t endpoints_of(const std::string& name) {
    const auto* cluster = snapshot()->find_cluster(name);
    if (cluster == nullptr) return 999;
    return world()->find_cluster(name)->assignment == nullptr
               ? 0
               : static_cast<std::size_t>(world()->find_cluster(name)->assignment->message().endpoints(0).lb_endpoints_size());
  }

  bool reject_unknown_fields_ = false;
  test::ScriptedTransport transport_;
  Loaded loaded_;
  std::unique_ptr<XdsClient> client_;
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

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
  for (XdsResource& one : garbled.resources) one.name = {};
  garbled.resources[1].body.set_value("\xff\xff\xff");
  (void)give(garbled);
  EXPECT_EQ(snapshot(), before);
  XdsResponse nameless = clusters("2", {test::static_cluster_text("b")});
  for (XdsResource& one : nameless.resources) one.name = {};
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

TEST_F(XdsClientTest, LoadIsReportedToWhoIsNamedForIt) {
  using envoy::service::load_stats::v3::LoadStatsRequest;
  start("DELTA_GRPC", "ads: {}", "",
        ", cluster_manager: {load_stats_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: "
        "{cluster_name: xds}}]}}");
  ASSERT_THAT(transport_.opened, SizeIs(2));
  EXPECT_EQ(transport_.opened.at(1).method, "load reports");
  const auto last = [&] { return dynamic_cast<const LoadStatsRequest&>(*transport_.sent.back().second); };
  EXPECT_EQ(last().node().id(), "node-1");
  const XdsStreamId stream = transport_.opened.at(1).id;
  envoy::service::load_stats::v3::LoadStatsResponse order;
  order.set_send_all_clusters(true);
  order.mutable_load_reporting_interval()->set_seconds(2);
  transport_.events.push_back({.stream = stream, .what = order});
  transport_.answer_by_type(test::delta(clusters("1", {test::static_cluster_text("a")})));
  client_->service(now_);
  snapshot()->find_cluster("a")->endpoints[0].cell->per_worker[0].rq_success.add(3);
  pass(Duration::seconds(2));
  ASSERT_THAT(last().cluster_stats(), SizeIs(1));
  EXPECT_EQ(last().cluster_stats(0).upstream_locality_stats(0).total_successful_requests(), 3u);
  transport_.events.push_back({.stream = stream, .what = XdsStreamClosed{"UNAVAILABLE: gone"}});
  client_->service(now_);
  EXPECT_EQ(client_->take_reports().back().server, "xds (load reports)");
  EXPECT_EQ(client_->load_reports()->requests, 1u);
  EXPECT_EQ(client_->load_reports()->responses, 2u);
  EXPECT_EQ(client_->load_reports()->errors, 1u);
  pass(Duration::seconds(1));
  EXPECT_THAT(transport_.opened, SizeIs(3));
  EXPECT_EQ(client_->load_reports()->retries, 1u);
}

TEST_F(XdsClientTest, WhatIsRefusedStaysKnownUntilItIsGood) {
  start("GRPC");
  const auto state_of = [&](const std::string& name) {
    const auto all = dynamic_resources(*world(), client_->stats(), client_->secrets(), client_->refused()).clusters;
    const auto at = std::ranges::find(all, name, &DynamicResource::name);
    return at == all.end() ? DynamicResource() : *at;
  };
  after(clusters("1", {test::static_cluster_text("a"), test::static_cluster_text("b")}));
  EXPECT_FALSE(state_of("a").refused);
  after(clusters("2", {test::static_cluster_text("a") + ", connect_timeout: -1s", test::static_cluster_text("b")}));
  const DynamicResource refused = state_of("a");
  ASSERT_TRUE(refused.refused);
  EXPECT_EQ(refused.version, "1") << "what is in use";
  ASSERT_NE(refused.content, nullptr);
  EXPECT_EQ(refused.refused->version, "2");
  EXPECT_THAT(refused.refused->details, HasSubstr("Cluster \"a\".connect_timeout"));
  EXPECT_EQ(dynamic_cast<const ClusterMessage&>(*refused.refused->content).connect_timeout().seconds(), -1);
  EXPECT_FALSE(state_of("b").refused) << "the others are taken";
  after(clusters("3", {test::static_cluster_text("a"), test::static_cluster_text("b")}));
  EXPECT_FALSE(state_of("a").refused) << "also where it says what is in use already";
}

TEST_F(XdsClientTest, WhatWasNeverGoodIsKnownToBeRefusedUntilItGoes) {
  start("GRPC");
  after(clusters("1", {test::static_cluster_text("a") + ", connect_timeout: -1s"}));
  const auto all = dynamic_resources(*world(), client_->stats(), client_->secrets(), client_->refused()).clusters;
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].name, "a");
  EXPECT_EQ(all[0].content, nullptr);
  EXPECT_TRUE(all[0].refused);
  after(clusters("2", {}));
  EXPECT_THAT(client_->refused(), IsEmpty());
}

TEST_F(XdsClientTest, WhatTheWorldRefusesNamesTheResource) {
  start("DELTA_GRPC");
  after(test::delta(clusters("1", {test::static_cluster_text("a")})));
  after(test::delta(
      listeners("1", {test::listener_text("l", 80, ads_routes("r")), test::listener_text("m", 80, ads_routes("r"))})));
  const auto refused = client_->refused();
  ASSERT_FALSE(refused.empty());
  EXPECT_EQ(refused.begin()->first.type, ResourceType::kListener);
  EXPECT_THAT(refused.begin()->second.details, HasSubstr("Listener \"" + refused.begin()->first.name + "\""));
  after(test::delta(response(ResourceType::kListener, "2", "l2", {}, {"l", "m"})));
  EXPECT_THAT(client_->refused(), IsEmpty()) << "removed";
}

TEST_F(XdsClientTest, RefusedEndpointsAreKnownAsLongAsTheyAreWanted) {
  start("DELTA_GRPC");
  after(test::delta(clusters("1", {eds("a")})));
  after(test::delta(response(ResourceType::kAssignment, "1", "e1",
                             {named<AssignmentMessage>("{cluster_name: a, policy: {drop_overloads: [{}]}}", "1"),
                              named<AssignmentMessage>("{cluster_name: other, policy: {drop_overloads: [{}]}}", "1")})));
  const auto refused = client_->refused();
  ASSERT_THAT(refused, SizeIs(1)) << "nobody asked for the other";
  EXPECT_EQ(refused.begin()->first.name, "a");
  after(test::delta(response(ResourceType::kCluster, "2", "c2", {}, {"a"})));
  pass(Duration::seconds(6));
  EXPECT_THAT(client_->refused(), IsEmpty());
}

TEST_F(XdsClientTest, WhatCannotBeReadIsRefusedWithoutContent) {
  start("DELTA_GRPC");
  XdsResource broken = named<ClusterMessage>("{" + test::static_cluster_text("a") + "}", "1");
  broken.body.set_value("\xff");
  after(test::delta(response(ResourceType::kCluster, "1", "c1", {broken})));
  const auto refused = client_->refused();
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(refused.begin()->first.name, "a");
  EXPECT_EQ(refused.begin()->second.content, nullptr);
  EXPECT_THAT(refused.begin()->second.details, HasSubstr("cannot be read"));
}

TEST_F(XdsClientTest, SecretsAreToldAsTheyAre) {
  start("DELTA_GRPC");
  const std::string tls =
      ", transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: "
      "{validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}}}}";
  after(test::delta(clusters("1", {test::static_cluster_text("a") + tls})));
  ASSERT_THAT(client_->secrets(), SizeIs(1));
  EXPECT_EQ(client_->secrets()[0].name, "ROOTCA");
  EXPECT_EQ(client_->secrets()[0].state, ResourceState::kWarming);
  after(test::delta(response(
      ResourceType::kSecret, "1", "s1",
      {named<SecretMessage>("{name: ROOTCA, validation_context: {trusted_ca: {inline_string: \"no certificate\"}}}", "1")})));
  const auto told = dynamic_resources(*world(), client_->stats(), client_->secrets(), client_->refused()).secrets;
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].content, nullptr);
  ASSERT_TRUE(told[0].refused);
  EXPECT_EQ(told[0].refused->version, "1");
}

TEST_F(XdsClientTest, AListenerAtAnAddressThatAnotherOneHasIsRefusedAlone) {
  start("DELTA_GRPC");
  after(test::delta(clusters("1", {test::static_cluster_text("a")})));
  const auto at = [](const std::string& name, int port) {
    return test::listener_text(name, port, "route_config: {" + test::routes_text("r", "a") + "}");
  };
  after(test::delta(listeners("1", {at("edge", 80)})));
  const auto sent = after(test::delta(listeners("2", {at("another", 80), at("good", 81)})));
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_THAT(sent[0],
              HasSubstr("Listener \"another\".address: the address \"198.18.0.2:80\" is already taken by Listener \"edge\""));
  EXPECT_TRUE(world()->listeners.contains("good"));
  EXPECT_TRUE(world()->listeners.contains("edge"));
  ASSERT_THAT(client_->refused(), SizeIs(1));
  EXPECT_EQ(client_->refused().begin()->first.name, "another");
}

TEST_F(XdsClientTest, ALongNameHidesNeitherFieldNorReason) {
  start("DELTA_GRPC");
  const std::string name(6'000, 'x');
  (void)transport_.requests();
  const auto sent = after(test::delta(clusters("1", {test::static_cluster_text(name) + ", connect_timeout: -1s"})));
  ASSERT_FALSE(sent.empty());
  EXPECT_THAT(sent[0], AllOf(HasSubstr("Cluster \"xxx"), HasSubstr("x\".connect_timeout: ")));
  EXPECT_LT(sent[0].size(), 4'200u);
}

TEST_F(XdsClientTest, SecretsAreCounted) {
  start("DELTA_GRPC");
  const auto stat = [&](const std::string& name) -> std::int64_t {
    for (const DiscoveryStat& one : discovery_stats(*world(), client_->stats(), {})) {
      if (one.prefix + one.name == name) return one.value;
    }
    return -1;
  };
  const std::string tls =
      ", transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: "
      "{validation_context_sds_secret_config: {name: ROOTCA, sds_config: {ads: {}}}}}}";
  after(test::delta(clusters("1", {test::static_cluster_text("a") + tls})));
  ASSERT_TRUE(world()->warming_clusters.contains("a"));
  after(test::delta(response(
      ResourceType::kSecret, "1", "s1",
      {named<SecretMessage>("{name: ROOTCA, validation_context: {trusted_ca: {inline_string: \"no certificate\"}}}", "1")})));
  EXPECT_EQ(stat("sds.ROOTCA.update_rejected"), 1);
  EXPECT_EQ(stat("sds.ROOTCA.update_success"), 0);
  after(test::delta(response(ResourceType::kSecret, "2", "s2", {}, {"ROOTCA"})));
  EXPECT_TRUE(world()->find_cluster("a") != nullptr);
  EXPECT_EQ(stat("sds.ROOTCA.update_attempt"), 2);
  EXPECT_EQ(stat("sds.ROOTCA.update_success"), 1);
}

TEST_F(XdsClientTest, NobodyHearsOfLoadUnlessItIsConfigured) {
  start("GRPC");
  EXPECT_FALSE(client_->load_reports());
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
  EXPECT_TRUE(world()->find_cluster("a") != nullptr) << "there is none: what needs it goes on without";
}

// As a newer control plane's: a number that this version's API does not have.
XdsResource with_unknown_field(XdsResource resource) {
  ClusterMessage message;
  resource.body.UnpackTo(&message);
  auto* balancing = message.mutable_common_lb_config();
  balancing->GetReflection()->MutableUnknownFields(balancing)->AddVarint(4711, 1);
  resource.body.PackFrom(message);
  return resource;
}

TEST_F(XdsClientTest, FieldsOfAnotherVersionAreToldAndCounted) {
  start("GRPC");
  XdsResponse given = clusters("1", {test::static_cluster_text("a"), test::static_cluster_text("b")});
  given.resources[0] = with_unknown_field(given.resources[0]);
  (void)client_->take_reports();
  after(std::move(given));
  EXPECT_NE(snapshot()->find_cluster("a"), nullptr);
  EXPECT_EQ(client_->unknown_fields(), 1u);
  const auto reports = client_->take_reports();
  ASSERT_THAT(reports, SizeIs(1));
  ASSERT_THAT(reports[0].warnings, SizeIs(1));
  EXPECT_EQ(reports[0].warnings[0].path, "Cluster \"a\".common_lb_config");
  EXPECT_THAT(reports[0].warnings[0].reason, HasSubstr("4711"));
}

TEST_F(XdsClientTest, FieldsOfAnotherVersionMayBeRejected) {
  reject_unknown_fields_ = true;
  start("GRPC");
  XdsResponse given = clusters("1", {test::static_cluster_text("a"), test::static_cluster_text("b")});
  given.resources[0] = with_unknown_field(given.resources[0]);
  EXPECT_THAT(after(std::move(given)).at(1), AllOf(HasSubstr("common_lb_config"), HasSubstr("4711")));
  EXPECT_EQ(snapshot()->find_cluster("a"), nullptr);
  EXPECT_NE(snapshot()->find_cluster("b"), nullptr);
  EXPECT_EQ(client_->unknown_fields(), 0u);
}

class XdsLastGoodTest : public XdsClientTest {
 protected:
  /// A world of a cluster, its endpoints, a listener and its routes.
  void learn(const std::string& api_type) {
    start(api_type);
    is_delta_ = api_type == "DELTA_GRPC";
    after(form(clusters("1", {eds("a")})));
    after(form(endpoints("1", "a", {"198.18.0.1", "198.18.0.2"})));
    after(form(listeners("1", {test::listener_text("edge", 80, ads_routes("main"))})));
    after(form(routes("1", "main", "a")));
    ASSERT_TRUE(client_->is_complete());
  }
  XdsResponse form(XdsResponse response) { return is_delta_ ? test::delta(std::move(response)) : response; }
  bool stood_in() {
    const auto reports = client_->take_reports();
    return std::ranges::any_of(reports, [](const XdsReport& report) { return report.stands_in; });
  }
  void serve_often() {
    for (int i = 0; i < 6; ++i) client_->service(now_);
  }

  bool is_delta_ = false;
};

TEST_F(XdsLastGoodTest, ServesAtOnceWhatWasGoodLastWhenNobodyCanBeReached) {
  learn("GRPC");
  restart("GRPC");
  EXPECT_FALSE(client_->is_warm());
  transport_.end("UNAVAILABLE: connection refused");
  serve_often();
  EXPECT_TRUE(client_->is_warm());
  EXPECT_TRUE(client_->is_complete());
  EXPECT_TRUE(stood_in());
  ASSERT_THAT(snapshot()->listeners, SizeIs(1));
  EXPECT_EQ(snapshot()->listeners[0]->chains[0].http()->routes->virtual_hosts.size(), 1u);
  EXPECT_EQ(endpoints_of("a"), 2u);
}

TEST_F(XdsLastGoodTest, ASilentServerIsWaitedForUntilPatienceEnds) {
  learn("GRPC");
  restart("GRPC");
  pass(StandIn::kPatience - Duration::milliseconds(1));
  EXPECT_FALSE(stood_in());
  pass(Duration::milliseconds(1));
  serve_often();
  EXPECT_TRUE(client_->is_warm()) << "one wait for all";
  EXPECT_EQ(endpoints_of("a"), 2u);
}

TEST_F(XdsLastGoodTest, AServerThatAnswersIsBelieved) {
  learn("GRPC");
  restart("GRPC");
  after(clusters("7", {eds("b")}));
  after(endpoints("7", "b", {"198.18.0.9"}));
  after(listeners("7", {test::listener_text("other", 81, ads_routes("rest"))}));
  after(routes("7", "rest", "b"));
  EXPECT_TRUE(client_->is_warm());
  EXPECT_FALSE(stood_in());
  EXPECT_EQ(snapshot()->find_cluster("a"), nullptr);
  EXPECT_EQ(snapshot()->listeners[0]->name, "other");
}

TEST_F(XdsLastGoodTest, HalfAWorldIsCompletedByWhatWasGoodLast) {
  learn("GRPC");
  restart("GRPC");
  after(clusters("7", {eds("a"), eds("b")}));
  transport_.end("INTERNAL: died");
  serve_often();
  pass(Duration::seconds(1));
  EXPECT_TRUE(client_->is_warm());
  EXPECT_EQ(endpoints_of("a"), 2u) << "as they were";
  EXPECT_EQ(endpoints_of("b"), 0u) << "nobody has ever said";
  ASSERT_THAT(snapshot()->listeners, SizeIs(1));
}

TEST_F(XdsLastGoodTest, AServerThatComesBackReplacesAndRemovesWhatStoodIn) {
  learn("GRPC");
  restart("GRPC");
  transport_.end("UNAVAILABLE");
  serve_often();
  ASSERT_TRUE(client_->is_warm());
  pass(Duration::seconds(2));
  after(clusters("1", {eds("b")}));
  after(endpoints("1", "b", {"198.18.0.9"}));
  after(listeners("1", {}));
  EXPECT_THAT(snapshot()->listeners, IsEmpty()) << "though the version is the same: its server may have started anew";
  pass(Duration::seconds(6));
  EXPECT_EQ(snapshot()->find_cluster("a"), nullptr);
  EXPECT_NE(snapshot()->find_cluster("b"), nullptr);
}

TEST_F(XdsLastGoodTest, DeltaServersAreToldWhatIsHeldWithoutItsVersions) {
  learn("DELTA_GRPC");
  restart("DELTA_GRPC");
  (void)transport_.requests();
  pass(StandIn::kPatience);
  serve_often();
  ASSERT_TRUE(client_->is_warm());
  ASSERT_GT(transport_.opened.size(), 1u) << "the stream begins anew";
  EXPECT_TRUE(transport_.opened[0].closed);
  EXPECT_THAT(transport_.requests(), testing::IsSupersetOf({"Cluster a@ node", "Listener edge@"}));
  after(test::delta(response(ResourceType::kListener, "9", "l9", {}, {"edge"})));
  EXPECT_THAT(snapshot()->listeners, IsEmpty());
}

TEST_F(XdsLastGoodTest, ARejectedResourceIsWhatItWasWhenItWasGoodLast) {
  learn("DELTA_GRPC");
  restart("DELTA_GRPC");
  after(form(clusters("7", {"name: a, type: EDS", eds("b")})));
  EXPECT_TRUE(stood_in());
  after(form(endpoints("7", "a", {"198.18.0.1"})));
  EXPECT_EQ(endpoints_of("a"), 1u);
}

TEST_F(XdsLastGoodTest, WhatWasWaitedForInVainIsNotWorthToBeKept) {
  start("GRPC");
  pass(Duration::seconds(40));
  EXPECT_TRUE(client_->is_warm());
  EXPECT_FALSE(client_->is_complete());
  after(clusters("1", {}));
  after(listeners("1", {}));
  EXPECT_TRUE(client_->is_complete());
}

TEST_F(XdsLastGoodTest, SecretsThatAreNotKeptAreNotWaitedFor) {
  start("GRPC");
  after(clusters(
      "1",
      {"name: a, " +
       std::string(
           R"(transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {tls_certificate_sds_secret_configs: [{name: mine, sds_config: {ads: {}}}]}}}, load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 198.18.0.1, port_value: 80}}}}]}]})")}));
  pass(Duration::seconds(20));
  after(listeners("1", {test::listener_text("edge", 80, "route_config: {" + test::routes_text("main", "a") + "}")}));
  ASSERT_TRUE(client_->is_complete());
  restart("GRPC");
  transport_.end("UNAVAILABLE");
  serve_often();
  EXPECT_TRUE(client_->is_warm()) << "at once";
}

}  // namespace
}  // namespace millrace::agent
