// What a client tells of its control planes.
#include "control-agent/admin/client_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/discovery/resources.h"
#include "control-agent/loader.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "tests/unit/control-agent/admin/fake_gateway.h"

namespace millrace::agent {
namespace {

using envoy::service::status::v3::ClientStatusRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using Entry = envoy::service::status::v3::ClientConfig::GenericXdsConfig;

constexpr std::chrono::system_clock::time_point kUpdated{std::chrono::milliseconds(1500)};

ClientStatusRequest request(const std::string& yaml = "{}") {
  ClientStatusRequest out;
  SourceMap places;
  Diagnostics diagnostics(&places);
  EXPECT_TRUE(parse_text(yaml, "test", {}, out, places, diagnostics)) << yaml;
  return out;
}

/// Those of a type, by the end of its URL.
std::vector<Entry> entries(const GatewayView& gateway, const std::string& type, const std::string& asked = "{}") {
  const auto answer = client_status(gateway, request(asked));
  std::vector<Entry> out;
  for (const auto& config : answer->config()) {
    for (const Entry& entry : config.generic_xds_configs()) {
      if (entry.type_url().ends_with("." + type)) out.push_back(entry);
    }
  }
  return out;
}

template <typename Message>
DynamicResource resource(const std::string& name) {
  auto message = std::make_shared<Message>();
  message->set_name(name);
  return {.name = name, .version = "7", .updated = kUpdated, .content = message};
}

TEST(ClientStatus, SaysWhichClientItIs) {
  FakeGateway gateway;
  gateway.started_with.service_node = "other";
  const auto answer = client_status(gateway, request());
  ASSERT_THAT(answer->config(), SizeIs(1));
  EXPECT_EQ(answer->config(0).node().id(), "other");
  EXPECT_EQ(answer->config(0).node().cluster(), "c1");
  EXPECT_EQ(answer->config(0).node().user_agent_name(), "envoy");
}

TEST(ClientStatus, WhatIsOfTheBootstrapIsStatic) {
  const FakeGateway gateway;
  for (const char* type : {"Listener", "Cluster", "Secret"}) {
    const auto all = entries(gateway, type);
    ASSERT_THAT(all, SizeIs(1)) << type;
    EXPECT_TRUE(all[0].is_static_resource());
    EXPECT_TRUE(all[0].has_last_updated());
    EXPECT_TRUE(all[0].has_xds_config());
    EXPECT_EQ(all[0].client_status(), envoy::admin::v3::UNKNOWN);
    EXPECT_EQ(all[0].config_status(), envoy::service::status::v3::UNKNOWN) << "that is for servers to say";
  }
  EXPECT_EQ(entries(gateway, "Cluster")[0].name(), "app");
}

TEST(ClientStatus, SecretsAreUnreadable) {
  FakeGateway gateway;
  auto secret = std::make_shared<envoy::extensions::transport_sockets::tls::v3::Secret>();
  secret->set_name("tickets");
  secret->mutable_session_ticket_keys()->add_keys()->set_inline_bytes("SECRET");
  const RefusedUpdate refused{.version = "2", .attempted = kUpdated, .details = "bad", .content = secret};
  gateway.discovered.secrets = {{.name = "tickets", .version = "1", .updated = kUpdated, .content = secret, .refused = refused}};
  const auto answer = client_status(gateway, request());
  EXPECT_THAT(answer->SerializeAsString(), Not(HasSubstr("SECRET")));
  EXPECT_THAT(answer->SerializeAsString(), HasSubstr("[redacted]"));
}

TEST(ClientStatus, WhatAControlPlaneGaveIsAcknowledged) {
  FakeGateway gateway;
  gateway.discovered.clusters = {resource<envoy::config::cluster::v3::Cluster>("c")};
  const auto all = entries(gateway, "Cluster");
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[1].name(), "c");
  EXPECT_EQ(all[1].version_info(), "7");
  EXPECT_EQ(all[1].client_status(), envoy::admin::v3::ACKED);
  EXPECT_EQ(all[1].last_updated().seconds(), 1);
  EXPECT_FALSE(all[1].is_static_resource());
  EXPECT_FALSE(all[1].has_error_state());
  envoy::config::cluster::v3::Cluster cluster;
  ASSERT_TRUE(all[1].xds_config().UnpackTo(&cluster));
  EXPECT_EQ(cluster.name(), "c");
}

TEST(ClientStatus, WhatWasRefusedStandsBesideWhatIsInUse) {
  FakeGateway gateway;
  DynamicResource routes = resource<envoy::config::route::v3::RouteConfiguration>("r");
  routes.refused = RefusedUpdate{.version = "8", .attempted = kUpdated, .details = "no such cluster", .content = routes.content};
  gateway.discovered.routes = {routes};
  const auto all = entries(gateway, "RouteConfiguration");
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].client_status(), envoy::admin::v3::NACKED);
  EXPECT_EQ(all[0].version_info(), "7");
  EXPECT_TRUE(all[0].has_xds_config());
  EXPECT_EQ(all[0].error_state().version_info(), "8");
  EXPECT_EQ(all[0].error_state().details(), "no such cluster");
  EXPECT_TRUE(all[0].error_state().has_failed_configuration());
}

TEST(ClientStatus, WhatHasNotComeIsRequestedAndWhatIsNotThereDoesNotExist) {
  FakeGateway gateway;
  gateway.discovered.missing = {{.type = ResourceType::kAssignment, .name = "late", .is_waited_for = true},
                                {.type = ResourceType::kRoutes, .name = "none", .is_waited_for = false}};
  gateway.discovered.secrets = {{.name = "s", .version = {}, .content = nullptr, .state = ResourceState::kWarming}};
  EXPECT_EQ(entries(gateway, "ClusterLoadAssignment").at(0).client_status(), envoy::admin::v3::REQUESTED);
  EXPECT_EQ(entries(gateway, "RouteConfiguration").at(0).client_status(), envoy::admin::v3::DOES_NOT_EXIST);
  EXPECT_EQ(entries(gateway, "Secret").at(1).client_status(), envoy::admin::v3::REQUESTED);
}

TEST(ClientStatus, ContentsAreLeftOutOnRequest) {
  FakeGateway gateway;
  DynamicResource cluster = resource<envoy::config::cluster::v3::Cluster>("c");
  cluster.refused = RefusedUpdate{.version = "8", .attempted = kUpdated, .details = "bad", .content = cluster.content};
  gateway.discovered.clusters = {cluster};
  for (const Entry& entry : entries(gateway, "Cluster", "{exclude_resource_contents: true}")) {
    EXPECT_FALSE(entry.has_xds_config());
    EXPECT_FALSE(entry.error_state().has_failed_configuration());
  }
}

TEST(ClientStatus, OtherNodesAreNotAnswered) {
  const FakeGateway gateway;
  EXPECT_THAT(entries(gateway, "Cluster", "{node_matchers: [{node_id: {exact: n1}}]}"), SizeIs(1));
  EXPECT_THAT(entries(gateway, "Cluster", "{node_matchers: [{node_id: {exact: n2}}, {node_id: {prefix: N, ignore_case: true}}]}"),
              SizeIs(1));
  EXPECT_THAT(entries(gateway, "Cluster", "{node_matchers: [{}]}"), SizeIs(1)) << "it asks for nothing";
  EXPECT_THAT(client_status(gateway, request("{node_matchers: [{node_id: {exact: n2}}]}"))->config(), IsEmpty());
}

TEST(ClientStatus, SaysWhichMatchersItDoesNotHave) {
  const FakeGateway gateway;
  const auto error = [&](const std::string& asked) {
    const auto answer = client_status(gateway, request(asked));
    return answer ? "" : answer.error();
  };
  EXPECT_THAT(error("{node_matchers: [{node_metadatas: [{path: [{key: a}], value: {present_match: true}}]}]}"),
              HasSubstr("node_matchers[0].node_metadatas: are not matched"));
  EXPECT_THAT(error("{node_matchers: [{node_id: {safe_regex: {regex: \"(\"}}}]}"), HasSubstr("node_matchers[0].node_id"));
}

}  // namespace
}  // namespace millrace::agent
