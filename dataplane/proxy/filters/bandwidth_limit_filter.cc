// envoy.filters.http.bandwidth_limit: bodies of requests, of responses or of both pass at a rate that all streams and workers
// share. What may not pass yet stays in the queue before the filter, where it holds back its sender.
#include <algorithm>
#include <optional>

#include "dataplane/proxy/filters/registry.h"

namespace millrace::proxy {
namespace {

/// One body on its way.
class LimitedBody final : public BodyFilter {
 public:
  LimitedBody(const config::BandwidthLimit& config, report::BandwidthStats& stats, FilterContext& context)
      : config_(config), stats_(stats), context_(context), timer_(Timer::calling<&LimitedBody::on_timer>(*this)) {}

  Outcome pass(Pass& pass, Instant now) override {
    count_incoming(pass.in.size() - left_, now);
    const std::size_t wanted = std::min(pass.in.size(), pass.room);
    const std::size_t taken = wanted == 0 ? 0 : config_.rate->rate.take(config_.bytes_per_second, wanted, now);
    if (taken > 0) {
      if (!pass.in.move_prefix(taken, pass.out)) return Outcome::kNoMemory;
      stats_.allowed_size.set(static_cast<std::int64_t>(taken));
      stats_.allowed_total_size.add(taken);
    }
    left_ = pass.in.size();
    if (taken < wanted && !timer_.is_armed()) {
      stats_.enforced.add();
      context_.timers.arm(timer_, now + config_.fill_interval);
    }
    pass.out_ended = pass.in_ended && pass.in.empty();
    if (pass.out_ended) stats_.transfer_duration.record(milliseconds_since_start(now));
    if (pass.out_ended) end();
    return Outcome::kPassed;
  }

  /// All has passed, or the stream is over.
  void end() {
    timer_.disarm();
    if (pending_) stats_.pending.subtract();
    pending_ = false;
  }

 private:
  void count_incoming(std::size_t count, Instant now) {
    if (!started_) {
      started_ = now;
      stats_.pending.add();
      pending_ = true;
    }
    if (count == 0) return;
    stats_.incoming_size.set(static_cast<std::int64_t>(count));
    stats_.incoming_total_size.add(count);
  }

  std::uint64_t milliseconds_since_start(Instant now) const {
    return static_cast<std::uint64_t>((now - *started_).to_nanoseconds() / 1'000'000);
  }

  void on_timer(Instant now) { context_.actions.resume_bodies(now); }

  const config::BandwidthLimit& config_;
  report::BandwidthStats& stats_;
  FilterContext& context_;
  Timer timer_;
  std::optional<Instant> started_;  // with the body's first byte
  std::size_t left_ = 0;            // bytes that were there already, and had to wait
  bool pending_ = false;
};

class BandwidthLimitFilter final : public HttpFilter {
 public:
  BandwidthLimitFilter(const config::BandwidthLimit& config, FilterContext& context) : config_(config), context_(context) {}

  Verdict on_request(http::RequestHead&, bool end_stream, Instant) override {
    if (config_.limits_requests) begin(stats().request, end_stream, request_);
    return Verdict::kContinue;
  }
  BodyFilter* request_body() override { return request_ ? &*request_ : nullptr; }

  bool on_response(http::ResponseHead&, bool end_stream, Instant) override {
    if (config_.limits_responses) begin(stats().response, end_stream, response_);
    return true;
  }
  BodyFilter* response_body() override { return response_ ? &*response_ : nullptr; }

  void on_end(Instant) override {
    if (request_) request_->end();
    if (response_) response_->end();
  }

 private:
  report::BandwidthLimitStats& stats() const { return config_.cell->per_worker[context_.worker]; }

  void begin(report::BandwidthStats& stats, bool end_stream, std::optional<LimitedBody>& body) {
    stats.enabled.add();
    if (!end_stream) body.emplace(config_, stats, context_);
  }

  const config::BandwidthLimit& config_;
  FilterContext& context_;
  std::optional<LimitedBody> request_;
  std::optional<LimitedBody> response_;
};

}  // namespace

MadeFilter make_filter(const config::BandwidthLimit& config, const FilterSite& site) {
  const auto* of_route = site.route_config<config::BandwidthLimit>();
  const config::BandwidthLimit& limit = of_route == nullptr ? config : *of_route;
  if (!limit.limits_requests && !limit.limits_responses) return MadeFilter::none();
  return MadeFilter::of(make_in_arena<BandwidthLimitFilter>(site.context.arena, limit, site.context));
}

}  // namespace millrace::proxy
