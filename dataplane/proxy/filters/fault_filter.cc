// envoy.filters.http.fault: a delay, then an abort, each by chance; and a limit of the response's rate. At most one of delay and
// abort is counted among the active faults twice: a delayed request that is aborted was one fault.
#include <algorithm>
#include <charconv>
#include <numeric>

#include "dataplane/proxy/filters/byte_rate.h"
#include "dataplane/proxy/filters/registry.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kDelayRequest = "x-envoy-fault-delay-request";
constexpr std::string_view kDelayPercentage = "x-envoy-fault-delay-request-percentage";
constexpr std::string_view kAbortRequest = "x-envoy-fault-abort-request";
constexpr std::string_view kAbortGrpcRequest = "x-envoy-fault-abort-grpc-request";
constexpr std::string_view kAbortPercentage = "x-envoy-fault-abort-request-percentage";
constexpr std::string_view kThroughput = "x-envoy-fault-throughput-response";
constexpr std::string_view kThroughputPercentage = "x-envoy-fault-throughput-response-percentage";
constexpr std::string_view kDownstreamNode = "x-envoy-downstream-service-node";

constexpr std::uint32_t kLongestDelayMilliseconds = 3'600'000;
constexpr Duration kRateTick = Duration::milliseconds(50);  // Envoy's fill interval: a sixteenth of a second, about

/// The number that a field says; nothing when it is absent or is not one.
std::optional<std::uint64_t> number_of(const http::RequestHead& head, std::string_view name) {
  const std::string_view text = head.headers.value(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class FaultFilter final : public HttpFilter, private BodyFilter {
 public:
  FaultFilter(const config::Fault& config, FilterContext& context)
      : config_(config), context_(context), timer_(Timer::calling<&FaultFilter::on_timer>(*this)) {}

  Verdict on_request(http::RequestHead& head, bool, Instant now) override {
    if (!applies(head)) return Verdict::kContinue;
    request_ = &head;
    choose_rate(head, now);
    const std::optional<Duration> delay = choose_delay(head);
    if (!delay) return abort_by_chance(now);
    if (!take_active()) return Verdict::kContinue;
    stats().delays_injected.add();
    context_.info.flags.set(ResponseFlag::kDelayInjected);
    waiting_ = true;
    context_.timers.arm(timer_, now + *delay);
    return Verdict::kWait;
  }

  // Something else has answered meanwhile.
  bool on_response(http::ResponseHead&, bool, Instant) override {
    if (waiting_) timer_.disarm();
    waiting_ = false;
    return true;
  }

  BodyFilter* response_body() override { return bucket_ ? this : nullptr; }

  void on_end(Instant) override {
    timer_.disarm();
    if (active_) stats().active_faults.subtract();
  }

 private:
  report::FaultStats& stats() const { return context_.stats().fault; }

  bool applies(const http::RequestHead& head) const {
    if (!config_.upstream_cluster.empty()) {
      const config::WeightedCluster* cluster = context_.levels.cluster;
      if (cluster == nullptr || cluster_name(*cluster, head) != config_.upstream_cluster) return false;
    }
    if (!config_.downstream_nodes.empty() &&
        std::ranges::find(config_.downstream_nodes, head.headers.value(kDownstreamNode)) == config_.downstream_nodes.end()) {
      return false;
    }
    return std::ranges::all_of(config_.headers, [&](const auto& matcher) { return matches(matcher, head, context_.worker); });
  }

  // A request that says what it wants may also say how often, but not more often than the configuration allows.
  bool happens(const config::Fault::Injection& injection, const http::RequestHead& head, std::string_view percentage_field) {
    config::Fraction chance = injection.percentage;
    if (injection.by_header) {
      if (const auto wanted = number_of(head, percentage_field))
        chance.numerator = static_cast<std::uint32_t>(std::min<std::uint64_t>(*wanted, chance.numerator));
    }
    return context_.rng.chance(chance.numerator, chance.denominator);
  }

  std::optional<Duration> choose_delay(const http::RequestHead& head) {
    if (!config_.delay) return std::nullopt;
    Duration delay = config_.delay->fixed;
    if (config_.delay->by_header) {
      const auto wanted = number_of(head, kDelayRequest);
      if (!wanted) return std::nullopt;
      delay = Duration::milliseconds(static_cast<std::int64_t>(std::min<std::uint64_t>(*wanted, kLongestDelayMilliseconds)));
    }
    if (delay <= Duration() || !happens(*config_.delay, head, kDelayPercentage)) return std::nullopt;
    return delay;
  }

  void choose_rate(const http::RequestHead& head, Instant now) {
    if (!config_.response_rate_limit) return;
    std::uint64_t kibibytes = config_.response_rate_limit->kibibytes_per_second;
    if (config_.response_rate_limit->by_header) {
      const auto wanted = number_of(head, kThroughput);
      if (!wanted || *wanted == 0) return;
      kibibytes = *wanted;
    }
    if (!happens(*config_.response_rate_limit, head, kThroughputPercentage) || !take_active()) return;
    stats().response_rl_injected.add();
    bucket_.emplace(kibibytes, now);
  }

  /// The answer in place of the upstream's; nothing: none.
  std::optional<LocalReply> choose_abort(const http::RequestHead& head) {
    if (!config_.abort) return std::nullopt;
    LocalReply reply{.status = config_.abort->http_status,
                     .body = "fault filter abort",
                     .details = "fault_filter_abort",
                     .flag = ResponseFlag::kFaultInjected};
    reply.grpc_status = config_.abort->grpc_status;
    if (config_.abort->by_header) {
      const auto status = number_of(head, kAbortRequest);
      const auto grpc_status = number_of(head, kAbortGrpcRequest);
      if (status && *status >= 200 && *status < 600) {
        reply.status = static_cast<std::uint16_t>(*status);
      } else if (grpc_status && *grpc_status <= 16) {
        reply.grpc_status = static_cast<std::uint32_t>(*grpc_status);
      } else {
        return std::nullopt;
      }
    }
    if (reply.grpc_status) reply.status = http_status_of_grpc(*reply.grpc_status);
    if (!happens(*config_.abort, head, kAbortPercentage)) return std::nullopt;
    return reply;
  }

  Verdict abort_by_chance(Instant now) {
    const std::optional<LocalReply> reply = choose_abort(*request_);
    if (!reply || !take_active()) return Verdict::kContinue;
    stats().aborts_injected.add();
    context_.actions.answer(*reply, now);
    return Verdict::kAnswered;
  }

  // Counted once for a stream, and until its end. Workers may pass the limit together by as many as they are.
  bool take_active() {
    if (active_) return true;
    if (config_.max_active) {
      std::int64_t active = 0;
      for (const report::HttpStats& worker : context_.cell.per_worker) active += worker.fault.active_faults.value();
      if (active >= static_cast<std::int64_t>(*config_.max_active)) {
        stats().faults_overflow.add();
        return false;
      }
    }
    stats().active_faults.add();
    return active_ = true;
  }

  // Of the delay first, then of the response's rate.
  void on_timer(Instant now) {
    if (!waiting_) return context_.actions.resume_bodies(now);
    waiting_ = false;
    if (abort_by_chance(now) == Verdict::kContinue) context_.actions.resume_request(now);
  }

  Outcome pass(Pass& pass, Instant now) override {
    const std::size_t wanted = std::min(pass.in.size(), pass.room);
    const std::size_t taken = bucket_->take(wanted, now);
    if (taken > 0 && !pass.in.move_prefix(taken, pass.out)) return Outcome::kNoMemory;
    if (taken < wanted && !timer_.is_armed()) context_.timers.arm(timer_, now + kRateTick);
    pass.out_ended = pass.in_ended && pass.in.empty();
    return Outcome::kPassed;
  }

  const config::Fault& config_;
  FilterContext& context_;
  const http::RequestHead* request_ = nullptr;
  Timer timer_;
  std::optional<ByteRate> bucket_;  // of the response, where its rate is limited
  bool waiting_ = false;            // the request is delayed
  bool active_ = false;
};

}  // namespace

MadeFilter make_filter(const config::Fault& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::Fault>();
  const config::Fault& fault = of_route == nullptr ? config : *of_route;
  if (fault.does_nothing()) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<FaultFilter>(site.context.arena, fault, site.context));
}

}  // namespace millrace::proxy
