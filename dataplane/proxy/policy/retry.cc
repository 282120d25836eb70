#include "dataplane/proxy/policy/retry.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

using config::RetryCondition;
using http::HeaderId;

constexpr std::string_view kRateLimited = "x-envoy-ratelimited";

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Is there an element of the comma-separated list for which `holds(element)` is true? Elements come trimmed; empty ones do not.
template <typename Holds>
bool any_element(std::string_view list, Holds&& holds) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view element = trim(list.substr(0, comma));
    if (!element.empty() && holds(element)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

template <typename ConditionOf>
void add_conditions(std::string_view list, ConditionOf&& condition_of, config::RetryConditions& out) {
  any_element(list, [&](std::string_view word) {
    if (const auto condition = condition_of(word)) out.add(*condition);
    return false;
  });
}

bool is_connection_failure(UpstreamFailure failure) {
  return failure == UpstreamFailure::kLocalConnectionFailure || failure == UpstreamFailure::kRemoteConnectionFailure ||
         failure == UpstreamFailure::kConnectionTimeout;
}

}  // namespace

const config::RetryPolicy& default_retry_policy() {
  static const config::RetryPolicy kDefault;
  return kDefault;
}

bool asks_for_retries(const http::HeaderMap& headers) {
  return headers.contains_any({HeaderId::kXEnvoyRetryOn, HeaderId::kXEnvoyRetryGrpcOn});
}

bool hedges_on_try_timeout(const config::ForwardAction& action, const http::HeaderMap& headers) {
  const std::string_view asked = headers.value(HeaderId::kXEnvoyHedgeOnPerTryTimeout);
  return asked == "true" || (action.hedge_on_try_timeout && asked != "false");
}

Duration take_try_timeout(const config::RetryPolicy* policy, Duration response_timeout, http::RequestHead& head) {
  Duration timeout = policy == nullptr ? Duration() : policy->per_try_timeout;
  if (const http::HeaderField* field = head.headers.find(HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs)) {
    if (const auto asked = parse_number<std::uint32_t>(field->value)) timeout = Duration::milliseconds(*asked);
    head.headers.remove(HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs);
  }
  return response_timeout > Duration() && timeout >= response_timeout ? Duration() : timeout;
}

Retry::Retry(const config::RetryPolicy& policy, const http::RequestHead& head, std::uint32_t worker)
    : policy_(policy), worker_(worker), conditions_(policy.conditions), left_(policy.num_retries) {
  const http::HeaderMap& fields = head.headers;
  add_conditions(fields.joined_value(HeaderId::kXEnvoyRetryOn), config::retry_condition, conditions_);
  add_conditions(fields.joined_value(HeaderId::kXEnvoyRetryGrpcOn), config::grpc_retry_condition, conditions_);
  const auto field_matches = [&](const config::HeaderMatcher& matcher) { return matches(matcher, head, worker); };
  if (!policy.request_headers.empty() && std::ranges::none_of(policy.request_headers, field_matches)) conditions_ = {};
  left_ = parse_number<std::uint64_t>(fields.value(HeaderId::kXEnvoyMaxRetries)).value_or(left_);
  more_status_codes_ = fields.joined_value(HeaderId::kXEnvoyRetriableStatusCodes);
  more_header_names_ = fields.joined_value(HeaderId::kXEnvoyRetriableHeaderNames);
}

// A response that an Envoy has rate limited is retried for that reason or for none.
bool Retry::wants(const http::ResponseHead& head) const {
  if (!enabled()) return false;
  if (head.headers.find(kRateLimited) != nullptr) return conditions_.has(RetryCondition::kEnvoyRateLimited);
  const std::uint16_t status = head.status;
  return (conditions_.has(RetryCondition::k5xx) && status / 100 == 5) ||
         (conditions_.has(RetryCondition::kGatewayError) && status >= 502 && status <= 504) ||
         (conditions_.has(RetryCondition::kRetriable4xx) && status == 409) ||
         (conditions_.has(RetryCondition::kRetriableStatusCodes) && has_retriable_status(status)) ||
         (conditions_.has(RetryCondition::kRetriableHeaders) && matches_header(head)) || matches_grpc_status(head);
}

// Whatever ends a try without a response would have been a 503 to the client, so 5xx and gateway-error cover it. What our own
// limits refuse is never retried: it would only add to what there is too much of.
bool Retry::wants(UpstreamFailure failure, bool started) const {
  if (failure == UpstreamFailure::kOverflow) return false;
  return (conditions_.has(RetryCondition::kConnectFailure) && is_connection_failure(failure)) ||
         (conditions_.has(RetryCondition::kResetBeforeRequest) && !started) || conditions_.has(RetryCondition::kReset) ||
         conditions_.has(RetryCondition::k5xx) || conditions_.has(RetryCondition::kGatewayError) ||
         (conditions_.has(RetryCondition::kRefusedStream) && failure == UpstreamFailure::kRefusedStream);
}

bool Retry::has_retriable_status(std::uint16_t status) const {
  return std::ranges::find(policy_.status_codes, status) != policy_.status_codes.end() ||
         any_element(more_status_codes_,
                     [status](std::string_view code) { return parse_number<std::uint32_t>(code) == std::uint32_t{status}; });
}

bool Retry::matches_header(const http::ResponseHead& head) const {
  std::array<char, kMaxDecimalBytes> digits;
  const auto holds = [&](const config::HeaderMatcher& matcher) {
    const std::string_view value =
        matcher.name == ":status" ? write_decimal(head.status, digits) : head.headers.joined_value(matcher.name);
    return matches(matcher, value, worker_);
  };
  const auto is_there = [&](std::string_view name) {
    return std::ranges::any_of(head.headers.fields(),
                               [name](const http::HeaderField& field) { return equal_ignoring_case(field.name, name); });
  };
  return std::ranges::any_of(policy_.response_headers, holds) || any_element(more_header_names_, is_there);
}

bool Retry::matches_grpc_status(const http::ResponseHead& head) const {
  const auto status = parse_number<std::uint32_t>(head.headers.value(HeaderId::kGrpcStatus));
  if (!status) return false;
  switch (*status) {
#define MR_RETRY_CONDITION(name, word)
#define MR_GRPC_RETRY_CONDITION(name, word, code) \
  case code: return conditions_.has(RetryCondition::name);
#include "config/model/retry_condition.def"
#undef MR_GRPC_RETRY_CONDITION
#undef MR_RETRY_CONDITION
    default: return false;
  }
}

bool Retry::take() {
  if (left_ == 0) return false;
  --left_;
  ++taken_;
  return true;
}

Retry::BackOff Retry::back_off(const http::ResponseHead* head, std::int64_t wall_seconds, Rng& rng) const {
  const auto below = [&](std::int64_t bound) {
    return static_cast<std::int64_t>(rng.next() % static_cast<std::uint64_t>(std::max<std::int64_t>(bound, 1)));
  };
  const std::int64_t said = head == nullptr ? 0 : reset_interval(*head, wall_seconds).to_nanoseconds();
  if (said > 0) return {.time = Duration::nanoseconds(said + below(said / 2)), .rate_limited = true};
  const std::int64_t base = policy_.base_interval.to_nanoseconds();
  const std::int64_t most = policy_.max_interval.to_nanoseconds();
  // 2^N - 1 bases, unless that is more than the most.
  constexpr std::uint32_t kLargestShift = 32;
  const std::int64_t factor = (std::int64_t{1} << std::min(taken_, kLargestShift)) - 1;
  return {.time = Duration::nanoseconds(below(base > most / factor ? most : base * factor))};
}

// Zero: nothing is said, or too much.
Duration Retry::reset_interval(const http::ResponseHead& head, std::int64_t wall_seconds) const {
  constexpr std::uint64_t kMostSeconds = 1'000'000'000;  // 31 years: what can be told apart in nanoseconds
  for (const config::ResetHeader& header : policy_.reset_headers) {
    const auto number = parse_number<std::uint64_t>(trim(head.headers.value(header.name)));
    if (!number) continue;
    const bool is_timestamp = header.format == config::ResetHeader::Format::kUnixTimestamp;
    const auto now = static_cast<std::uint64_t>(is_timestamp ? wall_seconds : 0);
    if (*number <= now || *number - now > kMostSeconds) continue;
    const Duration interval = Duration::seconds(static_cast<std::int64_t>(*number - now));
    if (interval <= policy_.max_reset_interval) return interval;
  }
  return {};
}

}  // namespace millrace::proxy
