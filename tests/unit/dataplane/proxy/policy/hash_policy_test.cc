#include "dataplane/proxy/policy/hash_policy.h"

#include <gtest/gtest.h>

#include <bit>

#include "config/model/route.h"
#include "dataplane/base/hash.h"
#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using config::HashPolicy;
using Source = HashPolicy::Source;
using testing::NoMemory;
using testing::Request;

HashPolicy header(const std::string& name) {
  return {.source = Source::kHeader, .name = name, .rewrite = {}, .cookie_attributes = {}};
}
HashPolicy parameter(const std::string& name) {
  return {.source = Source::kQueryParameter, .name = name, .rewrite = {}, .cookie_attributes = {}};
}
HashPolicy cookie(const std::string& name, std::optional<std::string> attributes = {}) {
  return {.source = Source::kCookie, .name = name, .rewrite = {}, .cookie_attributes = std::move(attributes)};
}

StreamInfo info() {
  StreamInfo out;
  out.downstream_remote = {IpAddress::v4(10, 0, 0, 1), 0};
  out.downstream_direct_remote = {IpAddress::v4(198, 18, 0, 1), 1234};
  out.downstream_local = {IpAddress::v4(198, 18, 0, 2), 80};
  return out;
}

std::optional<std::uint64_t> hash(const config::HashPolicies& policies, Request& request) {
  return hash_of(policies, request.head, info(), 0, request.arena).hash;
}

TEST(HashPolicy, TakesAHeadersValue) {
  Request request("/", {{"x-user", "alice"}});
  EXPECT_EQ(hash({header("x-user")}, request), xx_hash_64("alice"));
  EXPECT_EQ(hash({header("x-other")}, request), std::nullopt);
  EXPECT_EQ(hash({header(":authority")}, request), xx_hash_64("example.com"));
  EXPECT_EQ(hash({header(":path")}, request), xx_hash_64("/"));
  EXPECT_EQ(hash({}, request), std::nullopt);
}

TEST(HashPolicy, TakesSeveralFieldsInWhateverOrder) {
  Request one("/", {{"x-user", "alice"}, {"x-user", "bob"}});
  Request other("/", {{"x-user", "bob"}, {"x-user", "alice"}});
  EXPECT_EQ(hash({header("x-user")}, one), xx_hash_64("bob", xx_hash_64("alice")));
  EXPECT_EQ(hash({header("x-user")}, one), hash({header("x-user")}, other));
}

TEST(HashPolicy, RewritesAHeadersValue) {
  HashPolicy policy = header("x-user");
  policy.rewrite = std::make_shared<config::RegexRewrite>(config::RegexRewrite{testing::regex("@.*"), ""});
  Request request("/", {{"x-user", "alice@example.com"}});
  EXPECT_EQ(hash({policy}, request), xx_hash_64("alice"));
}

TEST(HashPolicy, TakesAQueryParameter) {
  Request request("/a?b=1&user=al%20ice&user=bob&empty#user=no");
  EXPECT_EQ(hash({parameter("user")}, request), xx_hash_64("al%20ice")) << "the first, as it stands there";
  EXPECT_EQ(hash({parameter("empty")}, request), xx_hash_64(""));
  EXPECT_EQ(hash({parameter("other")}, request), std::nullopt);
}

TEST(HashPolicy, TakesTheClientsAddress) {
  Request request;
  EXPECT_EQ(hash({{.source = Source::kSourceIp, .name = {}, .rewrite = {}, .cookie_attributes = {}}}, request),
            xx_hash_64("10.0.0.1"));
}

TEST(HashPolicy, AUnixSocketHasNoAddressToTake) {
  Request request;
  StreamInfo of_pipe = info();
  of_pipe.downstream_remote = SocketAddress::of_pipe("/run/edge.sock");
  const config::HashPolicies policies{{.source = Source::kSourceIp, .name = {}, .rewrite = {}, .cookie_attributes = {}}};
  EXPECT_EQ(hash_of(policies, request.head, of_pipe, 0, request.arena).hash, std::nullopt);
}

TEST(HashPolicy, TakesACookie) {
  Request request("/", {{"cookie", "a=1;  user=\"alice\"; b"}, {"cookie", "late=2"}});
  EXPECT_EQ(hash({cookie("user")}, request), xx_hash_64("alice"));
  EXPECT_EQ(hash({cookie("late")}, request), xx_hash_64("2"));
  EXPECT_EQ(hash({cookie("b")}, request), std::nullopt);
  EXPECT_EQ(hash({cookie("use")}, request), std::nullopt);
}

TEST(HashPolicy, MakesACookieForAClientWithoutOne) {
  Request request;
  const RequestHash made = hash_of({cookie("user", "; Max-Age=9; HttpOnly")}, request.head, info(), 0, request.arena);
  char id[17];
  std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(xx_hash_64("198.18.0.1:1234198.18.0.2:80")));
  ASSERT_NE(made.cookies, nullptr);
  EXPECT_EQ(made.cookies->value, "user=\"" + std::string(id) + "\"; Max-Age=9; HttpOnly");
  EXPECT_EQ(made.cookies->next, nullptr);
  EXPECT_EQ(made.hash, xx_hash_64(id));
  // The client comes back with it.
  Request next("/", {{"cookie", "user=\"" + std::string(id) + "\""}});
  const RequestHash known = hash_of({cookie("user", "; HttpOnly")}, next.head, info(), 0, next.arena);
  EXPECT_EQ(known.hash, made.hash);
  EXPECT_EQ(known.cookies, nullptr);
}

TEST(HashPolicy, CombinesPoliciesInTheirOrder) {
  Request request("/?q=1", {{"x-user", "alice"}});
  const std::uint64_t first = xx_hash_64("alice");
  EXPECT_EQ(hash({header("x-user"), header("x-none"), parameter("q")}, request), std::rotl(first, 1) ^ xx_hash_64("1"));
  EXPECT_NE(hash({header("x-user"), header("x-user")}, request), 0u) << "equal ones do not cancel each other out";
  HashPolicy last = header("x-user");
  last.terminal = true;
  EXPECT_EQ(hash({last, parameter("q")}, request), first);
  last.name = "x-none";
  EXPECT_EQ(hash({last, parameter("q")}, request), xx_hash_64("1")) << "it has found nothing: the next is asked";
}

TEST(HashPolicy, WithoutMemoryThereIsNoHash) {
  Request request("/", {{"x-user", "alice"}});
  NoMemory none;
  const RequestHash made = hash_of({header("x-user"), cookie("c", "")}, request.head, info(), 0, none.arena);
  EXPECT_FALSE(made.hash);
  EXPECT_EQ(made.cookies, nullptr);
}

}  // namespace
}  // namespace millrace::proxy
