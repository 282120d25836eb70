// envoy.filters.http.jwt_authn: requests without the JSON Web Tokens that a rule asks for are answered with 401, or 403 where a
// token is meant for somebody else. Those whose keys are being fetched for the first time wait for them. What tokens are asked:
// jwt_verifier.h.
#include <algorithm>

#include "dataplane/proxy/filters/jwt_verifier.h"
#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kRequestMethod = "access-control-request-method";
constexpr std::string_view kOriginalPath = "x-envoy-original-path";
constexpr std::size_t kMostRealmPathBytes = 256;
constexpr Duration kLookForKeys = Duration::milliseconds(5);  // how often, while the first fetch is under way

class JwtAuthnFilter final : public HttpFilter {
 public:
  JwtAuthnFilter(const config::JwtAuthn& config, const config::JwtAuthnPerRoute* of_route, FilterContext& context)
      : config_(config), of_route_(of_route), context_(context), timer_(Timer::calling<&JwtAuthnFilter::on_timer>(*this)) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    if (config_.bypass_cors_preflight && is_preflight(head)) {
      stats().cors_preflight_bypassed.add();
      return allow();
    }
    if (of_route_ == nullptr) return satisfy(requirement_of(head), head, now);
    if (of_route_->disabled) return allow();
    const auto named = std::ranges::find(config_.requirements, of_route_->requirement_name,
                                         &std::pair<std::string, config::JwtRequirement>::first);
    return named == config_.requirements.end() ? deny_unknown_name(now) : satisfy(&named->second, head, now);
  }

  // Something else has answered meanwhile.
  bool on_response(http::ResponseHead&, bool, Instant) override {
    timer_.disarm();
    return true;
  }

  void on_end(Instant) override { timer_.disarm(); }

 private:
  report::JwtAuthnStats& stats() const { return context_.stats().jwt_authn; }

  static bool is_preflight(const http::RequestHead& head) {
    return head.method == "OPTIONS" && !head.headers.value(http::HeaderId::kOrigin).empty() &&
           !head.headers.value(kRequestMethod).empty();
  }

  /// Null: none.
  const config::JwtRequirement* requirement_of(const http::RequestHead& head) const {
    const auto rule = std::ranges::find_if(config_.rules, [&](const config::JwtAuthn::Rule& candidate) {
      return matches(candidate.match, head,
                     {.worker = context_.worker,
                      .rng = context_.rng,
                      .tls = context_.info.downstream_tls,
                      .metadata = &context_.info.metadata});
    });
    return rule == config_.rules.end() ? nullptr : &rule->requirement;
  }

  Verdict allow() {
    stats().allowed.add();
    return Verdict::kContinue;
  }

  Verdict satisfy(const config::JwtRequirement* requirement, http::RequestHead& head, Instant now) {
    if (requirement == nullptr) return allow();
    const std::string_view path = path_of(head);  // a token in it is taken away
    const std::int64_t wall = now.to_nanoseconds() + context_.wall_offset_nanoseconds;
    JwtVerifier verifier(config_, head, context_, static_cast<std::uint64_t>(std::max<std::int64_t>(wall, 0) / 1'000'000'000));
    if (const config::JsonWebKeySlot* keys = verifier.awaited_keys(*requirement)) return wait_for(*keys, *requirement, head, now);
    const JwtStatus status = verifier.satisfy(*requirement);
    if (status == JwtStatus::kNoMemory || !verifier.publish_metadata()) return Verdict::kNoMemory;
    if (status != JwtStatus::kOk) return deny(status, head, path, now);
    if (verifier.clears_route_cache()) context_.actions.choose_route_again();
    return allow();
  }

  Verdict wait_for(const config::JsonWebKeySlot& keys, const config::JwtRequirement& requirement, http::RequestHead& head,
                   Instant now) {
    awaited_ = &keys;
    requirement_ = &requirement;
    request_ = &head;
    context_.timers.arm(timer_, now + kLookForKeys);
    return Verdict::kWait;
  }

  void on_timer(Instant now) {
    if (awaited_->is_awaited()) return context_.timers.arm(timer_, now + kLookForKeys);
    switch (satisfy(requirement_, *request_, now)) {
      case Verdict::kContinue: return context_.actions.resume_request(now);
      case Verdict::kNoMemory: return context_.actions.answer(reply_of(LocalReplyReason::kOverloaded), now);
      default: return;  // it is answered, or waits for the keys of another provider
    }
  }

  static std::string_view path_of(const http::RequestHead& head) {
    const std::string_view original = head.headers.value(kOriginalPath);
    return (original.empty() ? head.path : original).substr(0, kMostRealmPathBytes);
  }

  Verdict deny(JwtStatus status, const http::RequestHead& head, std::string_view path, Instant now) {
    const std::string_view scheme = head.headers.value(http::HeaderId::kXForwardedProto);
    const std::string_view challenge = context_.arena.concat({"Bearer realm=\"", scheme, "://", head.authority, path, "\"",
                                                              status == JwtStatus::kMissing ? "" : ", error=\"invalid_token\""});
    const std::span<LocalReply::Field> fields = context_.arena.make_array<LocalReply::Field>(1);
    if (challenge.data() == nullptr || fields.empty()) return Verdict::kNoMemory;
    fields[0] = {"www-authenticate", challenge};
    const std::uint16_t code = status == JwtStatus::kAudienceNotAllowed ? 403 : 401;
    return answer({.status = code, .body = text_of(status), .fields = fields}, text_of(status), now);
  }

  Verdict deny_unknown_name(Instant now) {
    Arena& arena = context_.arena;
    std::string_view names = "";
    for (const auto& [name, requirement] : config_.requirements) names = arena.concat({names, names.empty() ? "" : ",", name});
    const std::string_view reason =
        arena.concat({"Wrong requirement_name: ", of_route_->requirement_name, ". It should be one of [", names, "]"});
    const std::string_view body = arena.concat({"Failed JWT authentication: ", reason});
    if (names.data() == nullptr || reason.data() == nullptr || body.data() == nullptr) return Verdict::kNoMemory;
    return answer({.status = 403, .body = body}, reason, now);
  }

  // Access logs are cut at white space by some.
  Verdict answer(LocalReply reply, std::string_view reason, Instant now) {
    const std::string_view details = context_.arena.concat({"jwt_authn_access_denied{", reason, "}"});
    const std::span<char> text = context_.arena.make_array<char>(details.size());
    if (details.data() == nullptr || text.empty()) return Verdict::kNoMemory;
    std::ranges::replace_copy(details, text.begin(), ' ', '_');
    reply.details = {text.data(), text.size()};
    if (config_.strip_failure_response) {
      reply.body = {};
      reply.fields = {};
    }
    stats().denied.add();
    context_.actions.answer(reply, now);
    return Verdict::kAnswered;
  }

  const config::JwtAuthn& config_;
  const config::JwtAuthnPerRoute* of_route_;
  FilterContext& context_;
  // Of a request that waits:
  const config::JsonWebKeySlot* awaited_ = nullptr;
  const config::JwtRequirement* requirement_ = nullptr;
  http::RequestHead* request_ = nullptr;
  Timer timer_;
};

}  // namespace

MadeFilter make_filter(const config::JwtAuthn& config, const FilterSite& site) {
  return MadeFilter::of(
      make_in_arena<JwtAuthnFilter>(site.context.arena, config, site.route_config<config::JwtAuthnPerRoute>(), site.context));
}

}  // namespace millrace::proxy
