// envoy.filters.http.cors: answers preflight requests, and tells browsers in responses which origins may read them.
// Source: the Fetch standard's CORS protocol, as Envoy's filter does it.
#include <algorithm>
#include <array>
#include <optional>

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

using config::CorsPolicy;

/// Of all levels, the most specific first. Each value is that of the first that has one; as in Envoy, whether the filter is
/// enabled is the first's word alone.
class CorsPolicies {
 public:
  explicit CorsPolicies(const std::array<const CorsPolicy*, 4>& levels) {
    for (const CorsPolicy* level : levels) {
      if (level != nullptr) levels_[count_++] = level;
    }
  }

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] const CorsPolicy& first() const { return *levels_[0]; }
  /// An empty one: no level has any.
  template <typename T>
  [[nodiscard]] const T& of(T CorsPolicy::* member) const {
    std::size_t at = 0;
    while (at + 1 < count_ && (levels_[at]->*member).empty()) ++at;
    return levels_[at]->*member;
  }
  [[nodiscard]] bool of(std::optional<bool> CorsPolicy::* member, bool otherwise) const {
    for (std::size_t at = 0; at < count_; ++at) {
      if (levels_[at]->*member) return *(levels_[at]->*member);
    }
    return otherwise;
  }

 private:
  std::array<const CorsPolicy*, 4> levels_ = {};
  std::size_t count_ = 0;
};

class CorsFilter final : public HttpFilter {
 public:
  CorsFilter(const CorsPolicies& policies, FilterContext& context) : policies_(policies), context_(context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    const std::string_view origin = head.headers.value(kOrigin);
    if (origin.empty()) return Verdict::kContinue;
    const bool enabled = happens(policies_.first().enabled);
    if (!enabled && !happens(policies_.first().shadow)) return Verdict::kContinue;
    const bool preflight = head.method == "OPTIONS" && head.headers.find(kRequestMethod) != nullptr;
    if (!allows(origin)) {
      context_.stats().cors.origin_invalid.add();
      const bool forward = policies_.of(&CorsPolicy::forward_not_matching_preflights, true);
      return enabled && preflight && !forward ? answer_preflight(now) : Verdict::kContinue;
    }
    context_.stats().cors.origin_valid.add();
    if (!enabled) return Verdict::kContinue;
    origin_ = origin;
    if (!preflight) return Verdict::kContinue;
    preflight_ = true;
    tell_private_network_ =
        policies_.of(&CorsPolicy::allow_private_network_access, false) && head.headers.value(kRequestPrivateNetwork) == "true";
    return answer_preflight(now);
  }

  bool on_response(http::ResponseHead& head, bool, Instant) override {
    if (origin_.empty()) return true;
    http::HeaderMap& fields = head.headers;
    if (!fields.set_copy(kAllowOrigin, origin_)) return false;
    if (policies_.of(&CorsPolicy::allow_credentials, false) && !fields.set_copy(kAllowCredentials, "true")) return false;
    if (!preflight_) return tell(fields, kExposeHeaders, policies_.of(&CorsPolicy::expose_headers));
    return tell(fields, kAllowMethods, policies_.of(&CorsPolicy::allow_methods)) &&
           tell(fields, kAllowHeaders, policies_.of(&CorsPolicy::allow_headers)) &&
           tell(fields, kMaxAge, policies_.of(&CorsPolicy::max_age)) &&
           (!tell_private_network_ || fields.set_copy(kAllowPrivateNetwork, "true"));
  }

 private:
  static bool tell(http::HeaderMap& fields, std::string_view name, std::string_view value) {
    return value.empty() || fields.set_copy(name, value);
  }

  bool happens(const config::Fraction& fraction) const { return context_.rng.chance(fraction.numerator, fraction.denominator); }

  bool allows(std::string_view origin) const {
    return std::ranges::any_of(policies_.of(&CorsPolicy::allow_origins), [&](const config::StringMatcher& matcher) {
      return matches(matcher, origin, context_.worker) ||
             (matcher.kind == config::StringMatcher::Kind::kExact && matcher.text == "*");
    });
  }

  Verdict answer_preflight(Instant now) {
    context_.actions.answer({.status = 200, .details = "cors_response"}, now);
    return Verdict::kAnswered;
  }

  const CorsPolicies policies_;
  FilterContext& context_;
  std::string_view origin_;  // in the request; empty: nothing to be told
  bool preflight_ = false;
  bool tell_private_network_ = false;
};

}  // namespace

MadeFilter make_filter(const config::Cors&, const FilterSite& site) {
  const CorsPolicies policies(find_route_configs<CorsPolicy>(site.context.levels, site.name));
  if (policies.empty()) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<CorsFilter>(site.context.arena, policies, site.context));
}

}  // namespace millrace::proxy
