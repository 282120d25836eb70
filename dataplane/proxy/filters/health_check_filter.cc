// envoy.filters.http.health_check: answers those who ask whether this gateway is well, by what an operator wants it to say, by the
// health of its clusters, or by what the upstream has said a short time ago.
#include <algorithm>

#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kImmediateFail = "x-envoy-immediate-health-check-fail";
constexpr std::string_view kCheckedCluster = "x-envoy-upstream-healthchecked-cluster";

class HealthCheckFilter final : public HttpFilter {
 public:
  HealthCheckFilter(const config::AnswerHealthChecks& config, FilterContext& context) : config_(config), context_(context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    is_check_ = std::ranges::all_of(config_.headers, [&](const auto& m) { return matches(m, head, context_.worker); });
    if (!is_check_) return Verdict::kContinue;
    LocalReply reply;
    if (context_.actions.fails_health_checks()) {
      reply = {.status = 503, .details = "health_check_failed"};
    } else if (!config_.pass_through) {
      reply = of_clusters();
    } else if (const std::uint16_t kept = config_.cache == nullptr ? 0 : config_.cache->status(now); kept != 0) {
      reply = {.status = kept, .details = "health_check_cached"};
    } else {
      return Verdict::kContinue;
    }
    if (reply.status / 100 != 2) reply.flag = ResponseFlag::kFailedLocalHealthCheck;
    answered_ = true;
    context_.actions.answer(reply, now);
    return Verdict::kAnswered;
  }

  bool on_response(http::ResponseHead& head, bool, Instant now) override {
    if (!is_check_) return !context_.actions.fails_health_checks() || head.headers.set_copy(kImmediateFail, "true");
    if (!answered_ && config_.cache != nullptr) config_.cache->keep(head.status, now + config_.cache_time);
    return head.headers.set_copy(kCheckedCluster, config_.service_cluster);
  }

 private:
  LocalReply of_clusters() const {
    for (const auto& [name, percentage] : config_.min_healthy_percentages) {
      const std::optional<ClusterHealth> health = context_.actions.cluster_health(name);
      if (!health) return {.status = 503, .details = "health_check_failed_no_cluster_found"};
      if (health->total == 0 && percentage > 0) return {.status = 503, .details = "health_check_failed_cluster_empty"};
      if (health->healthy * 100 < health->total * percentage)
        return {.status = 503, .details = "health_check_failed_cluster_unhealthy"};
    }
    return {.status = 200,
            .details = config_.min_healthy_percentages.empty() ? "health_check_ok" : "health_check_ok_cluster_healthy"};
  }

  const config::AnswerHealthChecks& config_;
  FilterContext& context_;
  bool is_check_ = false;
  bool answered_ = false;  // by us
};

}  // namespace

MadeFilter make_filter(const config::AnswerHealthChecks& config, const FilterSite& site) {
  return MadeFilter::of(make_in_arena<HealthCheckFilter>(site.context.arena, config, site.context));
}

}  // namespace millrace::proxy
