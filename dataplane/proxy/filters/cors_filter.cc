// envoy.filters.http.cors: answers preflight requests, and tells browsers in responses which origins may read them.
// Source: the Fetch standard's CORS protocol, as Envoy's filter does it.
#include <algorithm>

#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kOrigin = "origin";
constexpr std::string_view kRequestMethod = "access-control-request-method";
constexpr std::string_view kRequestPrivateNetwork = "access-control-request-private-network";
constexpr std::string_view kAllowOrigin = "access-control-allow-origin";
constexpr std::string_view kAllowMethods = "access-control-allow-methods";
constexpr std::string_view kAllowHeaders = "access-control-allow-headers";
constexpr std::string_view kAllowCredentials = "access-control-allow-credentials";
constexpr std::string_view kAllowPrivateNetwork = "access-control-allow-private-network";
constexpr std::string_view kExposeHeaders = "access-control-expose-headers";
constexpr std::string_view kMaxAge = "access-control-max-age";

class CorsFilter final : public HttpFilter {
 public:
  CorsFilter(const config::CorsPolicy& policy, FilterContext& context) : policy_(policy), context_(context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    const std::string_view origin = head.headers.value(kOrigin);
    if (origin.empty()) return Verdict::kContinue;
    const bool enabled = context_.rng.chance(policy_.enabled.numerator, policy_.enabled.denominator);
    if (!enabled && !context_.rng.chance(policy_.shadow.numerator, policy_.shadow.denominator)) return Verdict::kContinue;
    const bool preflight = head.method == "OPTIONS" && head.headers.find(kRequestMethod) != nullptr;
    if (!allows(origin)) {
      context_.stats().cors.origin_invalid.add();
      return enabled && preflight && !policy_.forward_not_matching_preflights ? answer_preflight(now) : Verdict::kContinue;
    }
    context_.stats().cors.origin_valid.add();
    if (!enabled) return Verdict::kContinue;
    origin_ = origin;
    if (!preflight) return Verdict::kContinue;
    preflight_ = true;
    tell_private_network_ = policy_.allow_private_network_access && head.headers.value(kRequestPrivateNetwork) == "true";
    return answer_preflight(now);
  }

  bool on_response(http::ResponseHead& head, bool, Instant) override {
    if (origin_.empty()) return true;
    http::HeaderMap& fields = head.headers;
    if (!fields.set_copy(kAllowOrigin, origin_)) return false;
    if (policy_.allow_credentials && !fields.set_copy(kAllowCredentials, "true")) return false;
    if (!preflight_) return policy_.expose_headers.empty() || fields.set_copy(kExposeHeaders, policy_.expose_headers);
    return (policy_.allow_methods.empty() || fields.set_copy(kAllowMethods, policy_.allow_methods)) &&
           (policy_.allow_headers.empty() || fields.set_copy(kAllowHeaders, policy_.allow_headers)) &&
           (policy_.max_age.empty() || fields.set_copy(kMaxAge, policy_.max_age)) &&
           (!tell_private_network_ || fields.set_copy(kAllowPrivateNetwork, "true"));
  }

 private:
  bool allows(std::string_view origin) const {
    return std::ranges::any_of(policy_.allow_origins, [&](const config::StringMatcher& matcher) {
      return matches(matcher, origin, context_.worker) ||
             (matcher.kind == config::StringMatcher::Kind::kExact && matcher.text == "*");
    });
  }

  Verdict answer_preflight(Instant now) {
    context_.actions.answer({.status = 200, .details = "cors_response"}, now);
    return Verdict::kAnswered;
  }

  const config::CorsPolicy& policy_;
  FilterContext& context_;
  std::string_view origin_;  // in the request; empty: nothing to be told
  bool preflight_ = false;
  bool tell_private_network_ = false;
};

}  // namespace

MadeFilter make_filter(const config::Cors&, const FilterSite& site) {
  const auto* policy = site.route_config<config::CorsPolicy>();
  if (policy == nullptr) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<CorsFilter>(site.context.arena, *policy, site.context));
}

}  // namespace millrace::proxy
