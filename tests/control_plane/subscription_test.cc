// What a stream is told, in both forms: wildcards, names, nonces, what is told again and what is not.
#include "tests/control_plane/subscription.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace millrace::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kClusters = *find_type_url("CDS");
const std::string kRoutes = *find_type_url("RDS");

Resource resource(const std::string& name, const std::string& content = "x") {
  google::protobuf::Any body;
  body.set_type_url("type.googleapis.com/test");
  body.set_value(content);
  return {.name = name, .version = {}, .body = body, .ttl = {}};
}

std::vector<std::string> names(const std::optional<Response>& response) {
  std::vector<std::string> list;
  if (!response) return {"(no response)"};
  for (const Resource& each : response->resources) list.push_back(each.name);
  return list;
}

/// A client that answers each response before the next.
class Client {
 public:
  Client(Form form, const std::string& type, const Style& style = {}) : style_(style), type_(type) {
    subscription_ = make_subscription(form, type, style_);
  }

  Client& asks(std::vector<std::string> wanted, std::vector<std::string> unsubscribed = {}) {
    request_.type_url = type_;
    request_.names = std::move(wanted);
    request_.unsubscribed = std::move(unsubscribed);
    subscription_->take(request_);
    return *this;
  }
  Client& knows(std::map<std::string, std::string> versions) {
    request_.initial_versions = std::move(versions);
    return *this;
  }
  Client& claims(std::string version) {
    request_.version_info = std::move(version);
    return *this;
  }
  std::optional<Response> hears(const Snapshot& snapshot) {
    auto response = subscription_->due(*snapshot.find(type_));
    if (response) {
      request_.nonce = std::to_string(++count_);
      subscription_->sent(request_.nonce);
      request_.initial_versions.clear();
    }
    return response;
  }
  void accepts() { answer(std::nullopt); }
  void rejects() { answer(Rejection{.code = 3, .message = "no"}); }
  void answers_nonce(const std::string& nonce) {
    Request answer = request_;
    answer.nonce = nonce;
    subscription_->take(answer);
  }
  Client& keeps_names_when_it_answers() {
    keeps_names_ = true;
    return *this;
  }

 private:
  void answer(std::optional<Rejection> rejection) {
    Request answer = request_;
    answer.rejection = std::move(rejection);
    if (!keeps_names_) answer.names.clear();
    answer.unsubscribed.clear();
    subscription_->take(answer);
  }

  Style style_;
  std::string type_;
  std::unique_ptr<Subscription> subscription_;
  Request request_;
  int count_ = 0;
  bool keeps_names_ = false;
};

Client world(const std::string& type, const Style& style = {}) {
  Client client(Form::kStateOfTheWorld, type, style);
  client.keeps_names_when_it_answers();
  return client;
}

TEST(WorldSubscription, WithoutNamesMeansAllClustersAndNoRoutes) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a"), resource("b")}, false);
  snapshot.replace(kRoutes, "1", {resource("a")}, false);
  EXPECT_THAT(names(world(kClusters).asks({}).hears(snapshot)), ElementsAre("a", "b"));
  EXPECT_FALSE(world(kRoutes).asks({}).hears(snapshot));
  EXPECT_THAT(names(world(kRoutes).asks({"*"}).hears(snapshot)), ElementsAre("a"));
}

TEST(WorldSubscription, AnEmptyListAfterNamesMeansNothing) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a"), resource("b")}, false);
  Client client = world(kClusters);
  EXPECT_THAT(names(client.asks({"b"}).hears(snapshot)), ElementsAre("b"));
  client.asks({});
  snapshot.replace(kClusters, "2", {resource("b", "new")}, false);
  EXPECT_FALSE(client.hears(snapshot));
}

TEST(WorldSubscription, ANewNameIsAnsweredWithAllThatAreWanted) {
  Snapshot snapshot;
  snapshot.replace(kRoutes, "1", {resource("a"), resource("b"), resource("c")}, false);
  Client client = world(kRoutes);
  EXPECT_THAT(names(client.asks({"a"}).hears(snapshot)), ElementsAre("a"));
  client.accepts();
  EXPECT_FALSE(client.hears(snapshot));
  EXPECT_THAT(names(client.asks({"a", "c"}).hears(snapshot)), ElementsAre("a", "c"));
  client.accepts();
  EXPECT_FALSE(client.asks({"c"}).hears(snapshot)) << "fewer names are no question";
}

TEST(WorldSubscription, AChangeWaitsForTheAnswerToTheLast) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a")}, false);
  Client client = world(kClusters);
  ASSERT_TRUE(client.asks({}).hears(snapshot));
  snapshot.replace(kClusters, "2", {resource("a")}, false);
  EXPECT_FALSE(client.hears(snapshot));
  client.accepts();
  EXPECT_EQ(client.hears(snapshot)->version, "2");
}

TEST(WorldSubscription, AnswersToAnOlderResponseCountForNothing) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a")}, false);
  Client client = world(kClusters);
  ASSERT_TRUE(client.asks({}).hears(snapshot));
  client.accepts();
  snapshot.replace(kClusters, "2", {resource("a")}, false);
  ASSERT_TRUE(client.hears(snapshot));
  snapshot.replace(kClusters, "3", {resource("a")}, false);
  client.answers_nonce("1");
  EXPECT_FALSE(client.hears(snapshot));
  client.answers_nonce("2");
  EXPECT_EQ(client.hears(snapshot)->version, "3");
}

TEST(WorldSubscription, ARejectedVersionIsSentAgainOnlyInThatStyle) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a")}, false);
  Client client = world(kClusters);
  ASSERT_TRUE(client.asks({}).hears(snapshot));
  client.rejects();
  EXPECT_FALSE(client.hears(snapshot));
  Client other = world(kClusters, {.resends_after_nack = true});
  ASSERT_TRUE(other.asks({}).hears(snapshot));
  other.rejects();
  EXPECT_EQ(other.hears(snapshot)->version, "1");
}

TEST(WorldSubscription, AKnownVersionIsSkippedOnlyInThatStyle) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "7", {resource("a")}, false);
  EXPECT_TRUE(world(kClusters).claims("7").asks({}).hears(snapshot));
  EXPECT_TRUE(world(kClusters, {.skips_known_version = true}).claims("6").asks({}).hears(snapshot));
  Client client = world(kClusters, {.skips_known_version = true});
  EXPECT_FALSE(client.claims("7").asks({}).hears(snapshot));
  snapshot.replace(kClusters, "8", {resource("a")}, false);
  EXPECT_EQ(client.hears(snapshot)->version, "8");
}

TEST(DeltaSubscription, TellsWhatChangedAndWhatIsGone) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a"), resource("b"), resource("c")}, false);
  Client client(Form::kDelta, kClusters);
  EXPECT_THAT(names(client.asks({}).hears(snapshot)), ElementsAre("a", "b", "c"));
  client.accepts();
  snapshot.replace(kClusters, "2", {resource("a"), resource("b", "new")}, false);
  const auto second = client.hears(snapshot);
  EXPECT_THAT(names(second), ElementsAre("b"));
  EXPECT_THAT(second->removed, ElementsAre("c"));
  EXPECT_EQ(second->version, "2");
  client.accepts();
  snapshot.replace(kClusters, "3", {resource("a"), resource("b", "new")}, false);
  EXPECT_FALSE(client.hears(snapshot)) << "the same content is no change";
  snapshot.replace(kClusters, "4", {resource("a"), resource("b", "new")}, true);
  EXPECT_THAT(names(client.hears(snapshot)), ElementsAre("a", "b")) << "unless all of it is touched";
}

TEST(DeltaSubscription, KnowsWhatAClientKnows) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "2", {resource("a"), resource("b")}, false);
  Client client(Form::kDelta, kClusters);
  const auto first = client.knows({{"a", "2"}, {"b", "1"}, {"gone", "1"}}).asks({}).hears(snapshot);
  EXPECT_THAT(names(first), ElementsAre("b"));
  EXPECT_THAT(first->removed, ElementsAre("gone"));
}

TEST(DeltaSubscription, AnswersAWildcardEvenWithNothing) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {}, false);
  snapshot.replace(kRoutes, "1", {}, false);
  EXPECT_THAT(names(Client(Form::kDelta, kClusters).asks({}).hears(snapshot)), IsEmpty());
  EXPECT_FALSE(Client(Form::kDelta, kRoutes).asks({}).hears(snapshot));
}

TEST(DeltaSubscription, SaysThatANameDoesNotExistOnce) {
  Snapshot snapshot;
  snapshot.replace(kRoutes, "1", {resource("a")}, false);
  Client client(Form::kDelta, kRoutes);
  const auto first = client.asks({"a", "none"}).hears(snapshot);
  EXPECT_THAT(names(first), ElementsAre("a"));
  EXPECT_THAT(first->removed, ElementsAre("none"));
  client.accepts();
  EXPECT_FALSE(client.hears(snapshot));
  snapshot.update(kRoutes, "2", {resource("none")}, {}, false);
  EXPECT_THAT(names(client.hears(snapshot)), ElementsAre("none"));
}

TEST(DeltaSubscription, AskedAgainItTellsAgain) {
  Snapshot snapshot;
  snapshot.replace(kRoutes, "1", {resource("a"), resource("b")}, false);
  Client client(Form::kDelta, kRoutes);
  ASSERT_TRUE(client.asks({"a", "b"}).hears(snapshot));
  client.accepts();
  EXPECT_THAT(names(client.asks({"b"}).hears(snapshot)), ElementsAre("b"));
  client.accepts();
  client.asks({}, {"b"});
  snapshot.update(kRoutes, "2", {resource("b", "new")}, {}, false);
  EXPECT_FALSE(client.hears(snapshot)) << "nobody wants it any more";
}

TEST(DeltaSubscription, LeavesTheWildcardAndKeepsNames) {
  Snapshot snapshot;
  snapshot.replace(kClusters, "1", {resource("a"), resource("b")}, false);
  Client client(Form::kDelta, kClusters);
  EXPECT_THAT(names(client.asks({"*", "b"}).hears(snapshot)), ElementsAre("a", "b"));
  client.accepts();
  client.asks({}, {"*"});
  snapshot.replace(kClusters, "2", {resource("a", "new"), resource("b", "new")}, false);
  EXPECT_THAT(names(client.hears(snapshot)), ElementsAre("b"));
}

}  // namespace
}  // namespace millrace::test
