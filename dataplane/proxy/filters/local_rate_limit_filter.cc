// envoy.filters.http.local_ratelimit: requests take tokens from buckets of this gateway's, and are answered where there is none.
// The buckets of matching descriptors come first, the slowest of them first: who finds that one empty takes from no other.
#include <algorithm>
#include <array>
#include <string_view>

#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/rate_limit.h"

namespace millrace::proxy {
namespace {

constexpr std::uint32_t kGrpcResourceExhausted = 8;
constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;

class LocalRateLimitFilter final : public HttpFilter {
 public:
  LocalRateLimitFilter(const config::LocalRateLimit& config, FilterContext& context) : config_(config), context_(context) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    if (!context_.rng.chance(config_.enabled.numerator, config_.enabled.denominator)) return Verdict::kContinue;
    stats().enabled.add();
    bool taken = false;
    if (!take(head, now, taken)) return Verdict::kNoMemory;
    (taken ? stats().ok : stats().rate_limited).add();
    if (taken) return Verdict::kContinue;
    if (!context_.rng.chance(config_.enforced.numerator, config_.enforced.denominator)) {
      return apply_mutations(config_.unenforced_request_add, head.headers, context_.info, context_.environment())
                 ? Verdict::kContinue
                 : Verdict::kNoMemory;
    }
    stats().enforced.add();
    limited_ = true;
    LocalReply reply{.status = config_.status,
                     .body = "local_rate_limited",
                     .details = "local_rate_limited",
                     .flag = ResponseFlag::kRateLimited};
    if (config_.resource_exhausted) reply.grpc_status = kGrpcResourceExhausted;
    context_.actions.answer(reply, now);
    return Verdict::kAnswered;
  }

  bool on_response(http::ResponseHead& head, bool, Instant now) override {
    if (limited_ && !apply_mutations(config_.limited_response_add, head.headers, context_.info, context_.environment()))
      return false;
    return decisive_ == nullptr || !config_.tells_limits || tell_limits(head.headers, now);
  }

 private:
  using Bucket = config::RateLimitBucket;

  report::LocalRateLimitStats& stats() const { return config_.cell->per_worker[context_.worker]; }

  /// False: no memory.
  bool take(const http::RequestHead& head, Instant now, bool& taken) {
    std::span<const Bucket*> matched;
    if (!config_.descriptors.empty() && !match_descriptors(head, matched)) return false;
    std::ranges::sort(matched, [](const Bucket* a, const Bucket* b) { return a->limits.per_token > b->limits.per_token; });
    if (!matched.empty()) decisive_ = matched.front();
    for (const Bucket* bucket : matched) {
      if (!take_from(*bucket, now, taken)) return false;
      if (!taken) return true;
    }
    if (!matched.empty() && !config_.always_takes_default) return true;
    return take_from(*config_.bucket, now, taken);
  }

  bool take_from(const Bucket& bucket, Instant now, bool& taken) {
    SharedTokenBucket* tokens = tokens_of(bucket);
    if (tokens == nullptr) return false;
    taken = tokens->take(bucket.limits, now);
    if (!taken || decisive_ == nullptr) decisive_ = &bucket;
    return true;
  }

  /// Null: no memory.
  SharedTokenBucket* tokens_of(const Bucket& bucket) {
    return config_.per_connection ? context_.actions.connection_bucket(bucket.cell->id) : &bucket.cell->bucket;
  }

  /// Buckets of the descriptors that are configured among those that the route and its virtual host give the request.
  bool match_descriptors(const http::RequestHead& head, std::span<const Bucket*>& matched) {
    const auto* forward =
        context_.levels.route == nullptr ? nullptr : std::get_if<config::ForwardAction>(&context_.levels.route->action);
    if (forward == nullptr) return true;
    using VirtualHostLimits = config::LocalRateLimit::VirtualHostLimits;
    const bool with_host = forward->include_virtual_host_rate_limits || config_.virtual_host == VirtualHostLimits::kAlways ||
                           (config_.virtual_host == VirtualHostLimits::kUnlessRouteHasSome && forward->rate_limits.empty());
    const std::span<const config::RateLimit> of_route = forward->rate_limits;
    const std::span<const config::RateLimit> of_host =
        with_host ? std::span(context_.levels.virtual_host->rate_limits) : std::span<const config::RateLimit>();
    const std::size_t most = of_route.size() + of_host.size();
    if (most == 0) return true;
    const std::span<const Bucket*> room = context_.arena.make_array<const Bucket*>(most);
    if (room.empty()) return false;
    std::size_t count = 0;
    for (const auto& limits : {of_route, of_host}) {
      for (const config::RateLimit& limit : limits) {
        if (limit.stage != config_.stage) continue;
        if (!match_descriptor(limit, head, room, count)) return false;
      }
    }
    matched = room.first(count);
    return true;
  }

  bool match_descriptor(const config::RateLimit& limit, const http::RequestHead& head, std::span<const Bucket*> room,
                        std::size_t& count) {
    const config::WeightedCluster* cluster = context_.levels.cluster;
    const RateLimitSubject subject{head, context_.info.downstream_remote.ip,
                                   cluster == nullptr ? std::string_view() : std::string_view(cluster->name), context_.worker};
    std::span<const RateLimitEntry> entries;
    if (!describe(limit, subject, context_.arena, entries)) return false;
    const auto* descriptor = entries.empty() ? nullptr : find_descriptor(config_.descriptors, entries);
    if (descriptor != nullptr) room[count++] = &descriptor->bucket;
    return true;
  }

  // draft-polli-ratelimit-headers-03, of the bucket that decided.
  bool tell_limits(http::HeaderMap& headers, Instant now) {
    const SharedTokenBucket* tokens = tokens_of(*decisive_);
    if (tokens == nullptr) return false;
    const auto& limits = decisive_->limits;
    const auto until_next = static_cast<std::uint64_t>(tokens->until_next(limits, now).to_nanoseconds());
    const std::uint64_t seconds = (until_next + kNanosecondsPerSecond - 1) / kNanosecondsPerSecond;
    return set_number(headers, "x-ratelimit-limit", limits.max_tokens) &&
           set_number(headers, "x-ratelimit-remaining", tokens->left(limits, now)) &&
           set_number(headers, "x-ratelimit-reset", seconds);
  }

  static bool set_number(http::HeaderMap& headers, std::string_view name, std::uint64_t value) {
    std::array<char, kMaxDecimalBytes> text;
    return headers.set_copy(name, write_decimal(value, text));
  }

  const config::LocalRateLimit& config_;
  FilterContext& context_;
  const Bucket* decisive_ = nullptr;  // that was empty, else of the descriptor, else the default one; null: none was asked
  bool limited_ = false;
};

}  // namespace

MadeFilter make_filter(const config::LocalRateLimit& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::LocalRateLimit>();
  const config::LocalRateLimit& limit = of_route == nullptr ? config : *of_route;
  if (limit.enabled.numerator == 0) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<LocalRateLimitFilter>(site.context.arena, limit, site.context));
}

}  // namespace millrace::proxy
