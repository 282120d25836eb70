// Pages that change something, and the runtime that one of them changes.
#include "control-agent/admin/operations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/admin/pages.h"
#include "tests/unit/control-agent/admin/fake_gateway.h"

namespace millrace::agent {
namespace {

using ::testing::HasSubstr;

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
  EXPECT_EQ(gateway.drained, ListenerDrain::kClose);
  EXPECT_EQ(drain_listeners(gateway, {{"graceful", ""}}).status, 200);
  EXPECT_EQ(gateway.drained, ListenerDrain::kGraceful);
}

TEST(DrainListeners, ListenersMayStay) {
  FakeGateway gateway;
  EXPECT_EQ(drain_listeners(gateway, {{"skip_exit", ""}}).text, "skip_exit requires graceful\n");
  EXPECT_FALSE(gateway.drained);
  EXPECT_EQ(drain_listeners(gateway, {{"skip_exit", ""}, {"graceful", ""}}).status, 200);
  EXPECT_EQ(gateway.drained, ListenerDrain::kKeepListeners);
}

TEST(DrainListeners, InboundOnesAreDrainedWhereThereAreNoOthers) {
  FakeGateway gateway;
  EXPECT_EQ(drain_listeners(gateway, {{"inboundonly", ""}}).status, 200);
  EXPECT_FALSE(gateway.drained) << "there is none";
  auto inbound = std::make_shared<envoy::config::listener::v3::Listener>();
  inbound->set_traffic_direction(envoy::config::core::v3::INBOUND);
  gateway.discovered.listeners = {{.name = "in", .version = "", .content = inbound}};
  EXPECT_EQ(drain_listeners(gateway, {{"inboundonly", ""}}).status, 400) << "there are others";
  EXPECT_FALSE(gateway.drained);
  gateway.given.mutable_static_resources()->clear_listeners();
  EXPECT_EQ(drain_listeners(gateway, {{"inboundonly", ""}, {"graceful", ""}}).status, 200);
  EXPECT_EQ(gateway.drained, ListenerDrain::kGraceful);
}

TEST(Runtime, ShowsEachLayerAndWhatWins) {
  const auto json = runtime_json({{.name = "global", .entries = {{"a", "x"}, {"b.c", "32768"}}},
                                  {.name = "admin", .entries = {{"a", "y"}, {"b.c", ""}, {"n", "1"}}}});
  EXPECT_EQ(json["layers"].dump(), R"(["global","admin"])");
  EXPECT_EQ(json["entries"]["a"].dump(), R"({"final_value":"y","layer_values":["x","y"]})");
  EXPECT_EQ(json["entries"]["b.c"].dump(), R"({"final_value":"32768","layer_values":["32768",""]})");
  EXPECT_EQ(json["entries"]["n"].dump(), R"({"final_value":"1","layer_values":["","1"]})");
}

TEST(Runtime, IsModifiedOrSaysWhyNot) {
  FakeGateway gateway;
  EXPECT_EQ(modify_runtime(gateway, {{"a", "1"}}).status, 200);
  EXPECT_EQ(gateway.layers.back().entries.at("a"), "1");
  const Answer refused = modify_runtime(gateway, {{"refused", "1"}});
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.text, HasSubstr("No admin layer"));
  EXPECT_EQ(modify_runtime(gateway, {}).status, 400);
}

}  // namespace
}  // namespace millrace::agent
