// /config_dump and /init_dump over a gateway made of data.
#include "control-agent/admin/config_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/admin/messages.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "tests/unit/control-agent/admin/fake_gateway.h"

namespace millrace::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using envoy::admin::v3::ClustersConfigDump;
using envoy::admin::v3::EndpointsConfigDump;
using envoy::admin::v3::ListenersConfigDump;
using envoy::admin::v3::RoutesConfigDump;
using envoy::admin::v3::SecretsConfigDump;
using envoy::config::cluster::v3::Cluster;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::config::listener::v3::Listener;

constexpr auto kUpdated = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'500));

envoy::admin::v3::ConfigDump dump_of(const GatewayView& gateway, const ConfigDumpQuery& query = {}) {
  const auto dump = config_dump(gateway, query);
  EXPECT_TRUE(dump) << dump.error().text;
  return dump.value_or(envoy::admin::v3::ConfigDump());
}

PageError error_of(const ConfigDumpQuery& query) {
  const FakeGateway gateway;
  const auto dump = config_dump(gateway, query);
  EXPECT_FALSE(dump);
  return dump ? PageError() : dump.error();
}

template <typename Content>
Content content_of(const google::protobuf::Any& any) {
  Content out;
  EXPECT_TRUE(any.UnpackTo(&out)) << any.type_url();
  return out;
}

/// The section of this type.
template <typename Section>
Section section(const envoy::admin::v3::ConfigDump& dump) {
  for (const auto& any : dump.configs()) {
    if (any.Is<Section>()) return content_of<Section>(any);
  }
  ADD_FAILURE() << "no " << Section::descriptor()->full_name();
  return {};
}

std::vector<std::string> types(const envoy::admin::v3::ConfigDump& dump) {
  std::vector<std::string> out;
  for (const auto& any : dump.configs()) out.push_back(any.type_url().substr(any.type_url().rfind('.') + 1));
  return out;
}

template <typename Message>
DynamicResource resource(const std::string& name, ResourceState state = ResourceState::kActive) {
  auto message = std::make_shared<Message>();
  message->set_name(name);
  return {.name = name, .version = "7", .updated = kUpdated, .content = message, .state = state};
}

RefusedUpdate refused() {
  return {.version = "8", .attempted = kUpdated, .details = "no such cluster", .content = std::make_shared<Cluster>()};
}

TEST(ConfigDump, HasEnvoysSectionsInEnvoysOrder) {
  const FakeGateway gateway;
  EXPECT_THAT(types(dump_of(gateway)),
              ElementsAre("BootstrapConfigDump", "ClustersConfigDump", "EcdsConfigDump", "ListenersConfigDump",
                          "ScopedRoutesConfigDump", "RoutesConfigDump", "SecretsConfigDump"));
  EXPECT_EQ(types(dump_of(gateway, {.include_eds = true})).at(3), "EndpointsConfigDump");
}

TEST(ConfigDump, ShowsTheBootstrapAndWhatIsStatic) {
  const FakeGateway gateway;
  const auto dump = dump_of(gateway);
  EXPECT_EQ(section<envoy::admin::v3::BootstrapConfigDump>(dump).bootstrap().node().id(), "n1");
  const auto clusters = section<ClustersConfigDump>(dump);
  ASSERT_EQ(clusters.static_clusters_size(), 1);
  EXPECT_EQ(content_of<Cluster>(clusters.static_clusters(0).cluster()).name(), "app");
  EXPECT_TRUE(clusters.static_clusters(0).has_last_updated());
  const auto listeners = section<ListenersConfigDump>(dump);
  EXPECT_EQ(content_of<Listener>(listeners.static_listeners(0).listener()).name(), "edge");
  const auto routes = section<RoutesConfigDump>(dump);
  ASSERT_EQ(routes.static_route_configs_size(), 1);
  EXPECT_EQ(content_of<envoy::config::route::v3::RouteConfiguration>(routes.static_route_configs(0).route_config()).name(), "r");
  EXPECT_EQ(section<SecretsConfigDump>(dump).static_secrets(0).name(), "cert");
}

TEST(ConfigDump, SecretsAreUnreadable) {
  FakeGateway gateway;
  auto secret = std::make_shared<envoy::extensions::transport_sockets::tls::v3::Secret>();
  secret->set_name("tickets");
  secret->mutable_session_ticket_keys()->add_keys()->set_inline_bytes("SECRET");
  gateway.discovered.secrets = {{.name = "tickets", .version = "1", .updated = kUpdated, .content = secret}};
  const std::string text = print_json(dump_of(gateway), Defaults::kLeftOut);
  EXPECT_THAT(text, Not(HasSubstr("SECRET")));
  EXPECT_THAT(text, Not(HasSubstr("U0VDUkVU")));
  EXPECT_THAT(text, HasSubstr("\"inline_string\": \"[redacted]\""));
  EXPECT_THAT(text, HasSubstr("\"inline_bytes\": \"W3JlZGFjdGVkXQ==\""));  // the same in base64
}

TEST(ConfigDump, ShowsWhatDiscoveryBrought) {
  FakeGateway gateway;
  auto warming = resource<Cluster>("w", ResourceState::kWarming);
  warming.refused = refused();
  gateway.discovered = {
      .clusters_version = "8",
      .clusters = {resource<Cluster>("c"), warming},
      .routes = {resource<envoy::config::route::v3::RouteConfiguration>("r")},
      .secrets = {resource<envoy::extensions::transport_sockets::tls::v3::Secret>("s"),
                  resource<envoy::extensions::transport_sockets::tls::v3::Secret>("t", ResourceState::kWarming)}};
  const auto dump = dump_of(gateway);
  const auto clusters = section<ClustersConfigDump>(dump);
  EXPECT_EQ(clusters.version_info(), "8");
  ASSERT_EQ(clusters.dynamic_active_clusters_size(), 1);
  EXPECT_EQ(clusters.dynamic_active_clusters(0).version_info(), "7");
  EXPECT_EQ(clusters.dynamic_active_clusters(0).last_updated().seconds(), 1);
  EXPECT_EQ(clusters.dynamic_active_clusters(0).last_updated().nanos(), 500'000'000);
  EXPECT_EQ(content_of<Cluster>(clusters.dynamic_active_clusters(0).cluster()).name(), "c");
  ASSERT_EQ(clusters.dynamic_warming_clusters_size(), 1);
  const auto& failure = clusters.dynamic_warming_clusters(0).error_state();
  EXPECT_EQ(failure.details(), "no such cluster");
  EXPECT_EQ(failure.version_info(), "8");
  EXPECT_TRUE(failure.failed_configuration().Is<Cluster>());
  EXPECT_EQ(section<RoutesConfigDump>(dump).dynamic_route_configs_size(), 1);
  EXPECT_EQ(section<SecretsConfigDump>(dump).dynamic_active_secrets(0).name(), "s");
  EXPECT_EQ(section<SecretsConfigDump>(dump).dynamic_warming_secrets(0).name(), "t");
}

TEST(ConfigDump, AListenersStatesStandUnderItsName) {
  FakeGateway gateway;
  DynamicResource unread{.name = "new", .version = "", .content = nullptr, .refused = refused()};
  gateway.discovered.listeners = {resource<Listener>("l"), resource<Listener>("l", ResourceState::kWarming),
                                  resource<Listener>("l", ResourceState::kDraining), unread};
  gateway.discovered.listeners_version = "9";
  const auto listeners = section<ListenersConfigDump>(dump_of(gateway));
  EXPECT_EQ(listeners.version_info(), "9");
  ASSERT_EQ(listeners.dynamic_listeners_size(), 2);
  const auto& known = listeners.dynamic_listeners(0);
  EXPECT_EQ(known.name(), "l");
  EXPECT_EQ(content_of<Listener>(known.active_state().listener()).name(), "l");
  EXPECT_EQ(known.active_state().version_info(), "7");
  EXPECT_TRUE(known.has_warming_state());
  EXPECT_TRUE(known.has_draining_state());
  EXPECT_FALSE(known.has_error_state());
  EXPECT_EQ(listeners.dynamic_listeners(1).name(), "new");
  EXPECT_FALSE(listeners.dynamic_listeners(1).has_active_state());
  EXPECT_EQ(listeners.dynamic_listeners(1).error_state().details(), "no such cluster");
}

TEST(ConfigDump, EndpointsAreThoseOfLoadBalancing) {
  FakeGateway gateway;
  gateway.app->localities = {{{.region = "eu", .zone = "a", .sub_zone = {}}, 0, 3}};
  gateway.app->endpoints[0].weight = 5;
  gateway.endpoint->set(report::EndpointFault::kEjected, true, *gateway.cluster);
  auto dump = section<EndpointsConfigDump>(dump_of(gateway, {.include_eds = true}));
  ASSERT_EQ(dump.static_endpoint_configs_size(), 1);
  const auto assignment = content_of<ClusterLoadAssignment>(dump.static_endpoint_configs(0).endpoint_config());
  EXPECT_EQ(assignment.cluster_name(), "app");
  const auto& group = assignment.endpoints(0);
  EXPECT_EQ(group.locality().zone(), "a");
  EXPECT_EQ(group.load_balancing_weight().value(), 3u);
  EXPECT_EQ(group.lb_endpoints(0).endpoint().address().socket_address().port_value(), 8000u);
  EXPECT_EQ(group.lb_endpoints(0).load_balancing_weight().value(), 5u);
  EXPECT_EQ(group.lb_endpoints(0).health_status(), envoy::config::core::v3::UNHEALTHY);
}

TEST(ConfigDump, EndpointsOfDiscoveryHaveTheirVersion) {
  FakeGateway gateway;
  gateway.app->added_via_api = true;
  auto cluster = std::make_shared<Cluster>();
  cluster->set_name("app");
  cluster->mutable_eds_cluster_config()->set_service_name("app.service");
  gateway.discovered.clusters = {{.name = "app", .version = "7", .content = cluster}};
  gateway.discovered.endpoints = {{.name = "app.service", .version = "11", .updated = kUpdated, .content = nullptr}};
  const auto dump = section<EndpointsConfigDump>(dump_of(gateway, {.include_eds = true}));
  EXPECT_EQ(dump.static_endpoint_configs_size(), 0);
  ASSERT_EQ(dump.dynamic_endpoint_configs_size(), 1);
  EXPECT_EQ(dump.dynamic_endpoint_configs(0).version_info(), "11");
  EXPECT_EQ(content_of<ClusterLoadAssignment>(dump.dynamic_endpoint_configs(0).endpoint_config()).cluster_name(), "app.service");
}

TEST(ConfigDump, NamesAreChosenByAnExpressionForAllOfThem) {
  FakeGateway gateway;
  gateway.discovered.clusters = {resource<Cluster>("app2"), resource<Cluster>("other")};
  const auto clusters = section<ClustersConfigDump>(dump_of(gateway, {.name_regex = "app."}));
  EXPECT_EQ(clusters.static_clusters_size(), 0) << "app alone is matched in part only";
  ASSERT_EQ(clusters.dynamic_active_clusters_size(), 1);
  EXPECT_EQ(content_of<Cluster>(clusters.dynamic_active_clusters(0).cluster()).name(), "app2");
  EXPECT_EQ(section<ListenersConfigDump>(dump_of(gateway, {.name_regex = "app."})).static_listeners_size(), 0);
  EXPECT_EQ(section<RoutesConfigDump>(dump_of(gateway, {.name_regex = "app."})).static_route_configs_size(), 0);
  EXPECT_EQ(section<SecretsConfigDump>(dump_of(gateway, {.name_regex = "app."})).static_secrets_size(), 0);
  EXPECT_EQ(error_of({.name_regex = "("}).status, 400);
}

TEST(ConfigDump, AResourceIsItsElements) {
  const FakeGateway gateway;
  const auto dump = dump_of(gateway, {.resource = "static_listeners"});
  ASSERT_EQ(dump.configs_size(), 1);
  EXPECT_EQ(content_of<ListenersConfigDump::StaticListener>(dump.configs(0)).listener().type_url(),
            "type.googleapis.com/envoy.config.listener.v3.Listener");
  EXPECT_EQ(dump_of(gateway, {.resource = "dynamic_route_configs"}).configs_size(), 0);
  EXPECT_EQ(error_of({.resource = "nothing"}).status, 404);
  EXPECT_EQ(error_of({.resource = "nothing"}).text, "nothing not found in config dump");
  EXPECT_EQ(error_of({.resource = "bootstrap"}).status, 400);
  EXPECT_EQ(error_of({.resource = "bootstrap"}).text,
            "bootstrap is not a repeated field. Use ?mask=bootstrap to get only this field");
  EXPECT_EQ(error_of({.resource = "static_endpoint_configs"}).status, 404) << "without include_eds";
}

TEST(ConfigDump, AMaskIsForTheSectionsThatHaveItsFields) {
  const FakeGateway gateway;
  const auto dump = dump_of(gateway, {.mask = "bootstrap.node.id"});
  ASSERT_EQ(dump.configs_size(), 1);
  const auto bootstrap = content_of<envoy::admin::v3::BootstrapConfigDump>(dump.configs(0)).bootstrap();
  EXPECT_EQ(bootstrap.node().id(), "n1");
  EXPECT_EQ(bootstrap.node().cluster(), "");
  EXPECT_FALSE(bootstrap.has_static_resources());
  EXPECT_EQ(error_of({.mask = "nothing"}).status, 400);
  EXPECT_EQ(error_of({.mask = "nothing"}).text, "FieldMask nothing could not be successfully applied to any configs.");
}

TEST(ConfigDump, AMaskReachesIntoTheContentOfAResource) {
  FakeGateway gateway;
  gateway.given.mutable_static_resources()->mutable_clusters(0)->set_alt_stat_name("alt");
  gateway.given.mutable_static_resources()->mutable_clusters(0)->mutable_connect_timeout()->set_seconds(1);
  const auto dump = dump_of(gateway, {.resource = "static_clusters", .mask = "cluster.name,cluster.alt_stat_name"});
  const auto element = content_of<ClustersConfigDump::StaticCluster>(dump.configs(0));
  EXPECT_FALSE(element.has_last_updated());
  const auto cluster = content_of<Cluster>(element.cluster());
  EXPECT_EQ(cluster.alt_stat_name(), "alt");
  EXPECT_FALSE(cluster.has_connect_timeout());
  EXPECT_EQ(error_of({.resource = "static_clusters", .mask = "cluster.nothing"}).status, 400);
  EXPECT_EQ(error_of({.resource = "static_clusters", .mask = "nothing"}).status, 400);
}

TEST(InitDump, NamesWhatWarmingListenersWaitFor) {
  FakeGateway gateway;
  auto warming = resource<Listener>("edge", ResourceState::kWarming);
  warming.waits_for = {"rds r", "sds cert"};
  gateway.discovered.listeners = {resource<Listener>("other"), warming};
  const auto dump = init_dump(gateway, std::nullopt);
  ASSERT_EQ(dump.unready_targets_dumps_size(), 1);
  EXPECT_EQ(dump.unready_targets_dumps(0).name(), "edge");
  EXPECT_THAT(dump.unready_targets_dumps(0).target_names(), ElementsAre("rds r", "sds cert"));
  EXPECT_EQ(init_dump(gateway, "listener").unready_targets_dumps_size(), 1);
  EXPECT_EQ(init_dump(gateway, "cluster").unready_targets_dumps_size(), 0);
}

}  // namespace
}  // namespace millrace::agent
