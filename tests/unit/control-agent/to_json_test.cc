#include "control-agent/to_json.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include "control-agent/loader.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"

namespace millrace::agent {
namespace {

template <typename Message>
std::string round_trip(const std::string& json) {
  Message message;
  SourceMap places;
  Diagnostics diagnostics(&places);
  EXPECT_TRUE(parse_text(json, "f", {}, message, places, diagnostics)) << diagnostics.errors().at(0).to_string();
  return to_json(message).dump();
}

TEST(ToJson, UsesOriginalNamesAndLeavesOutWhatIsNotSet) {
  EXPECT_EQ(round_trip<envoy::config::core::v3::Node>(R"({"userAgentName":"a","id":""})"), R"({"user_agent_name":"a"})");
}

TEST(ToJson, WritesEveryKindAsTheMappingSays) {
  using envoy::config::route::v3::RouteAction;
  EXPECT_EQ(round_trip<RouteAction>(R"({"cluster":"a","priority":1,"timeout":"0.250s","max_internal_redirects":3})"),
            R"({"cluster":"a","timeout":"0.250s","priority":"HIGH","max_internal_redirects":3})");
  EXPECT_EQ(round_trip<envoy::config::route::v3::HeaderMatcher>(R"({"name":"a","range_match":{"start":-1,"end":"5"}})"),
            R"({"name":"a","range_match":{"start":"-1","end":"5"}})");
  EXPECT_EQ(round_trip<envoy::config::core::v3::HeaderValue>(R"({"raw_value":"aGk"})"), R"({"raw_value":"aGk="})");
  EXPECT_EQ(round_trip<envoy::config::core::v3::Node>(R"({"metadata":{"l":[1,true,null,"x",{"k":0.5}]}})"),
            R"({"metadata":{"l":[1.0,true,null,"x",{"k":0.5}]}})");
}

TEST(ToJson, SortsTheKeysOfMaps) {
  EXPECT_EQ(round_trip<envoy::config::core::v3::Node>(R"({"metadata":{"b":"2","c":"3","a":"1"}})"),
            R"({"metadata":{"a":"1","b":"2","c":"3"}})");
}

TEST(ToJson, UnpacksAnys) {
  const std::string router =
      R"({"@type":"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router","suppress_envoy_headers":true})";
  EXPECT_EQ(round_trip<google::protobuf::Any>(router), router);
  const std::string duration = R"({"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"})";
  EXPECT_EQ(round_trip<google::protobuf::Any>(duration), duration);
}

TEST(ToJson, KeepsUnknownAndBrokenAnysAsBase64) {
  const std::string unknown = R"({"@type":"type.googleapis.com/some.Thing","value":"aGk="})";
  EXPECT_EQ(round_trip<google::protobuf::Any>(unknown), unknown);
  google::protobuf::Any broken;
  broken.set_type_url("type.googleapis.com/envoy.extensions.filters.http.router.v3.Router");
  broken.set_value("\xff");
  EXPECT_EQ(to_json(broken)["value"], "/w==");
}

TEST(ToJson, WritesEnumNumbersWithoutNames) {
  envoy::config::route::v3::RouteAction action;
  action.set_priority(static_cast<envoy::config::core::v3::RoutingPriority>(9));
  EXPECT_EQ(to_json(action).dump(), R"({"priority":9})");
}

}  // namespace
}  // namespace millrace::agent
