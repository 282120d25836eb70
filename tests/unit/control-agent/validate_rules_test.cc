#include "control-agent/validate_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/loader.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "millrace/v1/dataplane.pb.h"

namespace millrace::agent {
namespace {

using testing::ElementsAre;

template <typename Message>
std::vector<std::string> broken(std::string_view text) {
  Message message;
  SourceMap places;
  Diagnostics parsing(&places);
  EXPECT_TRUE(parse_text(text, "f", {}, message, places, parsing)) << parsing.errors().at(0).to_string();
  Diagnostics diagnostics;
  validate_rules(message, "m", diagnostics);
  std::vector<std::string> out;
  for (const auto& error : diagnostics.errors()) out.push_back(error.to_string());
  return out;
}

using envoy::config::cluster::v3::Cluster;
using envoy::config::route::v3::RouteAction;
using envoy::config::route::v3::VirtualHost;

TEST(ValidateRules, PassesWhatIsRight) {
  EXPECT_THAT(broken<VirtualHost>("{name: a, domains: [b]}"), ElementsAre());
  EXPECT_THAT(broken<Cluster>("{name: a, connect_timeout: 1s}"), ElementsAre());
}

TEST(ValidateRules, ChecksStringsAndListSizes) {
  EXPECT_THAT(broken<VirtualHost>("{}"),
              ElementsAre("m.name: must not be empty", "m.domains: must hold at least 1 item, holds 0"));
}

TEST(ValidateRules, ChecksListItemsAtTheirIndex) {
  EXPECT_THAT(broken<VirtualHost>("{name: a, domains: [b], request_headers_to_remove: [ok, \"a\\nb\"]}"),
              ElementsAre("m.request_headers_to_remove[1]: must not hold NUL, CR or LF"));
}

TEST(ValidateRules, ChecksDurations) {
  EXPECT_THAT(broken<Cluster>("{name: a, connect_timeout: 0s}"),
              ElementsAre("m.connect_timeout: must be greater than 0s, is 0s"));
}

TEST(ValidateRules, ChecksWrappersOnlyWhenSet) {
  EXPECT_THAT(broken<millrace::v1::Workers>("{count: 0}"), ElementsAre("m.count: must be at least 1 and at most 64, is 0"));
  EXPECT_THAT(broken<millrace::v1::Workers>("{}"), ElementsAre());
}

TEST(ValidateRules, ChecksEnums) {
  EXPECT_THAT(broken<Cluster>("{name: a, lb_policy: 77}"),
              ElementsAre("m.lb_policy: 77 is not a value of envoy.config.cluster.v3.Cluster.LbPolicy"));
  EXPECT_THAT(broken<RouteAction>("{cluster: a, priority: 5}"),
              ElementsAre("m.priority: 5 is not a value of envoy.config.core.v3.RoutingPriority"));
}

TEST(ValidateRules, WantsRequiredOneofsAndMessages) {
  EXPECT_THAT(broken<envoy::config::route::v3::Route>("{match: {prefix: /}}"),
              ElementsAre("m: one of route, redirect, direct_response, filter_action, non_forwarding_action must be set"));
  EXPECT_THAT(broken<envoy::config::route::v3::Route>("{route: {cluster: a}}"), ElementsAre("m.match: must be set"));
}

TEST(ValidateRules, LeavesUnchosenMembersOfAOneofAlone) {
  EXPECT_THAT(broken<RouteAction>("{cluster: a}"), ElementsAre());
  EXPECT_THAT(broken<RouteAction>("{cluster: \"\"}"), ElementsAre("m.cluster: must not be empty"));
}

TEST(ValidateRules, GoesIntoAnysOfKnownType) {
  EXPECT_THAT(
      broken<envoy::config::listener::v3::Filter>("{name: a, typed_config: {\"@type\": "
                                                  "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog}}"),
      ElementsAre("m.typed_config.path: must not be empty"));
  EXPECT_THAT(broken<envoy::config::listener::v3::Filter>("{name: a, typed_config: {\"@type\": a/unknown.Type, value: aGk=}}"),
              ElementsAre());
}

TEST(ValidateRules, ReportsAnAnyThatDoesNotParse) {
  envoy::config::listener::v3::Filter filter;
  filter.set_name("a");
  filter.mutable_typed_config()->set_type_url("a/envoy.config.core.v3.Node");
  filter.mutable_typed_config()->set_value("\xff");
  Diagnostics diagnostics;
  validate_rules(filter, "", diagnostics);
  ASSERT_EQ(diagnostics.errors().size(), 1U);
  EXPECT_EQ(diagnostics.errors()[0].to_string(), "typed_config: does not hold a valid envoy.config.core.v3.Node");
}

TEST(ValidateRules, GoesIntoMapValues) {
  const auto errors = broken<Cluster>(
      "{name: a, typed_extension_protocol_options: {k: {\"@type\": "
      "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions}}}");
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0],
            "m.typed_extension_protocol_options[\"k\"]: one of explicit_http_config, use_downstream_protocol_config, auto_config "
            "must be set");
}

TEST(ValidateRules, ChecksOurOwnMessage) {
  EXPECT_THAT(broken<millrace::v1::Dataplane>("{}"), ElementsAre("m.ports: must hold at least 1 item, holds 0"));
  for (const char* vlan : {"0", "4095"}) {
    EXPECT_THAT(broken<millrace::v1::Port>(std::string("{name: a, tap: {interface: x}, vlan: ") + vlan + "}"),
                ElementsAre(std::string("m.vlan: must be at least 1 and at most 4094, is ") + vlan));
  }
  EXPECT_THAT(broken<millrace::v1::Port>("{name: a b, tap: {interface: x}, mtu: 100}"),
              ElementsAre("m.name: must match the pattern ^[A-Za-z0-9_-]{1,32}$",
                          "m.mtu: must be at least 1280 and at most 9216, is 100"));
}

TEST(ValidateRules, StopsAtItsBound) {
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  for (int i = 0; i < 1'000; ++i) bootstrap.mutable_static_resources()->add_clusters();
  Diagnostics diagnostics;
  validate_rules(bootstrap, "", diagnostics);
  EXPECT_EQ(diagnostics.errors().size(), kMaxConfigErrors);
}

}  // namespace
}  // namespace millrace::agent
