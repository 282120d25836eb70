// JSON Web Tokens in requests: who gets through, what the others are told, and what of a good token is told to others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/jwt_signer.h"
#include "tests/unit/dataplane/proxy/core/proxy_harness.h"

namespace millrace::proxy::test {
namespace {

using ::millrace::test::base64url;
using ::millrace::test::JwtSigner;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Kind = config::JwtRequirement::Kind;
using LocationKind = config::JwtLocation::Kind;

constexpr std::string_view kName = "envoy.filters.http.jwt_authn";
// The harness starts at 1,700,000,001.
constexpr std::string_view kClaims = R"({"iss": "issuer", "sub": "alice", "aud": ["https://shop/", "x"], "exp": 1700000600})";

const JwtSigner& signer() {
  static const JwtSigner kSigner("oct");
  return kSigner;
}
const JwtSigner& stranger() {
  static const JwtSigner kStranger("Ed25519");
  return kStranger;
}
std::string token(std::string_view claims = kClaims, std::string_view header = "") {
  return signer().token("HS256", claims, header);
}
std::string with(std::string_view text) { return "authorization: Bearer " + std::string(text) + "\r\n"; }

std::vector<config::JwtLocation> default_locations(const std::string& issuer) {
  return {{.kind = LocationKind::kHeader, .name = "authorization", .prefix = "Bearer ", .issuers = {issuer}},
          {.kind = LocationKind::kParameter, .name = "access_token", .prefix = "", .issuers = {issuer}}};
}

config::JwtProvider provider(const std::string& name, const std::string& issuer, const JwtSigner& keys) {
  config::JwtProvider out;
  out.name = name;
  out.issuer = issuer;
  out.keys.push_back({.id = "", .algorithm = "", .key = keys.key()});
  out.locations = default_locations(issuer);
  out.forward = true;
  return out;
}

config::JwtRequirement of_provider(std::uint32_t index) { return {.kind = Kind::kProvider, .provider = index}; }

/// Two providers, "a" with signer()'s key and "b" with stranger()'s; the first is asked for.
config::JwtAuthn two_providers() {
  config::JwtAuthn filter;
  filter.providers = {provider("a", "issuer", signer()), provider("b", "other", stranger())};
  filter.locations = default_locations("issuer");
  for (auto& location : filter.locations) location.issuers.emplace_back("other");
  filter.rules.push_back({.match = {}, .requirement = of_provider(0)});
  filter.rules.back().match.path.text = "/";
  return filter;
}

using Edit = std::function<void(config::JwtAuthn&)>;

ProxyHarness::Change with_filter(const Edit& edit = {}, const std::optional<config::JwtAuthnPerRoute>& of_route = {}) {
  return [=](config::Listener& listener, config::Cluster&, config::Route& route) {
    config::JwtAuthn filter = two_providers();
    if (edit) edit(filter);
    listener.chains[0].http()->filters.push_back({.name = std::string(kName), .disabled = false, .config = std::move(filter)});
    if (of_route) route.filters.entries.push_back({.name = std::string(kName), .disabled = false, .config = *of_route});
  };
}

Edit provider_with(const std::function<void(config::JwtProvider&)>& edit) {
  return [=](config::JwtAuthn& filter) { edit(filter.providers[0]); };
}

Edit requirement(const config::JwtRequirement& wanted) {
  return [=](config::JwtAuthn& filter) { filter.rules[0].requirement = wanted; };
}

/// What a gateway answers to one request, and what its origin saw of it.
struct Exchange {
  explicit Exchange(const std::string& request, const Edit& edit = {},
                    const std::optional<config::JwtAuthnPerRoute>& of_route = {})
      : proxy(with_filter(edit, of_route)) {
    proxy.origin().on_bytes([this](OriginConnection& connection) {
      seen += connection.take_received();
      if (seen.ends_with("\r\n\r\n")) connection.send(ok("fine"));
    });
    answer = proxy.exchange(request);
  }
  [[nodiscard]] bool passed() const { return answer.ends_with("fine"); }

  ProxyHarness proxy;
  std::string seen;
  std::string answer;
};

void expect_denied(const Exchange& exchange, std::string_view text, int status = 401) {
  EXPECT_THAT(exchange.answer,
              AllOf(StartsWith("HTTP/1.1 " + std::to_string(status) + " "), EndsWith("\r\n\r\n" + std::string(text))));
  EXPECT_EQ(exchange.seen, "");
}

TEST(JwtAuthn, AGoodTokenPasses) {
  Exchange exchange(get("/", with(token())));
  EXPECT_TRUE(exchange.passed()) << exchange.answer;
  EXPECT_THAT(exchange.seen, HasSubstr("authorization: Bearer "));
  EXPECT_EQ(exchange.proxy.http().jwt_authn.allowed.value(), 1u);
  EXPECT_EQ(exchange.proxy.http().jwt_authn.denied.value(), 0u);
}

TEST(JwtAuthn, WithoutATokenItSaysHowToGetIn) {
  Exchange exchange(get("/a?b=c"));
  expect_denied(exchange, "Jwt is missing");
  EXPECT_THAT(exchange.answer, HasSubstr("www-authenticate: Bearer realm=\"http://example.com/a?b=c\"\r\n"));
  EXPECT_EQ(exchange.proxy.log(), "401 - jwt_authn_access_denied{Jwt_is_missing} 0/14|");
  EXPECT_EQ(exchange.proxy.http().jwt_authn.denied.value(), 1u);
}

TEST(JwtAuthn, AWrongTokenIsToldFromAMissingOne) {
  Exchange exchange(get("/", with(stranger().token("EdDSA", kClaims))));
  expect_denied(exchange, "Jwt verification fails");
  EXPECT_THAT(exchange.answer, HasSubstr("www-authenticate: Bearer realm=\"http://example.com/\", error=\"invalid_token\"\r\n"));
  EXPECT_EQ(exchange.proxy.log(), "401 - jwt_authn_access_denied{Jwt_verification_fails} 0/22|");
}

TEST(JwtAuthn, TellsWhatIsWrongWithTheForm) {
  const auto form = [](const std::string& header, const std::string& payload, const std::string& signature = "AAAA") {
    return base64url(header) + "." + base64url(payload) + "." + signature;
  };
  const std::string header = R"({"alg": "HS256"})";
  const std::string bad_format = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"x", bad_format},
      {"a.b", bad_format},
      {"a..b", bad_format},
      {token() + ".x", bad_format},
      {token() + " tail", "Jwt signature is an invalid Base64url encoded"},
      {"a.b.c", "Jwt header is an invalid Base64url encoded"},
      {form("[]", "{}"), "Jwt header is an invalid JSON"},
      {form("{} {}", "{}"), "Jwt header is an invalid JSON"},
      {form("{}", "{}"), "Jwt header [alg] field is required and must be a string"},
      {form(R"({"alg": 1})", "{}"), "Jwt header [alg] field is required and must be a string"},
      {form(R"({"alg": "none"})", "{}"), "Jwt header [alg] is not supported"},
      {form(R"({"alg": "HS256", "kid": 1})", "{}"), "Jwt header [kid] field is not a string"},
      {base64url(header) + ".a+b.AAAA", "Jwt payload is an invalid Base64url encoded"},
      {form(header, "{"), "Jwt payload is an invalid JSON"},
      {form(header, "{\"a\": \"\xff\"}"), "Jwt payload is an invalid JSON"},
      {form(header, std::string(40, '[') + std::string(40, ']')), "Jwt payload is an invalid JSON"},
      {form(header, R"({"iss": 1})"), "Jwt payload [iss] field is not a string"},
      {form(header, R"({"sub": 1})"), "Jwt payload [sub] field is not a string"},
      {form(header, R"({"iat": "1"})"), "Jwt payload [iat] field is not an integer"},
      {form(header, R"({"iat": -1})"), "Jwt payload [iat] field is not a positive 64 bit integer"},
      {form(header, R"({"nbf": null})"), "Jwt payload [nbf] field is not an integer"},
      {form(header, R"({"nbf": 1e30})"), "Jwt payload [nbf] field is not a positive 64 bit integer"},
      {form(header, R"({"exp": true})"), "Jwt payload [exp] field is not an integer"},
      {form(header, R"({"exp": -5})"), "Jwt payload [exp] field is not a positive 64 bit integer"},
      {form(header, R"({"jti": 1})"), "Jwt payload [jti] field is not a string"},
      {form(header, R"({"aud": 1})"), "Jwt payload [aud] field is not a string or string list"},
      {form(header, R"({"aud": ["a", 1]})"), "Jwt payload [aud] field is not a string or string list"},
      {form(header, "{}", "A"), "Jwt signature is an invalid Base64url encoded"},
      {form(header, "{}"), "Jwt issuer is not configured"},
      {token(R"({"iss": "nobody"})"), "Jwt issuer is not configured"},
  };
  for (const auto& [text, told] : cases) {
    SCOPED_TRACE(text);
    expect_denied(Exchange(get("/", with(text))), told);
  }
}

TEST(JwtAuthn, TimesCountWithTheSkew) {
  const auto claims = [](const std::string& more) { return token(R"({"iss": "issuer", )" + more + "}"); };
  EXPECT_TRUE(Exchange(get("/", with(claims(R"("exp": 1699999950, "nbf": 1700000050)")))).passed());
  expect_denied(Exchange(get("/", with(claims(R"("exp": 1699999940)")))), "Jwt is expired");
  expect_denied(Exchange(get("/", with(claims(R"("exp": 0)")))), "Jwt is expired");
  expect_denied(Exchange(get("/", with(claims(R"("nbf": 1700000062)")))), "Jwt not yet valid");
  const Edit strict = provider_with([](config::JwtProvider& a) { a.clock_skew_seconds = 10; });
  expect_denied(Exchange(get("/", with(claims(R"("exp": 1699999950)"))), strict), "Jwt is expired");
}

TEST(JwtAuthn, AudiencesAreComparedWithoutSchemeAndSlash) {
  const auto wants = [](std::vector<std::string> audiences) {
    return provider_with([=](config::JwtProvider& a) { a.audiences = audiences; });
  };
  EXPECT_TRUE(Exchange(get("/", with(token())), wants({"y", "shop"})).passed());
  EXPECT_TRUE(Exchange(get("/", with(token(R"({"iss": "issuer", "aud": "http://shop"})"))), wants({"shop"})).passed());
  Exchange denied(get("/", with(token())), wants({"y"}));
  expect_denied(denied, "Audiences in Jwt are not allowed", 403);
  EXPECT_THAT(denied.answer, HasSubstr("error=\"invalid_token\""));
  expect_denied(Exchange(get("/", with(token(R"({"iss": "issuer"})"))), wants({"y"})), "Audiences in Jwt are not allowed", 403);
}

TEST(JwtAuthn, ARequirementsAudiencesReplaceTheProviders) {
  config::JwtRequirement wanted = of_provider(0);
  wanted.audiences = {"x"};
  const Edit edit = [&](config::JwtAuthn& filter) {
    filter.providers[0].audiences = {"nobody"};
    filter.rules[0].requirement = wanted;
  };
  EXPECT_TRUE(Exchange(get("/", with(token())), edit).passed());
}

TEST(JwtAuthn, SubjectsAndLifetimesAreBounded) {
  const Edit subject = provider_with([](config::JwtProvider& a) {
    a.subject =
        config::StringMatcher{.kind = config::StringMatcher::Kind::kPrefix, .text = "ali", .ignore_case = false, .regex = {}};
  });
  EXPECT_TRUE(Exchange(get("/", with(token())), subject).passed());
  expect_denied(Exchange(get("/", with(token(R"({"iss": "issuer", "sub": "bob"})"))), subject), "Jwt verification fails");
  const Edit expires = provider_with([](config::JwtProvider& a) { a.require_expiration = true; });
  EXPECT_TRUE(Exchange(get("/", with(token())), expires).passed());
  expect_denied(Exchange(get("/", with(token(R"({"iss": "issuer"})"))), expires), "Jwt verification fails");
  const auto at_most = [](int seconds) {
    return provider_with([=](config::JwtProvider& a) { a.max_lifetime = Duration::seconds(seconds); });
  };
  EXPECT_TRUE(Exchange(get("/", with(token())), at_most(600)).passed());
  expect_denied(Exchange(get("/", with(token())), at_most(599)), "Jwt verification fails");
}

TEST(JwtAuthn, KeysAreChosenByKidAndAlg) {
  const auto keys = [](std::vector<config::JsonWebKey> set) {
    return provider_with([=](config::JwtProvider& a) { a.keys = set; });
  };
  const config::JsonWebKey mine{.id = "mine", .algorithm = "HS256", .key = signer().key()};
  const config::JsonWebKey other{.id = "other", .algorithm = "", .key = stranger().key()};
  const std::string named = token(kClaims, R"("kid": "mine")");
  EXPECT_TRUE(Exchange(get("/", with(named)), keys({other, mine})).passed());
  EXPECT_TRUE(Exchange(get("/", with(token())), keys({other, mine})).passed()) << "without a kid all are tried";
  expect_denied(Exchange(get("/", with(token(kClaims, R"("kid": "x")"))), keys({other, mine})),
                "Jwks doesn't have key to match kid or alg from Jwt");
  expect_denied(Exchange(get("/", with(signer().token("HS512", kClaims))), keys({mine})),
                "Jwks doesn't have key to match kid or alg from Jwt");
  expect_denied(Exchange(get("/", with(token(kClaims, R"("kid": "other")"))), keys({other, mine})), "Jwt verification fails");
  expect_denied(Exchange(get("/", with(token())), keys({})), "Jwks doesn't have any valid public key");
}

using Slot = std::shared_ptr<config::JsonWebKeySlot>;

config::JsonWebKeys keys_of(const JwtSigner& of) {
  config::JsonWebKeys out;
  out.push_back({.id = "", .algorithm = "", .key = of.key()});
  return out;
}
Edit remote(const Slot& slot) {
  return provider_with([=](config::JwtProvider& a) { a.remote_keys = slot; });
}

TEST(JwtAuthn, RemoteKeysTakeThePlaceOfLocalOnesAndChange) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  slot->replace(keys_of(stranger()));
  expect_denied(Exchange(get("/", with(token())), remote(slot)), "Jwt verification fails");
  Exchange exchange(get("/", with(stranger().token("EdDSA", kClaims))), remote(slot));
  EXPECT_TRUE(exchange.passed());
  slot->replace(keys_of(signer()));
  EXPECT_THAT(exchange.proxy.exchange(get("/", with(token()))), EndsWith("fine"));
}

TEST(JwtAuthn, WithoutRemoteKeysTheFetchIsToldToHaveFailed) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  slot->give_up_waiting();
  Exchange exchange(get("/", with(token())), remote(slot));
  expect_denied(exchange, "Jwks remote fetch is failed");
  EXPECT_EQ(exchange.proxy.log(), "401 - jwt_authn_access_denied{Jwks_remote_fetch_is_failed} 0/27|");
  expect_denied(Exchange(get("/", with(token(R"({"iss": "issuer", "exp": 1})"))), remote(slot)), "Jwt is expired");
}

TEST(JwtAuthn, ARequestWaitsForTheFirstFetch) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  const Edit edit = [&](config::JwtAuthn& filter) {
    filter.providers[0].remote_keys = slot;
    filter.providers[0].forward = false;
  };
  Exchange exchange(get("/", with(token())), edit);
  EXPECT_EQ(exchange.answer, "") << "it is held";
  exchange.proxy.advance(Duration::milliseconds(200));
  EXPECT_EQ(exchange.seen, "");
  slot->replace(keys_of(signer()));
  exchange.proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(exchange.seen, AllOf(StartsWith("GET / HTTP/1.1\r\n"), Not(HasSubstr("authorization"))));
  EXPECT_EQ(exchange.proxy.http().jwt_authn.allowed.value(), 1u);
}

TEST(JwtAuthn, ARequestThatWaitsHearsOfTheFailure) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  Exchange exchange(get("/", with(token())), remote(slot));
  slot->give_up_waiting();
  exchange.proxy.advance(Duration::milliseconds(20));
  EXPECT_EQ(exchange.seen, "");
  EXPECT_EQ(exchange.proxy.http().jwt_authn.denied.value(), 1u);
  EXPECT_THAT(exchange.proxy.log(), StartsWith("401 "));
}

TEST(JwtAuthn, WhoShowsNoTokenWaitsForNothing) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  expect_denied(Exchange(get(), remote(slot)), "Jwt is missing");
  const Edit other = [&](config::JwtAuthn& filter) {
    filter.providers[1].remote_keys = slot;
    filter.providers[1].locations = {{.kind = LocationKind::kHeader, .name = "x-other", .prefix = "", .issuers = {"other"}}};
  };
  EXPECT_TRUE(Exchange(get("/", with(token())), other).passed()) << "keys of another provider";
}

TEST(JwtAuthn, AllKeysThatAreNeededAreWaitedFor) {
  const auto first = std::make_shared<config::JsonWebKeySlot>(1);
  const auto second = std::make_shared<config::JsonWebKeySlot>(1);
  const Edit all = [&](config::JwtAuthn& filter) {
    filter.providers[0].remote_keys = first;
    filter.providers[1].remote_keys = second;
    filter.providers[1].locations = {{.kind = LocationKind::kHeader, .name = "x-other", .prefix = "", .issuers = {"other"}}};
    filter.rules[0].requirement = {.kind = Kind::kAll, .others = {of_provider(0), of_provider(1)}};
  };
  const std::string other = "x-other: " + stranger().token("EdDSA", R"({"iss": "other"})") + "\r\n";
  Exchange exchange(get("/", with(token()) + other), all);
  first->replace(keys_of(signer()));
  exchange.proxy.advance(Duration::milliseconds(20));
  EXPECT_EQ(exchange.seen, "");
  second->replace(keys_of(stranger()));
  exchange.proxy.advance(Duration::milliseconds(20));
  EXPECT_THAT(exchange.seen, StartsWith("GET / HTTP/1.1\r\n"));
}

TEST(JwtAuthn, WithOptionalTokensKeysAreWaitedForToo) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  const Edit optional = [&](config::JwtAuthn& filter) {
    filter.providers[0].remote_keys = slot;
    filter.rules[0].requirement = {.kind = Kind::kAllowMissingOrFailed};
  };
  EXPECT_TRUE(Exchange(get(), optional).passed());
  Exchange exchange(get("/", with(token())), optional);
  EXPECT_EQ(exchange.answer, "");
  slot->replace(keys_of(signer()));
  exchange.proxy.advance(Duration::milliseconds(20));
  EXPECT_NE(exchange.seen, "");
}

TEST(JwtAuthn, AClientThatGoesWhileItWaitsIsForgotten) {
  const auto slot = std::make_shared<config::JsonWebKeySlot>(1);
  ProxyHarness proxy(with_filter(remote(slot)));
  Client& client = proxy.connect();
  client.send(get("/", with(token())));
  proxy.run();
  client.reset();
  proxy.run();
  slot->replace(keys_of(signer()));
  proxy.advance(Duration::milliseconds(50));
  EXPECT_EQ(proxy.http().jwt_authn.allowed.value(), 0u);
  EXPECT_EQ(proxy.http().jwt_authn.denied.value(), 0u);
}

TEST(JwtAuthn, AnEd25519SignatureHasItsLength) {
  std::string text = stranger().token("EdDSA", R"({"iss": "other"})");
  text.resize(text.rfind('.') + 1);
  expect_denied(Exchange(get("/", with(text + std::string(86, 'A'))), requirement(of_provider(1))), "Jwt verification fails");
  expect_denied(Exchange(get("/", with(text + "AAAA")), requirement(of_provider(1))), "Jwt ED25519 signature is wrong length");
}

TEST(JwtAuthn, TokensStandInParametersAndCookiesToo) {
  const Edit cookie = provider_with([](config::JwtProvider& a) {
    a.locations = {{.kind = LocationKind::kCookie, .name = "t", .prefix = "", .issuers = {"issuer"}}};
  });
  EXPECT_TRUE(Exchange(get("/?x=1&access_token=" + token())).passed());
  EXPECT_TRUE(Exchange(get("/", "cookie: x=1; t=\"" + token() + "\"; y=2\r\n"), cookie).passed());
  EXPECT_TRUE(Exchange(get("/", "cookie: x=1\r\ncookie: t=" + token() + "\r\n"), cookie).passed());
  expect_denied(Exchange(get("/", "cookie: tt=" + token() + "; t\r\n"), cookie), "Jwt is missing");
  const Edit prefix = provider_with([](config::JwtProvider& a) {
    a.locations = {{.kind = LocationKind::kHeader, .name = "x-jwt", .prefix = "jwt_value", .issuers = {"issuer"}}};
  });
  EXPECT_TRUE(Exchange(get("/", "x-jwt: beta, jwt_value: " + token() + "\r\n"), prefix).passed());
  expect_denied(Exchange(get("/", "x-jwt: " + token() + "\r\n"), prefix), "Jwt is missing");
}

TEST(JwtAuthn, EveryTokenHasToBeGood) {
  expect_denied(Exchange(get("/?access_token=x", with(token()))),
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
  expect_denied(Exchange(get("/", with(token()) + with("x"))),
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
  EXPECT_TRUE(Exchange(get("/?access_token=" + token(), with(token()))).passed());
  std::string many;
  for (int i = 0; i < 9; ++i) many += with(token());
  expect_denied(Exchange(get("/", many)), "Found multiple Jwt tokens");
}

TEST(JwtAuthn, WhatIsNotForwardedIsTakenAway) {
  const Edit takes = provider_with([](config::JwtProvider& a) { a.forward = false; });
  EXPECT_THAT(Exchange(get("/", with(token())), takes).seen, Not(HasSubstr("authorization")));
  EXPECT_THAT(Exchange(get("/p?a=1&access_token=" + token() + "&b=2"), takes).seen, StartsWith("GET /p?a=1&b=2 HTTP/1.1\r\n"));
  EXPECT_THAT(Exchange(get("/p?access_token=" + token()), takes).seen, StartsWith("GET /p HTTP/1.1\r\n"));
  EXPECT_THAT(Exchange(get("/p?access_token=" + token() + "&"), takes).seen, StartsWith("GET /p? HTTP/1.1\r\n"));
}

TEST(JwtAuthn, ThePayloadGoesOn) {
  const auto tells = [](bool pad) {
    return provider_with([=](config::JwtProvider& a) {
      a.payload_header = "x-payload";
      a.pad_payload = pad;
    });
  };
  const std::string request = get("/", with(token(R"({"iss":"issuer"})")) + "x-payload: forged\r\n");
  EXPECT_THAT(Exchange(request, tells(false)).seen,
              AllOf(HasSubstr("x-payload: eyJpc3MiOiJpc3N1ZXIifQ\r\n"), Not(HasSubstr("forged"))));
  EXPECT_THAT(Exchange(request, tells(true)).seen, HasSubstr("x-payload: eyJpc3MiOiJpc3N1ZXIifQ==\r\n"));
}

TEST(JwtAuthn, ClaimsGoIntoFields) {
  const Edit tells = provider_with([](config::JwtProvider& a) {
    for (const char* name : {"s", "n", "d", "b", "l", "z", "c", "absent"})
      a.claims_to_headers.push_back({"x-" + std::string(name), {name}});
    a.claims_to_headers.push_back({"x-deep", {"o", "p"}});
  });
  const std::string claims =
      R"({"iss": "issuer", "s": "text", "n": 12, "d": -1.5, "b": true, "l": [1, "a"], "z": null, "c": "a\r\nx-evil: 1", "o": {"p": "q"}})";
  Exchange exchange(get("/", with(token(claims)) + "x-absent: forged\r\n"), tells);
  EXPECT_THAT(exchange.seen, AllOf(HasSubstr("x-s: text\r\n"), HasSubstr("x-n: 12\r\n"), HasSubstr("x-d: -1.500000\r\n"),
                                   HasSubstr("x-b: true\r\n"), HasSubstr("x-l: WzEsImEiXQ==\r\n"), HasSubstr("x-deep: q\r\n")));
  EXPECT_THAT(exchange.seen, AllOf(Not(HasSubstr("x-z")), Not(HasSubstr("evil")), Not(HasSubstr("x-absent"))));
}

TEST(JwtAuthn, OfANameThatIsGivenTwiceTheLastCounts) {
  EXPECT_TRUE(Exchange(get("/", with(token(R"({"iss": "nobody", "iss": "issuer"})")))).passed());
}

TEST(JwtAuthn, AnyOfSeveralIsEnough) {
  const Edit any = requirement({.kind = Kind::kAny, .others = {of_provider(0), of_provider(1)}});
  EXPECT_TRUE(Exchange(get("/", with(token())), any).passed());
  EXPECT_TRUE(Exchange(get("/", with(stranger().token("EdDSA", R"({"iss": "other"})"))), any).passed());
  expect_denied(Exchange(get(), any), "Jwt is missing");
  expect_denied(Exchange(get("/", with(token(R"({"iss": "issuer", "exp": 1})"))), any), "Jwt is expired");
  expect_denied(Exchange(get("/", with(token(R"({"iss": "nobody"})"))), any), "Jwt issuer is not configured");
}

TEST(JwtAuthn, AllOfSeveralAreNeeded) {
  const Edit all = [](config::JwtAuthn& filter) {
    filter.providers[1].locations = {{.kind = LocationKind::kHeader, .name = "x-other", .prefix = "", .issuers = {"other"}}};
    filter.rules[0].requirement = {.kind = Kind::kAll, .others = {of_provider(0), of_provider(1)}};
  };
  const std::string second = "x-other: " + stranger().token("EdDSA", R"({"iss": "other"})") + "\r\n";
  EXPECT_TRUE(Exchange(get("/", with(token()) + second), all).passed());
  expect_denied(Exchange(get("/", with(token())), all), "Jwt is missing");
  expect_denied(Exchange(get("/", second), all), "Jwt is missing");
}

TEST(JwtAuthn, AMissingTokenMayBeAllowed) {
  const Edit beside = requirement({.kind = Kind::kAny, .others = {of_provider(0)}, .allow_missing = true});
  EXPECT_TRUE(Exchange(get(), beside).passed());
  EXPECT_TRUE(Exchange(get("/", with(token())), beside).passed());
  expect_denied(Exchange(get("/", with("x")), beside),
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
  expect_denied(Exchange(get("/", with(token(R"({"iss": "nobody"})"))), beside), "Jwt issuer is not configured");
  const Edit alone = requirement({.kind = Kind::kAllowMissing});
  EXPECT_TRUE(Exchange(get(), alone).passed());
  EXPECT_TRUE(Exchange(get("/", with(stranger().token("EdDSA", R"({"iss": "other"})"))), alone).passed()) << "of any provider";
  expect_denied(Exchange(get("/?access_token=x", with(token())), alone),
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
  expect_denied(Exchange(get("/?access_token=" + token(), with("x")), alone),
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
}

TEST(JwtAuthn, AFailedTokenMayBeAllowedAndSaysNothing) {
  const Edit alone = [](config::JwtAuthn& filter) {
    filter.providers[0].claims_to_headers.push_back({"x-sub", {"sub"}});
    filter.rules[0].requirement = {.kind = Kind::kAllowMissingOrFailed};
  };
  EXPECT_THAT(Exchange(get("/", with(token())), alone).seen, HasSubstr("x-sub: alice\r\n"));
  Exchange failed(get("/", with("x") + "x-sub: forged\r\n"), alone);
  EXPECT_TRUE(failed.passed());
  EXPECT_THAT(failed.seen, Not(HasSubstr("x-sub")));
  const Edit beside = requirement({.kind = Kind::kAny, .others = {of_provider(0)}, .allow_failed = true});
  EXPECT_TRUE(Exchange(get("/", with("x")), beside).passed());
}

TEST(JwtAuthn, TheFirstRuleThatMatchesDecides) {
  const Edit rules = [](config::JwtAuthn& filter) {
    filter.rules[0].match.path.text = "/api";
    filter.rules.insert(filter.rules.begin(), config::JwtAuthn::Rule{});
    filter.rules[0].match.path.text = "/api/health";
  };
  EXPECT_TRUE(Exchange(get("/api/health"), rules).passed());
  expect_denied(Exchange(get("/api/x"), rules), "Jwt is missing");
  EXPECT_TRUE(Exchange(get("/other"), rules).passed());
}

TEST(JwtAuthn, ARouteDisablesItOrNamesARequirement) {
  const Edit names = [](config::JwtAuthn& filter) {
    filter.requirements = {{"first", of_provider(0)}, {"second", of_provider(1)}};
    filter.rules.clear();
  };
  EXPECT_TRUE(Exchange(get(), {}, config::JwtAuthnPerRoute{.disabled = true, .requirement_name = ""}).passed());
  const config::JwtAuthnPerRoute first{.disabled = false, .requirement_name = "first"};
  EXPECT_TRUE(Exchange(get("/", with(token())), names, first).passed());
  expect_denied(Exchange(get(), names, first), "Jwt is missing");
  Exchange unknown(get(), names, config::JwtAuthnPerRoute{.disabled = false, .requirement_name = "third"});
  expect_denied(unknown, "Failed JWT authentication: Wrong requirement_name: third. It should be one of [first,second]", 403);
  EXPECT_THAT(unknown.proxy.log(),
              HasSubstr("jwt_authn_access_denied{Wrong_requirement_name:_third._It_should_be_one_of_[first,second]}"));
}

TEST(JwtAuthn, PreflightsBypassItWhereThatIsWanted) {
  const std::string preflight = "OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: o\r\naccess-control-request-method: GET\r\n\r\n";
  expect_denied(Exchange(preflight), "Jwt is missing");
  Exchange bypassed(preflight, [](config::JwtAuthn& filter) { filter.bypass_cors_preflight = true; });
  EXPECT_TRUE(bypassed.passed());
  EXPECT_EQ(bypassed.proxy.http().jwt_authn.cors_preflight_bypassed.value(), 1u);
  EXPECT_EQ(bypassed.proxy.http().jwt_authn.allowed.value(), 1u);
}

TEST(JwtAuthn, ReasonsCanBeKeptBack) {
  Exchange exchange(get(), [](config::JwtAuthn& filter) { filter.strip_failure_response = true; });
  EXPECT_THAT(exchange.answer, AllOf(StartsWith("HTTP/1.1 401 "), EndsWith("\r\n\r\n"), Not(HasSubstr("www-authenticate"))));
  EXPECT_EQ(exchange.proxy.log(), "401 - jwt_authn_access_denied{Jwt_is_missing} 0/0|");
}

TEST(JwtAuthn, RemembersWhoseSignatureIsGood) {
  ProxyHarness proxy(with_filter(provider_with([](config::JwtProvider& a) { a.verified = {std::make_shared<TextCache>(4)}; })));
  proxy.origin().answer(ok("fine"));
  const std::string request = get("/", with(token(R"({"iss": "issuer", "exp": 1700000010})")));
  EXPECT_THAT(proxy.exchange(request), EndsWith("fine"));
  EXPECT_THAT(proxy.exchange(request), EndsWith("fine"));
  EXPECT_EQ(proxy.http().jwt_authn.jwt_cache_miss.value(), 1u);
  EXPECT_EQ(proxy.http().jwt_authn.jwt_cache_hit.value(), 1u);
  const std::string forged = get("/", with(stranger().token("EdDSA", kClaims)));
  EXPECT_THAT(proxy.exchange(forged), EndsWith("Jwt verification fails"));
  EXPECT_THAT(proxy.exchange(forged), EndsWith("Jwt verification fails"));
  proxy.advance(Duration::seconds(75));
  EXPECT_THAT(proxy.exchange(request), EndsWith("Jwt is expired"));
  EXPECT_EQ(proxy.http().jwt_authn.jwt_cache_hit.value(), 1u);
}

TEST(JwtAuthn, AClaimChoosesTheRoute) {
  ProxyHarness proxy([](config::Listener& listener, config::Cluster& cluster, config::Route& route) {
    with_filter(provider_with([](config::JwtProvider& a) {
      a.claims_to_headers.push_back({"x-sub", {"sub"}});
      a.clear_route_cache = true;
    }))(listener, cluster, route);
    config::HeaderMatcher absent;
    absent.name = "x-sub";
    absent.present = false;
    route.match.headers.push_back(absent);
  });
  proxy.origin().answer(ok("fine"));
  EXPECT_THAT(proxy.exchange(get("/", with(token()))), StartsWith("HTTP/1.1 404 ")) << "the only route is for requests without";
}

}  // namespace
}  // namespace millrace::proxy::test
