// What is sent for one type: Envoy's "xDS REST and gRPC protocol".
#include "control-agent/xds/type_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using test::delta;
using test::response;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> requests(TypeStream& stream) {
  std::vector<std::string> out;
  while (stream.has_request()) out.push_back(test::ScriptedTransport::to_text(*stream.next_request()));
  return out;
}

XdsResource held(const std::string& name, const std::string& version) {
  return {.name = name, .version = version, .body = {}, .has_body = true, .ttl = {}};
}

TEST(SotwTypeStream, AWildcardAsksForNoNames) {
  SotwTypeStream stream(ResourceType::kCluster, true);
  stream.on_open();
  EXPECT_THAT(requests(stream), ElementsAre("Cluster"));
  EXPECT_THAT(requests(stream), IsEmpty());
}

TEST(SotwTypeStream, AcknowledgesWithVersionAndNonce) {
  SotwTypeStream stream(ResourceType::kCluster, true);
  stream.on_open();
  (void)requests(stream);
  stream.answer(response(ResourceType::kCluster, "7", "a"), std::nullopt);
  EXPECT_THAT(requests(stream), ElementsAre("Cluster v=7 n=a"));
}

TEST(SotwTypeStream, RejectsWithTheVersionBeforeAndTheReasonOnce) {
  SotwTypeStream stream(ResourceType::kCluster, true);
  stream.on_open();
  (void)requests(stream);
  stream.answer(response(ResourceType::kCluster, "7", "a"), std::nullopt);
  stream.answer(response(ResourceType::kCluster, "8", "b"), "bad");
  EXPECT_THAT(requests(stream), ElementsAre("Cluster v=7 n=b error: bad"));
  stream.answer(response(ResourceType::kCluster, "9", "c"), std::nullopt);
  EXPECT_THAT(requests(stream), ElementsAre("Cluster v=9 n=c"));
}

TEST(SotwTypeStream, NamesAreSentAsAWholeAndNeverAskedForByNone) {
  SotwTypeStream stream(ResourceType::kAssignment, false);
  stream.on_open();
  EXPECT_THAT(requests(stream), IsEmpty()) << "no names would mean all";
  stream.want({"b", "a"});
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment a b"));
  stream.want({"a", "b"});
  EXPECT_THAT(requests(stream), IsEmpty());
  stream.want({"c"});
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment c"));
  stream.want({});
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment")) << "the server is told that nothing is wanted any more";
}

TEST(SotwTypeStream, AVersionSurvivesTheStreamAndANonceDoesNot) {
  SotwTypeStream stream(ResourceType::kAssignment, false);
  stream.on_open();
  stream.want({"a"});
  (void)requests(stream);
  stream.answer(response(ResourceType::kAssignment, "7", "n1"), std::nullopt);
  stream.on_open();
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment v=7 a"));
}

TEST(DeltaTypeStream, SaysOnlyWhatHasChanged) {
  DeltaTypeStream stream(ResourceType::kAssignment, false);
  stream.on_open();
  EXPECT_THAT(requests(stream), IsEmpty());
  stream.want({"a", "b"});
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment +a +b"));
  stream.want({"b", "c"});
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment +c -a"));
  EXPECT_THAT(requests(stream), IsEmpty());
}

TEST(DeltaTypeStream, EachResponseIsAnsweredByItsOwnNonce) {
  DeltaTypeStream stream(ResourceType::kCluster, true);
  stream.on_open();
  EXPECT_THAT(requests(stream), ElementsAre("Cluster"));
  stream.answer(delta(response(ResourceType::kCluster, "1", "x")), std::nullopt);
  stream.answer(delta(response(ResourceType::kCluster, "2", "y")), "bad");
  EXPECT_THAT(requests(stream), ElementsAre("Cluster n=x", "Cluster n=y error: bad"));
}

TEST(DeltaTypeStream, ANewStreamNamesTheVersionsThatAreHeld) {
  DeltaTypeStream stream(ResourceType::kAssignment, false);
  stream.want({"a", "b", "c", "d"});
  stream.on_open();
  (void)requests(stream);
  stream.answer(delta(response(ResourceType::kAssignment, "1", "x", {held("a", "1"), held("b", "2"), held("d", "3")})),
                std::nullopt);
  stream.answer(delta(response(ResourceType::kAssignment, "2", "y", {held("a", "5")})), "bad");
  stream.answer(delta(response(ResourceType::kAssignment, "3", "z", {}, {"b"})), std::nullopt);
  stream.want({"a", "b", "c"});
  (void)requests(stream);
  stream.on_open();
  EXPECT_THAT(requests(stream), ElementsAre("ClusterLoadAssignment +a +b +c a@1"))
      << "neither what was rejected, nor what was removed, nor what nobody wants";
}

TEST(DeltaTypeStream, AHeartbeatIsNoVersion) {
  DeltaTypeStream stream(ResourceType::kCluster, true);
  stream.on_open();
  (void)requests(stream);
  stream.answer(delta(response(ResourceType::kCluster, "1", "x", {held("a", "1")})), std::nullopt);
  XdsResource heartbeat = held("a", "");
  heartbeat.has_body = false;
  stream.answer(delta(response(ResourceType::kCluster, "1", "y", {heartbeat})), std::nullopt);
  (void)requests(stream);
  stream.on_open();
  EXPECT_THAT(requests(stream), ElementsAre("Cluster a@1"));
}

}  // namespace
}  // namespace millrace::agent
