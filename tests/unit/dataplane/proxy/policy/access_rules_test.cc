#include "dataplane/proxy/policy/access_rules.h"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/proxy/policy/policy_support.h"
#include "tls/handshake.h"

namespace millrace::proxy {
namespace {

using config::AccessCondition;
using config::AccessPolicy;
using config::AccessRules;
using Action = AccessRules::Action;
using Which = AccessCondition::Address::Which;

config::StringMatcher text(std::string_view exact, config::StringMatcher::Kind kind = config::StringMatcher::Kind::kExact) {
  config::StringMatcher matcher;
  matcher.kind = kind;
  matcher.text = exact;
  return matcher;
}

AccessCondition any() { return {AccessCondition::Any{}}; }
AccessCondition no(AccessCondition condition) { return {AccessCondition::Not{{std::move(condition)}}}; }
AccessCondition method(std::string_view name) {
  config::HeaderMatcher matcher;
  matcher.name = ":method";
  matcher.kind = config::HeaderMatcher::Kind::kString;
  matcher.string = text(name);
  return {matcher};
}
AccessCondition path(std::string_view exact) { return {AccessCondition::UrlPath{text(exact)}}; }
AccessCondition principal(std::string_view name) { return {AccessCondition::Authenticated{text(name)}}; }

/// "GET /reviews?page=2" from 10.1.2.3 by way of a proxy 192.0.2.1, to 198.18.0.2:8443.
class AccessRulesTest : public ::testing::Test {
 protected:
  AccessRulesTest() {
    head_.method = "GET";
    head_.path = "/reviews?page=2";
    info_.downstream_local = *SocketAddress::parse("198.18.0.2:8443");
    info_.downstream_remote = *SocketAddress::parse("10.1.2.3:5000");
    info_.downstream_peer = *SocketAddress::parse("203.0.113.9:7000");
    info_.downstream_direct_remote = *SocketAddress::parse("192.0.2.1:6000");
    info_.server_name = "reviews.example";
  }

  void show_certificate(std::vector<tls::SubjectName> names) {
    auto peer = std::make_shared<tls::PeerCertificate>();
    peer->names = std::move(names);
    peer->subject = "CN=me";
    session_.peer = peer;
    info_.downstream_tls = &session_;
  }

  bool holds(const AccessCondition& condition) { return proxy::holds(condition, {info_, &head_, 0}); }
  bool holds_for_connection(const AccessCondition& condition) { return proxy::holds(condition, {info_, nullptr, 0}); }
  bool address(Which which, std::string_view prefix) {
    return holds({AccessCondition::Address{which, *IpPrefix::parse(prefix)}});
  }
  AccessVerdict judge(Action action, std::vector<AccessPolicy> policies) {
    return proxy::judge(rules_ = {action, std::move(policies)}, {info_, &head_, 0});
  }

  ChunkPool chunks_{1, 8, 0};
  Arena arena_{chunks_};
  http::RequestHead head_{arena_, 100};
  StreamInfo info_;
  tls::SessionFacts session_;
  AccessRules rules_;
};

TEST_F(AccessRulesTest, ConditionsOnTheRequest) {
  EXPECT_TRUE(holds(method("GET")));
  EXPECT_FALSE(holds(method("PUT")));
  EXPECT_TRUE(holds(path("/reviews"))) << "without the query";
  EXPECT_FALSE(holds(path("/reviews?page=2")));
}

TEST_F(AccessRulesTest, ConditionsOnTheRequestNeverHoldForAConnection) {
  EXPECT_FALSE(holds_for_connection(method("GET")));
  EXPECT_FALSE(holds_for_connection(path("/reviews")));
  EXPECT_TRUE(holds_for_connection(no(method("GET"))));
}

TEST_F(AccessRulesTest, EachAddressIsItsOwn) {
  EXPECT_TRUE(address(Which::kLocal, "198.18.0.0/24"));
  EXPECT_FALSE(address(Which::kLocal, "10.0.0.0/8"));
  EXPECT_TRUE(address(Which::kRemote, "10.0.0.0/8"));
  EXPECT_TRUE(address(Which::kPeer, "203.0.113.0/24"));
  EXPECT_FALSE(address(Which::kPeer, "10.0.0.0/8"));
  EXPECT_TRUE(address(Which::kDirectRemote, "192.0.2.1/32"));
  EXPECT_FALSE(address(Which::kDirectRemote, "10.0.0.0/8"));
  EXPECT_FALSE(address(Which::kRemote, "::/0")) << "of the other family";
  info_.downstream_remote = SocketAddress::of_pipe("/run/edge.sock");
  EXPECT_FALSE(address(Which::kRemote, "::/0")) << "a Unix socket";
}

TEST_F(AccessRulesTest, PortsAndServerNames) {
  EXPECT_TRUE(holds({AccessCondition::LocalPort{8443, 8444}}));
  EXPECT_FALSE(holds({AccessCondition::LocalPort{8000, 8443}})) << "the end is not in it";
  EXPECT_TRUE(holds({AccessCondition::ServerName{text("reviews.example")}}));
  EXPECT_FALSE(holds({AccessCondition::ServerName{text("other.example")}}));
}

TEST_F(AccessRulesTest, APrincipalIsAnyNameOfTheCertificateOrItsSubject) {
  const AccessCondition anybody{AccessCondition::Authenticated{}};
  EXPECT_FALSE(holds(anybody)) << "plain text";
  EXPECT_FALSE(holds(principal("spiffe://cluster.local/ns/a/sa/b")));
  show_certificate({{tls::NameKind::kUri, "spiffe://cluster.local/ns/a/sa/b"}, {tls::NameKind::kDns, "b.example"}});
  EXPECT_TRUE(holds(anybody));
  EXPECT_TRUE(holds(principal("spiffe://cluster.local/ns/a/sa/b")));
  EXPECT_TRUE(holds(principal("b.example")));
  EXPECT_TRUE(holds(principal("CN=me")));
  EXPECT_FALSE(holds(principal("spiffe://cluster.local/ns/a/sa/c")));
}

TEST_F(AccessRulesTest, AClientWithoutACertificateHasNoName) {
  info_.downstream_tls = &session_;
  EXPECT_TRUE(holds({AccessCondition::Authenticated{}}));
  EXPECT_FALSE(holds(principal("CN=me")));
  EXPECT_FALSE(holds({AccessCondition::Authenticated{text("spiffe://", config::StringMatcher::Kind::kPrefix)}}));
}

TEST_F(AccessRulesTest, TreesOfConditions) {
  EXPECT_TRUE(holds({AccessCondition::All{{method("GET"), path("/reviews")}}}));
  EXPECT_FALSE(holds({AccessCondition::All{{method("GET"), path("/other")}}}));
  EXPECT_TRUE(holds({AccessCondition::OneOf{{method("PUT"), path("/reviews")}}}));
  EXPECT_FALSE(holds({AccessCondition::OneOf{{method("PUT"), no(path("/reviews"))}}}));
}

TEST_F(AccessRulesTest, AllowMeansWhatMatchesAndNothingElse) {
  EXPECT_TRUE(judge(Action::kAllow, {{"p", method("GET"), any()}}).allowed);
  EXPECT_FALSE(judge(Action::kAllow, {{"p", method("PUT"), any()}}).allowed);
  EXPECT_FALSE(judge(Action::kAllow, {{"p", method("GET"), no(any())}}).allowed) << "the principal has to match, too";
  EXPECT_FALSE(judge(Action::kAllow, {}).allowed) << "without policies nobody may do anything";
}

TEST_F(AccessRulesTest, DenyMeansAllButWhatMatches) {
  EXPECT_FALSE(judge(Action::kDeny, {{"p", method("GET"), any()}}).allowed);
  EXPECT_TRUE(judge(Action::kDeny, {{"p", method("PUT"), any()}}).allowed);
  EXPECT_TRUE(judge(Action::kDeny, {}).allowed);
}

TEST_F(AccessRulesTest, LogAllowsEverything) {
  const AccessVerdict matched = judge(Action::kLog, {{"p", method("GET"), any()}});
  EXPECT_TRUE(matched.allowed);
  EXPECT_NE(matched.policy, nullptr);
  const AccessVerdict unmatched = judge(Action::kLog, {{"p", method("PUT"), any()}});
  EXPECT_TRUE(unmatched.allowed);
  EXPECT_EQ(unmatched.policy, nullptr);
}

TEST_F(AccessRulesTest, DetailsNameThePolicy) {
  const AccessVerdict denied = judge(Action::kDeny, {{"other", method("PUT"), any()}, {"no GETs\there", method("GET"), any()}});
  EXPECT_EQ(access_denied_details(denied, arena_), "rbac_access_denied_matched_policy[no_GETs_here]");
  EXPECT_EQ(access_denied_details(judge(Action::kAllow, {}), arena_), "rbac_access_denied_matched_policy[none]");
}

}  // namespace
}  // namespace millrace::proxy
