// envoy.filters.http.csrf: requests that change something have to come from a page of the host that they go to, or of one that is
// allowed besides. Sources: OWASP's "Verifying Origin With Standard Headers", as Envoy's filter does it.
#include <algorithm>
#include <array>
#include <string_view>

#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

constexpr std::array<std::string_view, 4> kChangingMethods = {"DELETE", "PATCH", "POST", "PUT"};

/// "host:port" of a URL; another text as it is.
std::string_view host_and_port(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return url;
  url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  const std::size_t user = url.rfind('@');
  return user == std::string_view::npos ? url : url.substr(user + 1);
}

std::string_view source_origin(const http::RequestHead& head) {
  const std::string_view origin = host_and_port(head.headers.value("origin"));
  return origin.empty() ? host_and_port(head.headers.value("referer")) : origin;
}

class CsrfFilter final : public HttpFilter {
 public:
  CsrfFilter(const config::Csrf& config, FilterContext& context) : config_(config), context_(context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    const bool enabled = context_.rng.chance(config_.enabled.numerator, config_.enabled.denominator);
    if (!enabled && !context_.rng.chance(config_.shadow.numerator, config_.shadow.denominator)) return Verdict::kContinue;
    if (std::ranges::find(kChangingMethods, head.method) == kChangingMethods.end()) return Verdict::kContinue;
    const std::string_view source = source_origin(head);
    const bool valid = !source.empty() && allows(source, head);
    count(source, valid);
    if (valid || !enabled) return Verdict::kContinue;
    context_.actions.answer({.status = 403, .body = "Invalid origin", .details = "csrf_origin_mismatch"}, now);
    return Verdict::kAnswered;
  }

 private:
  bool allows(std::string_view source, const http::RequestHead& head) const {
    return source == head.authority || std::ranges::any_of(config_.additional_origins, [&](const auto& matcher) {
             return matches(matcher, source, context_.worker);
           });
  }

  // A request without an origin counts as invalid, too.
  void count(std::string_view source, bool valid) {
    report::CsrfStats& stats = context_.stats().csrf;
    if (source.empty()) stats.missing_source_origin.add();
    (valid ? stats.request_valid : stats.request_invalid).add();
  }

  const config::Csrf& config_;
  FilterContext& context_;
};

}  // namespace

MadeFilter make_filter(const config::Csrf& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::Csrf>();
  return MadeFilter::of(make_in_arena<CsrfFilter>(site.context.arena, of_route == nullptr ? config : *of_route, site.context));
}

}  // namespace millrace::proxy
