// What good and bad tokens leave in the stream's metadata for other filters.
#include <gtest/gtest.h>

#include "dataplane/base/limits.h"
#include "dataplane/proxy/filters/jwt_verifier.h"
#include "nic/heap_pool.h"
#include "tests/support/jwt_signer.h"

namespace millrace::proxy {
namespace {

using Kind = config::JwtRequirement::Kind;

struct NoActions final : FilterActions {
  void resume_request(Instant) override {}
  void resume_bodies(Instant) override {}
  void answer(const LocalReply&, Instant) override {}
  void choose_route_again() override {}
  SharedTokenBucket* connection_bucket(std::uint32_t) override { return nullptr; }
  std::optional<ClusterHealth> cluster_health(std::string_view) const override { return std::nullopt; }
  bool fails_health_checks() const override { return false; }
};

/// One request, and a filter with one provider.
struct Stream {
  Stream() {
    config::JwtProvider provider;
    provider.name = "a";
    provider.keys.push_back({.id = "", .algorithm = "", .key = signer.key()});
    provider.locations = {
        {.kind = config::JwtLocation::Kind::kHeader, .name = "authorization", .prefix = "Bearer ", .issuers = {}}};
    provider.payload_key = "payload";
    provider.header_key = "header";
    provider.failed_key = "failed";
    filter.providers.push_back(provider);
    filter.locations = provider.locations;
  }

  JwtStatus verify(const std::string& token) { return verify(token, filter); }
  JwtStatus verify(const std::string& token, const config::JwtAuthn& by) {
    head.headers.clear();
    EXPECT_TRUE(token.empty() || head.headers.add_copy("authorization", "Bearer " + token));
    JwtVerifier verifier(by, head, context, 1'000);
    const JwtStatus status = verifier.satisfy({.kind = Kind::kProvider});
    EXPECT_TRUE(verifier.publish_metadata());
    return status;
  }
  JwtStatus verify_claims(std::string_view claims) { return verify(signer.token("HS256", claims, R"("kid": "k")")); }

  /// The metadata's member at "a.b.c" as JSON; "" when it is not there.
  std::string left(std::string_view path) {
    const MetadataValue* value = info.metadata.find("envoy.filters.http.jwt_authn");
    while (value != nullptr && !path.empty()) {
      value = value->member(path.substr(0, path.find('.')));
      path.remove_prefix(std::min(path.size(), path.substr(0, path.find('.')).size() + 1));
    }
    return value == nullptr ? "" : std::string(write_json(*value, arena));
  }

  test::JwtSigner signer{"oct"};
  config::JwtAuthn filter;
  ChunkPool pool{4, 64, 8};
  Arena arena{pool};
  http::RequestHead head{arena, 100};
  NoActions actions;
  StreamInfo info;
  MutationLevels levels{};
  report::HttpCell cell{0, "ingress", 1};
  TimerWheel timers{Instant()};
  Rng rng{1};
  nic::HeapPool packets{4};
  stream::ChainPool chains{packets, 1, 4};
  BlockHeap codings{0};
  JsonReader json{limits::kJwtBytes};
  FilterContext context{.actions = actions,
                        .arena = arena,
                        .info = info,
                        .levels = levels,
                        .cell = cell,
                        .timers = timers,
                        .rng = rng,
                        .chains = chains,
                        .codings = codings,
                        .json = json,
                        .hostname = {},
                        .wall_offset_nanoseconds = 0,
                        .worker = 0};
};

TEST(JwtMetadata, PayloadAndHeaderOfAGoodToken) {
  Stream stream;
  EXPECT_EQ(stream.verify_claims(R"({"sub": "a", "n": 1.5, "deep": {"list": [true, null]}})"), JwtStatus::kOk);
  EXPECT_EQ(stream.left("payload.sub"), R"("a")");
  EXPECT_EQ(stream.left("payload.n"), "1.5");
  EXPECT_EQ(stream.left("payload.deep.list"), "[true,null]");
  EXPECT_EQ(stream.left("header.kid"), R"("k")");
  EXPECT_EQ(stream.left("failed"), "");
}

TEST(JwtMetadata, WordsOfAClaimAsAList) {
  Stream stream;
  stream.filter.providers[0].space_delimited_claims = {"scope", "empty", "number", "absent"};
  EXPECT_EQ(stream.verify_claims(R"({"scope": " email  profile ", "empty": "", "number": 1, "other": "a b"})"), JwtStatus::kOk);
  EXPECT_EQ(stream.left("payload.scope"), R"(["email","profile"])");
  EXPECT_EQ(stream.left("payload.empty"), R"("")");
  EXPECT_EQ(stream.left("payload.number"), "1");
  EXPECT_EQ(stream.left("payload.other"), R"("a b")");
}

TEST(JwtMetadata, WhyATokenFailed) {
  Stream stream;
  EXPECT_EQ(stream.verify_claims(R"({"exp": 1})"), JwtStatus::kExpired);
  EXPECT_EQ(stream.left("failed.code"), "3");
  EXPECT_EQ(stream.left("failed.message"), R"("Jwt is expired")");
  EXPECT_EQ(stream.left("payload"), "");
  EXPECT_EQ(stream.verify(""), JwtStatus::kMissing);
  EXPECT_EQ(stream.left("failed.code"), "1") << "the latest counts";
}

TEST(JwtMetadata, WhatAnEarlierFilterLeftStays) {
  Stream stream;
  EXPECT_EQ(stream.verify_claims(R"({"sub": "a"})"), JwtStatus::kOk);
  config::JwtAuthn second = stream.filter;
  second.providers[0].payload_key = "second";
  EXPECT_EQ(stream.verify(stream.signer.token("HS256", R"({"sub": "b"})"), second), JwtStatus::kOk);
  EXPECT_EQ(stream.left("payload.sub"), R"("a")");
  EXPECT_EQ(stream.left("second.sub"), R"("b")");
}

TEST(JwtMetadata, WithoutMemoryNothingPasses) {
  Stream stream;
  const std::string token = stream.signer.token("HS256", R"({"sub": "a"})");
  ChunkPool none(0, 0, 0);
  Arena empty(none);
  FilterContext context = {.actions = stream.actions,
                           .arena = empty,
                           .info = stream.info,
                           .levels = stream.levels,
                           .cell = stream.cell,
                           .timers = stream.timers,
                           .rng = stream.rng,
                           .chains = stream.chains,
                           .codings = stream.codings,
                           .json = stream.json,
                           .hostname = {},
                           .wall_offset_nanoseconds = 0,
                           .worker = 0};
  ASSERT_TRUE(stream.head.headers.add_copy("authorization", "Bearer " + token));
  JwtVerifier verifier(stream.filter, stream.head, context, 1'000);
  config::JwtRequirement any{.kind = Kind::kAny, .others = {{.kind = Kind::kProvider}}, .allow_failed = true};
  EXPECT_EQ(verifier.satisfy(any), JwtStatus::kNoMemory);
  JwtVerifier again(stream.filter, stream.head, context, 1'000);
  EXPECT_EQ(again.satisfy({.kind = Kind::kAllowMissingOrFailed}), JwtStatus::kNoMemory);
}

}  // namespace
}  // namespace millrace::proxy
