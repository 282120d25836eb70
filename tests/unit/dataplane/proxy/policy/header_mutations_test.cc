#include "dataplane/proxy/policy/header_mutations.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using Action = config::HeaderMutation::Action;

config::HeaderMutation mutation(std::string_view name, config::Format value, Action action = Action::kAppendIfExistsOrAdd,
                                bool keep_empty = false) {
  return {.name = std::string(name), .value = std::move(value), .action = action, .keep_empty_value = keep_empty};
}

struct Levels {
  config::RouteTable table;
  config::VirtualHost host;
  config::Route route;
  config::WeightedCluster cluster;
  MutationLevels levels() const { return {.table = &table, .virtual_host = &host, .route = &route, .cluster = &cluster}; }
};

// All fields as "name=value" in their order.
std::string text_of(const http::HeaderMap& headers) {
  std::string text;
  for (const http::HeaderField& field : headers.fields()) {
    text += (text.empty() ? "" : " ") + std::string(field.name) + "=" + std::string(field.value);
  }
  return text;
}

TEST(HeaderMutations, AppendFromTheMostSpecificLevelToTheLeast) {
  Levels all;
  all.cluster.headers.request_add.push_back(mutation("x", literal("cluster")));
  all.route.headers.request_add.push_back(mutation("x", literal("route")));
  all.host.headers.request_add.push_back(mutation("x", literal("host")));
  all.table.headers.request_add.push_back(mutation("x", literal("table")));
  Request request;
  ASSERT_TRUE(apply_request_mutations(all.levels(), request.head, {}, {}));
  EXPECT_EQ(text_of(request.head.headers), "x=cluster x=route x=host x=table");
}

TEST(HeaderMutations, TheLeastSpecificOverwritesLastUnlessReversed) {
  Levels all;
  all.route.headers.response_add.push_back(mutation("x", literal("route"), Action::kOverwriteIfExistsOrAdd));
  all.table.headers.response_add.push_back(mutation("x", literal("table"), Action::kOverwriteIfExistsOrAdd));
  Response usual;
  ASSERT_TRUE(apply_response_mutations(all.levels(), usual.head, {}, {}));
  EXPECT_EQ(text_of(usual.head.headers), "x=table");
  all.table.most_specific_header_mutations_wins = true;
  Response reversed;
  ASSERT_TRUE(apply_response_mutations(all.levels(), reversed.head, {}, {}));
  EXPECT_EQ(text_of(reversed.head.headers), "x=route");
}

TEST(HeaderMutations, EachActionOnAFieldThatIsThereAndOneThatIsNot) {
  const auto result = [](Action action, bool there) {
    Levels all;
    all.route.headers.request_add.push_back(mutation("x", literal("new"), action));
    Request request;
    if (there) {
      EXPECT_TRUE(request.head.headers.add_copy("x", "old"));
    }
    EXPECT_TRUE(apply_request_mutations(all.levels(), request.head, {}, {}));
    return text_of(request.head.headers);
  };
  EXPECT_EQ(result(Action::kAppendIfExistsOrAdd, true), "x=old x=new");
  EXPECT_EQ(result(Action::kAppendIfExistsOrAdd, false), "x=new");
  EXPECT_EQ(result(Action::kAddIfAbsent, true), "x=old");
  EXPECT_EQ(result(Action::kAddIfAbsent, false), "x=new");
  EXPECT_EQ(result(Action::kOverwriteIfExistsOrAdd, true), "x=new");
  EXPECT_EQ(result(Action::kOverwriteIfExistsOrAdd, false), "x=new");
  EXPECT_EQ(result(Action::kOverwriteIfExists, true), "x=new");
  EXPECT_EQ(result(Action::kOverwriteIfExists, false), "");
}

TEST(HeaderMutations, RemoveBeforeTheyAdd) {
  Levels all;
  all.route.headers.request_remove = {"x", "y"};
  all.route.headers.request_add.push_back(mutation("x", literal("new"), Action::kAddIfAbsent));
  Request request("/", {{"x", "1"}, {"y", "2"}, {"X", "3"}, {"z", "4"}});
  ASSERT_TRUE(apply_request_mutations(all.levels(), request.head, {}, {}));
  EXPECT_EQ(text_of(request.head.headers), "z=4 x=new");
}

TEST(HeaderMutations, AnEmptyValueIsLeftOutUnlessKept) {
  Levels all;
  all.route.headers.request_add.push_back(mutation("gone", field_format(config::FormatCommand::kReq, "x-absent")));
  all.route.headers.request_add.push_back(mutation("kept", literal(""), Action::kAppendIfExistsOrAdd, true));
  Request request;
  StreamInfo info;
  info.request = &request.head;
  ASSERT_TRUE(apply_request_mutations(all.levels(), request.head, info, {}));
  EXPECT_EQ(text_of(request.head.headers), "kept=");
}

TEST(HeaderMutations, EvaluatedValuesLoseControlCharacters) {
  Levels all;
  all.route.headers.request_add.push_back(mutation("x", field_format(config::FormatCommand::kReq, "evil")));
  Request request;
  ASSERT_TRUE(request.head.headers.add_reference(http::HeaderId::kOther, "evil", std::string_view("a\r\nb:\tc\0d\x7f", 10)));
  StreamInfo info;
  info.request = &request.head;
  ASSERT_TRUE(apply_request_mutations(all.levels(), request.head, info, {}));
  EXPECT_EQ(request.head.headers.value("x"), "ab:\tcd");
}

TEST(HeaderMutations, ValuesAreEvaluatedBeforeAnyIsWritten) {
  Levels all;
  all.route.headers.request_add.push_back(mutation("a", literal("new"), Action::kOverwriteIfExistsOrAdd));
  all.route.headers.request_add.push_back(mutation("b", field_format(config::FormatCommand::kReq, "a")));
  Request request("/", {{"a", "old"}});
  StreamInfo info;
  info.request = &request.head;
  ASSERT_TRUE(apply_request_mutations(all.levels(), request.head, info, {}));
  EXPECT_EQ(text_of(request.head.headers), "a=new b=old");
}

TEST(HeaderMutations, FailAtTheFieldLimit) {
  Levels all;
  all.route.headers.request_add.push_back(mutation("x", literal("1")));
  Memory memory;
  http::RequestHead head(memory.arena, 1);
  EXPECT_TRUE(apply_request_mutations(all.levels(), head, {}, {}));
  EXPECT_FALSE(apply_request_mutations(all.levels(), head, {}, {}));
}

}  // namespace
}  // namespace millrace::proxy
