#include "dataplane/proxy/policy/rate_limit.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy::testing {
namespace {

using Action = config::RateLimitAction;
using Kind = Action::Kind;
using Entries = std::vector<std::pair<std::string, std::string>>;

Action action(Kind kind, std::string key, std::string value = {}) {
  Action out;
  out.kind = kind;
  out.key = std::move(key);
  out.value = std::move(value);
  return out;
}

/// The descriptor of GET /a?p=1 with x-user: ann, from `client`, to the cluster "origin".
Entries describe_by(std::vector<Action> actions, std::string_view client = "198.18.3.77") {
  Memory memory;
  http::RequestHead head(memory.arena, 10);
  head.method = "GET";
  head.path = "/a?p=1";
  EXPECT_TRUE(head.headers.add_copy("x-user", "ann"));
  const IpAddress ip = *IpAddress::parse(client);
  const config::RateLimit limit{.stage = 0, .actions = std::move(actions)};
  std::span<const RateLimitEntry> entries;
  EXPECT_TRUE(describe(limit, {head, ip, "origin", 0}, memory.arena, entries));
  Entries out;
  for (const RateLimitEntry& entry : entries) out.emplace_back(entry.key, entry.value);
  return out;
}

Action header(std::string name, bool skip_if_absent = false) {
  Action out = action(Kind::kRequestHeader, "user");
  out.header = std::move(name);
  out.skip_if_absent = skip_if_absent;
  return out;
}

Action match(std::string name, bool expect) {
  Action out = action(Kind::kHeaderMatch, "match", "yes");
  config::HeaderMatcher matcher;
  matcher.name = std::move(name);
  out.headers = {matcher};
  out.expect_match = expect;
  return out;
}

TEST(RateLimitDescriptor, HasAnEntryForEachAction) {
  EXPECT_EQ(describe_by({action(Kind::kConstant, "generic_key", "v"), action(Kind::kDestinationCluster, "destination_cluster"),
                         action(Kind::kRemoteAddress, "remote_address"), header("x-user"), header(":path")}),
            (Entries{{"generic_key", "v"},
                     {"destination_cluster", "origin"},
                     {"remote_address", "198.18.3.77"},
                     {"user", "ann"},
                     {"user", "/a?p=1"}}));
}

TEST(RateLimitDescriptor, MasksAddresses) {
  Action masked = action(Kind::kMaskedRemoteAddress, "net");
  EXPECT_EQ(describe_by({masked}), (Entries{{"net", "198.18.3.77/32"}}));
  masked.v4_bits = 24;
  masked.v6_bits = 64;
  EXPECT_EQ(describe_by({masked}), (Entries{{"net", "198.18.3.0/24"}}));
  EXPECT_EQ(describe_by({masked}, "2001:db8:1:2:3::4"), (Entries{{"net", "2001:db8:1:2::/64"}}));
}

TEST(RateLimitDescriptor, ThereIsNoneWhereAnActionFindsNothing) {
  const Action constant = action(Kind::kConstant, "k", "v");
  EXPECT_EQ(describe_by({constant, header("x-none")}), Entries{});
  EXPECT_EQ(describe_by({constant, header("x-none", true)}), (Entries{{"k", "v"}})) << "but for an entry that may be left out";
}

TEST(RateLimitDescriptor, MatchesAreEntriesToo) {
  EXPECT_EQ(describe_by({match("x-user", true)}), (Entries{{"match", "yes"}}));
  EXPECT_EQ(describe_by({match("x-user", false)}), Entries{});
  EXPECT_EQ(describe_by({match("x-none", false)}), (Entries{{"match", "yes"}}));
  Action query = action(Kind::kQueryMatch, "query", "yes");
  query.query_parameters = {{.name = "p", .present_only = true, .string = {}}};
  EXPECT_EQ(describe_by({query}), (Entries{{"query", "yes"}}));
  query.query_parameters[0].name = "q";
  EXPECT_EQ(describe_by({query}), Entries{});
}

TEST(RateLimitDescriptor, IsFoundByAllOfItsEntriesInOrder) {
  std::vector<config::LocalRateLimit::Descriptor> descriptors;
  for (const config::RateLimitDescriptor& entries :
       {config::RateLimitDescriptor{{"a", "1"}}, {{"a", "1"}, {"b", "2"}}, {{"a", "2"}}, {{"b", "2"}, {"a", "1"}}}) {
    descriptors.push_back({.entries = entries, .bucket = {}});
  }
  const auto found = [&](std::vector<RateLimitEntry> entries) {
    const auto* descriptor = find_descriptor(descriptors, entries);
    return descriptor == nullptr ? -1 : static_cast<int>(descriptor - descriptors.data());
  };
  EXPECT_EQ(found({{"a", "1"}}), 0);
  EXPECT_EQ(found({{"a", "1"}, {"b", "2"}}), 1);
  EXPECT_EQ(found({{"a", "2"}}), 2);
  EXPECT_EQ(found({{"b", "2"}, {"a", "1"}}), 3);
  EXPECT_EQ(found({{"b", "2"}}), -1);
  EXPECT_EQ(found({{"a", "1"}, {"b", "3"}}), -1);
}

TEST(RateLimitDescriptor, SaysSoWhenThereIsNoMemory) {
  NoMemory memory;
  http::RequestHead head(memory.arena, 10);
  const IpAddress ip = IpAddress::v4(198, 18, 0, 1);
  std::span<const RateLimitEntry> entries;
  EXPECT_FALSE(describe({.stage = 0, .actions = {action(Kind::kRemoteAddress, "a")}}, {head, ip, "", 0}, memory.arena, entries));
}

}  // namespace
}  // namespace millrace::proxy::testing
