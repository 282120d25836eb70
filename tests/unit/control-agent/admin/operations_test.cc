// Pages that change something, and the runtime that one of them changes.
#include "control-agent/admin/operations.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/admin/fake_gateway.h"

namespace millrace::agent {
namespace {

using ::testing::HasSubstr;

RuntimeLayers layers_of(const std::string& json) {
  envoy::config::bootstrap::v3::LayeredRuntime message;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &message).ok());
  return RuntimeLayers(message);
}

TEST(Logging, ShowsAndSetsTheOneLoggerThereIs) {
  FakeGateway gateway;
  EXPECT_EQ(change_logging(gateway, {}).text, "active loggers:\n  main: info\n\n");
  EXPECT_EQ(change_logging(gateway, {{"level", "debug"}}).text, "active loggers:\n  main: debug\n\n");
  EXPECT_EQ(change_logging(gateway, {{"main", "info"}}).status, 200);
  EXPECT_EQ(gateway.current_level, "info");
  EXPECT_EQ(change_logging(gateway, {{"paths", "main:debug"}}).status, 200);
  EXPECT_EQ(gateway.current_level, "debug");
}

TEST(Logging, SaysWhatIsWrong) {
  FakeGateway gateway;
  for (const Parameters& wrong :
       {Parameters{{"level", "loud"}}, Parameters{{"rbac", "debug"}}, Parameters{{"paths", "main:debug,rbac:debug"}},
        Parameters{{"paths", "main"}}, Parameters{{"level", "debug"}, {"main", "debug"}}}) {
    const Answer answer = change_logging(gateway, wrong);
    EXPECT_EQ(answer.status, 400) << answer.text;
    EXPECT_THAT(answer.text, testing::StartsWith("error: "));
    EXPECT_EQ(gateway.current_level, "info");
  }
}

TEST(DrainListeners, IsGracefulOnRequest) {
  FakeGateway gateway;
  EXPECT_EQ(drain_listeners(gateway, {}).text, "OK\n");
  EXPECT_EQ(gateway.drained_gracefully, false);
  EXPECT_EQ(drain_listeners(gateway, {{"graceful", ""}}).status, 200);
  EXPECT_EQ(gateway.drained_gracefully, true);
}

TEST(DrainListeners, StayingIsRefused) {
  FakeGateway gateway;
  EXPECT_EQ(drain_listeners(gateway, {{"skip_exit", ""}}).text, "skip_exit requires graceful\n");
  EXPECT_EQ(drain_listeners(gateway, {{"skip_exit", ""}, {"graceful", ""}}).status, 400);
  EXPECT_FALSE(gateway.drained_gracefully);
}

TEST(DrainListeners, InboundOnesAreDrainedWhereThereAreNoOthers) {
  FakeGateway gateway;
  EXPECT_EQ(drain_listeners(gateway, {{"inboundonly", ""}}).status, 200);
  EXPECT_FALSE(gateway.drained_gracefully) << "there is none";
  auto inbound = std::make_shared<envoy::config::listener::v3::Listener>();
  inbound->set_traffic_direction(envoy::config::core::v3::INBOUND);
  gateway.discovered.listeners = {{.name = "in", .version = "", .content = inbound}};
  EXPECT_EQ(drain_listeners(gateway, {{"inboundonly", ""}}).status, 400) << "there are others";
  EXPECT_FALSE(gateway.drained_gracefully);
  gateway.given.mutable_static_resources()->clear_listeners();
  EXPECT_EQ(drain_listeners(gateway, {{"inboundonly", ""}, {"graceful", ""}}).status, 200);
  EXPECT_EQ(gateway.drained_gracefully, true);
}

TEST(RuntimeLayers, ShowEachLayerAndWhatWins) {
  auto runtime = layers_of(R"({"layers": [
    {"name": "global", "static_layer": {"a": "x", "b": {"c": 32768, "d": 0.5, "e": true},
                                        "f": {"numerator": 3, "denominator": "HUNDRED"}}},
    {"name": "admin", "admin_layer": {}}]})");
  ASSERT_EQ(modify_runtime(runtime, {{"a", "y"}, {"n", "1"}}).status, 200);
  const auto json = runtime.to_json();
  EXPECT_EQ(json["layers"].dump(), R"(["global","admin"])");
  EXPECT_EQ(json["entries"]["a"].dump(), R"({"final_value":"y","layer_values":["x","y"]})");
  EXPECT_EQ(json["entries"]["b.c"].dump(), R"({"final_value":"32768","layer_values":["32768",""]})");
  EXPECT_EQ(json["entries"]["b.d"]["final_value"], "0.5");
  EXPECT_EQ(json["entries"]["b.e"]["final_value"], "true");
  EXPECT_THAT(json["entries"]["f"]["final_value"].get<std::string>(), HasSubstr("numerator"));
  EXPECT_EQ(json["entries"]["n"]["final_value"], "1");
  ASSERT_EQ(modify_runtime(runtime, {{"a", ""}}).status, 200);
  EXPECT_EQ(runtime.to_json()["entries"]["a"]["final_value"], "x");
}

TEST(RuntimeLayers, WithoutAnyThereIsOneForTheAdministrator) {
  auto runtime = layers_of("{}");
  EXPECT_EQ(runtime.to_json().dump(), R"({"layers":[""],"entries":{}})");
  EXPECT_EQ(modify_runtime(runtime, {{"a", "1"}}).status, 200);
}

TEST(RuntimeLayers, ModificationsNeedAnAdminLayerAndAKeyThatIsReadLater) {
  auto runtime = layers_of(R"({"layers": [{"name": "s", "static_layer": {}}]})");
  const Answer answer = modify_runtime(runtime, {{"a", "1"}});
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.text, HasSubstr("No admin layer"));
  auto other = layers_of("{}");
  EXPECT_EQ(modify_runtime(other, {{"a", "1"}, {"overload.global_downstream_max_connections", "5"}}).status, 503);
  EXPECT_EQ(other.to_json()["entries"].size(), 0u) << "all or nothing";
  EXPECT_EQ(modify_runtime(other, {}).status, 400);
}

}  // namespace
}  // namespace millrace::agent
