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
    const std::string error = conversation.say(std::move(response));
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

TEST_P(XdsCapturesOfSidecars, AreTakenButForWhereConnectionsToTheApplicationStart) {
  const auto refused = play(GetParam());
  ASSERT_THAT(refused, SizeIs(1));
  std::string rest = refused[0];
  for (const char* cluster : {"inbound|9080||", "InboundPassthroughCluster"}) {
    const std::string line = "Cluster \"" + std::string(cluster) +
                             "\".upstream_bind_config: is not supported yet: connections start at the address of their port";
    const auto at = rest.find(line);
    ASSERT_NE(at, std::string::npos) << rest;
    rest.erase(at, line.size());
  }
  EXPECT_EQ(rest, "001-CDS.pb: ; ");
}

INSTANTIATE_TEST_SUITE_P(Conversations, XdsCapturesOfSidecars,
                         testing::Values("istiod-sidecar-sotw", "istiod-sidecar-delta", "istiod-plain-sidecar-sotw",
                                         "istiod-plain-sidecar-delta", "pilot-agent-xds-delta"),
                         name_of);

}  // namespace
}  // namespace millrace::agent
