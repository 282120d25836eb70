// What real control planes have said (tests/data/xds), said again to the client: every response is taken, or what is refused of
// it stands here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "tests/unit/control-agent/xds/xds_conversation.h"
#include "tests/unit/control-agent/xds/xds_script.h"

namespace millrace::agent {
namespace {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Of the connection managers of listeners.
void remove_access_logs(XdsResponse& response) {
  for (XdsResource& resource : response.resources) {
    ListenerMessage listener;
    if (!resource.body.UnpackTo(&listener)) continue;
    for (auto& chain : *listener.mutable_filter_chains()) {
      for (auto& filter : *chain.mutable_filters()) {
        HttpConnectionManager manager;
        if (!filter.typed_config().UnpackTo(&manager)) continue;
        manager.clear_access_log();
        filter.mutable_typed_config()->PackFrom(manager);
      }
    }
    resource.body.PackFrom(listener);
  }
}

/// Says all of a conversation; what was refused, a line each.
std::vector<std::string> play(const std::string& name, bool with_access_logs = true) {
  test::Conversation conversation(name.ends_with("-delta"), true);
  std::vector<std::string> refused;
  for (auto& [file, response] : test::recorded(name)) {
    if (!with_access_logs) remove_access_logs(response);
    const auto type = resource_type(response.type_url);
    // Scopes are asked for when there is a listener that has any: those of the test server are refused for their access logs.
    const bool is_unwanted = type == ResourceType::kScope && with_access_logs;
    const std::string error = conversation.say(std::move(response));
    EXPECT_TRUE(conversation.is_heard() || is_unwanted || !type) << file;
    if (!error.empty()) refused.push_back(file + ": " + error);
  }
  return refused;
}

class XdsCaptures : public testing::TestWithParam<std::string> {};

std::string name_of(const testing::TestParamInfo<std::string>& test) {
  std::string name = test.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

TEST_P(XdsCaptures, AreTaken) { EXPECT_THAT(play(GetParam()), IsEmpty()); }

INSTANTIATE_TEST_SUITE_P(Conversations, XdsCaptures,
                         testing::Values("go-control-plane-sotw", "go-control-plane-example-delta", "istiod-gateway-sotw",
                                         "istiod-gateway-delta", "istiod-plain-gateway-sotw", "istiod-plain-gateway-delta",
                                         "istiod-update-gateway-delta"),
                         name_of);

// What is refused of the others: docs/xds.md has the list.
class XdsCapturesOfATestServer : public XdsCaptures {};

TEST_P(XdsCapturesOfATestServer, AreTakenButForAccessLogsOverGrpc) {
  for (const std::string& refused : play(GetParam())) {
    EXPECT_THAT(refused, ContainsRegex("^...-LDS.pb: "));
    std::istringstream errors(refused.substr(12));
    for (std::string error; std::getline(errors, error, ';');)
      EXPECT_THAT(error, AnyOf(HasSubstr("access_loggers.grpc.v3.HttpGrpcAccessLogConfig"), HasSubstr("and more")));
  }
}

TEST_P(XdsCapturesOfATestServer, WithoutThemAreTaken) { EXPECT_THAT(play(GetParam(), false), IsEmpty()); }

INSTANTIATE_TEST_SUITE_P(Conversations, XdsCapturesOfATestServer,
                         testing::Values("go-control-plane-delta", "go-control-plane-ads-sotw", "go-control-plane-by-type-sotw"),
                         name_of);

class XdsCapturesOfSidecars : public XdsCaptures {};

TEST_P(XdsCapturesOfSidecars, AreTakenButForWhatTakesThePlaceOfASidecar) {
  const auto refused = play(GetParam());
  ASSERT_THAT(refused, SizeIs(2));
  EXPECT_THAT(refused[0], ContainsRegex("^001-CDS.pb: "));
  EXPECT_THAT(refused[1], ContainsRegex("^003-LDS.pb: "));
  for (const std::string& one : refused) {
    std::istringstream errors(one.substr(12));
    for (std::string error; std::getline(errors, error, ';');)
      EXPECT_THAT(error,
                  AnyOf(HasSubstr("bound|9080||\".upstream_bind_config"), HasSubstr("PassthroughCluster\".upstream_bind_config"),
                        HasSubstr("listener_filters[1].filter_disabled"), HasSubstr("bind_to_port: must be true")));
  }
}

INSTANTIATE_TEST_SUITE_P(Conversations, XdsCapturesOfSidecars,
                         testing::Values("istiod-sidecar-sotw", "istiod-sidecar-delta", "istiod-plain-sidecar-sotw",
                                         "istiod-plain-sidecar-delta", "pilot-agent-xds-delta"),
                         name_of);

// What nobody has asked for teaches the fuzzer nothing.
TEST(XdsSeeds, AreHeardAndTaken) {
  int seeds = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/fuzz/corpus/xds_fuzz")) {
    SCOPED_TRACE(entry.path().filename().string());
    std::ifstream file(entry.path(), std::ios::binary);
    test::XdsScript script;
    ASSERT_TRUE(script.parse(std::string(std::istreambuf_iterator<char>(file), {})));
    test::Conversation conversation(script.is_delta, true);
    for (auto& response : script.responses) {
      const std::string type = response.type_url();
      EXPECT_EQ(conversation.say(take_response(std::move(response))), "") << type;
      EXPECT_TRUE(conversation.is_heard()) << type;
    }
    ++seeds;
  }
  EXPECT_GE(seeds, 7);
}

}  // namespace
}  // namespace millrace::agent
