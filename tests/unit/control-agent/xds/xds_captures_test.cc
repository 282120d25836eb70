// What real control planes have said (tests/data/xds), said again to the client: every response is taken, or what is refused of
// it stands here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/unit/control-agent/xds/xds_conversation.h"

namespace millrace::agent {
namespace {

using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Says all of a conversation; what was refused, a line each.
std::vector<std::string> play(const std::string& name) {
  test::Conversation conversation(name.ends_with("-delta"));
  std::vector<std::string> refused;
  for (auto& [file, response] : test::recorded(name)) {
    // Where another stream than the recorded one carries them, in the other form of the protocol, nobody can hear them.
    const auto type = resource_type(response.type_url);
    const bool is_elsewhere =
        type == ResourceType::kSecret || (type == ResourceType::kRoutes && name.find("example") != name.npos);
    const std::string error = conversation.say(std::move(response));
    EXPECT_TRUE(conversation.is_heard() || is_elsewhere || !type) << file;
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

TEST_P(XdsCapturesOfATestServer, AreTakenButForAccessLogsOverGrpcAndScopedRoutes) {
  for (const std::string& refused : play(GetParam())) {
    EXPECT_THAT(refused, ContainsRegex("^...-LDS.pb: "));
    std::istringstream errors(refused.substr(12));
    for (std::string error; std::getline(errors, error, ';');)
      EXPECT_THAT(error, AnyOf(HasSubstr("access_loggers.grpc.v3.HttpGrpcAccessLogConfig"), HasSubstr("scoped_routes: is not"),
                               HasSubstr("give route_config"), HasSubstr("and more")));
  }
}

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

}  // namespace
}  // namespace millrace::agent
