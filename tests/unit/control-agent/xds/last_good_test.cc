// The last good configuration: what is kept of a world, and the file that keeps it.
#include "control-agent/last_good/last_good.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "control-agent/last_good/last_good_file.h"
#include "control-agent/last_good/stand_in.h"
#include "control-agent/private_data.h"
#include "tests/unit/control-agent/xds/xds_fixture.h"

namespace millrace::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

const KindKey kClusters{ResourceType::kCluster, ""};
const KindKey kRoutes{ResourceType::kRoutes, "grpc:1"};

LastGood example() {
  LastGood out;
  out.node_id = "gateway-1";
  out.node_cluster = "edge";
  for (const std::string name : {"a", "b"}) {
    ClusterMessage message;
    message.set_name(name);
    out.kinds[kClusters][name].version = "v" + name;
    out.kinds[kClusters][name].body.PackFrom(message);
  }
  out.kinds[kRoutes]["main"].body.PackFrom(RouteMessage());
  return out;
}

TEST(LastGoodFile, ComesBackAsItWas) {
  const auto back = decode_last_good(encode_last_good(example()));
  ASSERT_TRUE(back) << back.error();
  EXPECT_EQ(back->node_id, "gateway-1");
  EXPECT_EQ(back->node_cluster, "edge");
  EXPECT_EQ(back->resources(), 3u);
  ASSERT_EQ(back->kinds.count(kClusters), 1u);
  EXPECT_EQ(back->kinds.at(kClusters).at("b").version, "vb");
  ClusterMessage message;
  ASSERT_TRUE(back->kinds.at(kClusters).at("b").body.UnpackTo(&message));
  EXPECT_EQ(message.name(), "b");
}

TEST(LastGoodFile, EveryDamageIsFound) {
  const std::string good = encode_last_good(example());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(decode_last_good(bad)) << "byte " << i;
    EXPECT_FALSE(decode_last_good(good.substr(0, i))) << "cut at " << i;
  }
  EXPECT_THAT(decode_last_good(good + "x").error(), HasSubstr("does not end where it should"));
  EXPECT_THAT(decode_last_good("").error(), HasSubstr("no snapshot"));
}

class LastGoodFolder : public testing::Test {
 protected:
  LastGoodFolder() {
    std::string pattern = testing::TempDir() + "last-good-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/kept";
  }
  ~LastGoodFolder() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

TEST_F(LastGoodFolder, NoFileIsAnEmptyOne) {
  const auto read = read_last_good(path_);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->empty());
}

TEST_F(LastGoodFolder, IsReplacedAsAWholeAndBelongsToItsOwnerAlone) {
  ASSERT_TRUE(write_last_good(path_, encode_last_good(LastGood())));
  std::ofstream(path_ + ".new") << "left behind";
  ASSERT_TRUE(write_last_good(path_, encode_last_good(example())));
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  struct stat about{};
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
  EXPECT_EQ(read_last_good(path_)->resources(), 3u);
}

TEST_F(LastGoodFolder, ErrorsNameTheFileAndTheReason) {
  std::ofstream(path_) << "something else";
  EXPECT_THAT(read_last_good(path_).error(), AllOf(HasSubstr(path_), HasSubstr("no snapshot")));
  EXPECT_THAT(write_last_good(folder_ + "/missing/kept", "").error(), HasSubstr("No such file"));
}

TEST_F(LastGoodFolder, OnlyItsOwnerMayReadTheFolderOfPrivateKeys) {
  std::filesystem::permissions(folder_, std::filesystem::perms(0700));
  EXPECT_TRUE(check_last_good_folder(path_, true));
  std::filesystem::permissions(folder_, std::filesystem::perms(0750));
  EXPECT_TRUE(check_last_good_folder(path_, false));
  EXPECT_THAT(check_last_good_folder(path_, true).error(), HasSubstr("chmod 700"));
  EXPECT_THAT(check_last_good_folder(folder_ + "/missing/kept", false).error(), HasSubstr("No such file"));
  EXPECT_THAT(check_last_good_folder(folder_, false).error(), HasSubstr("name a file"));
}

TEST(PrivateData, IsWhatIsSensitiveAndNotJustNamed) {
  const auto holds = [](const std::string& yaml) {
    SecretMessage message;
    return test::resource<SecretMessage>("x", yaml).body.UnpackTo(&message) && holds_private_data(message);
  };
  EXPECT_TRUE(holds("{name: a, tls_certificate: {private_key: {inline_string: KEY}}}"));
  EXPECT_TRUE(holds("{name: a, session_ticket_keys: {keys: [{inline_bytes: AAAA}]}}"));
  EXPECT_FALSE(holds("{name: a, tls_certificate: {private_key: {filename: /keys/a.pem}}}"));
  EXPECT_FALSE(holds("{name: a, tls_certificate: {certificate_chain: {inline_string: PUBLIC}}}"));
  EXPECT_FALSE(holds("{name: a, validation_context: {trusted_ca: {inline_string: PUBLIC}}}"));
}

TEST(PrivateData, IsFoundWithinAny) {
  const std::string context =
      "{name: a, transport_socket: {name: tls, typed_config: {\"@type\": "
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {tls_certificates: "
      "[{private_key: {";
  const auto holds = [&](const std::string& key) {
    ClusterMessage message;
    return test::resource<ClusterMessage>("a", context + key + "}}]}}}}").body.UnpackTo(&message) && holds_private_data(message);
  };
  EXPECT_TRUE(holds("inline_string: KEY"));
  EXPECT_FALSE(holds("filename: /keys/a.pem"));
}

class StandInTest : public testing::Test {
 protected:
  StandIn stand_in_{example()};
  Instant now_ = Instant::from_nanoseconds(1'000'000'000);
};

TEST_F(StandInTest, SpeaksForWhoIsAskedAndSilent) {
  EXPECT_FALSE(stand_in_.speaks_for(kClusters, now_ + Duration::seconds(60))) << "nobody is asked";
  stand_in_.on_asked(kClusters, now_);
  EXPECT_FALSE(stand_in_.speaks_for(kClusters, now_));
  EXPECT_EQ(stand_in_.next_timeout(now_), now_ + StandIn::kPatience);
  EXPECT_TRUE(stand_in_.speaks_for(kClusters, now_ + StandIn::kPatience));
  stand_in_.on_answered(kClusters);
  EXPECT_FALSE(stand_in_.speaks_for(kClusters, now_ + Duration::seconds(60)));
  EXPECT_EQ(stand_in_.next_timeout(now_), Instant::never());
}

TEST_F(StandInTest, AsksNobodyAgainWhoLetAnotherQuestionWait) {
  stand_in_.on_asked(kClusters, now_);
  const Instant later = now_ + StandIn::kPatience;
  const KindKey listeners{ResourceType::kListener, ""};
  stand_in_.on_asked(listeners, later);
  EXPECT_TRUE(stand_in_.speaks_for(listeners, later));
}

TEST_F(StandInTest, DoesNotWaitForAStreamThatHasEnded) {
  stand_in_.on_asked(kClusters, now_);
  stand_in_.on_asked(kRoutes, now_);
  stand_in_.on_closed("");
  EXPECT_TRUE(stand_in_.speaks_for(kClusters, now_));
  EXPECT_FALSE(stand_in_.speaks_for(kRoutes, now_)) << "is another source";
  stand_in_.on_answered(kClusters);
  EXPECT_FALSE(stand_in_.speaks_for(kClusters, now_));
}

TEST_F(StandInTest, SaysWhatThereWasAndThatTheRestIsNot) {
  EXPECT_THAT(stand_in_.say_all(kClusters).resources, SizeIs(2));
  const XdsResponse some = stand_in_.say(kClusters, {"b", "c"});
  ASSERT_THAT(some.resources, SizeIs(1));
  EXPECT_EQ(some.resources[0].name.text(), "b");
  EXPECT_THAT(some.removed, ElementsAre("c"));
  EXPECT_THAT(stand_in_.say({ResourceType::kSecret, ""}, {"x"}).removed, ElementsAre("x"));
}

TEST_F(StandInTest, WhoKnowsNothingNeverSpeaks) {
  StandIn none;
  none.on_asked(kClusters, now_);
  none.on_closed("");
  EXPECT_FALSE(none.speaks_for(kClusters, now_ + Duration::seconds(60)));
}

}  // namespace
}  // namespace millrace::agent
