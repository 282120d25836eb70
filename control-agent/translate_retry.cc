#include "control-agent/translate_retry.h"

#include <algorithm>
#include <cstdint>
#include <sstream>

#include "control-agent/translate_common.h"
#include "envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"
#include "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.pb.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;
using envoy::extensions::retry::host::omit_canary_hosts::v3::OmitCanaryHostsPredicate;
using envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
using envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

namespace {

constexpr std::string_view kForHttp3 = "http3-post-connect-failure";
constexpr std::int64_t kMostHostSelections = 1'000;  // each is a choice of the load balancer within one turn of a worker

config::RetryConditions translate_conditions(const std::string& list, const std::string& path, Diagnostics& diagnostics) {
  config::RetryConditions out;
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) {
    word.erase(0, word.find_first_not_of(" \t"));
    word.erase(word.find_last_not_of(" \t") + 1);
    auto condition = config::retry_condition(word);
    if (!condition) condition = config::grpc_retry_condition(word);
    if (condition) {
      out.add(*condition);
    } else if (word == kForHttp3) {
      diagnostics.harmless(path, word + ": upstreams are not asked over HTTP/3");
    } else if (!word.empty()) {
      diagnostics.warning(path, "\"" + word + "\" is no condition for a retry: it is ignored");
    }
  }
  return out;
}

void translate_back_off(const route::RetryPolicy::RetryBackOff& back_off, const std::string& path, config::RetryPolicy& out,
                        Diagnostics& diagnostics) {
  constexpr auto kShortest = Duration::milliseconds(1);
  constexpr auto kDay = Duration::seconds(86'400);
  const auto interval = [&](const google::protobuf::Duration& source, std::string_view field) {
    const Duration duration = translate_duration(source, join_path(path, field), diagnostics);
    if (duration > kDay) diagnostics.error(join_path(path, field), "must be at most a day");
    return std::clamp(duration, kShortest, kDay);
  };
  out.base_interval = interval(back_off.base_interval(), "base_interval");
  out.max_interval = out.base_interval * 10;
  if (!back_off.has_max_interval()) return;
  out.max_interval = interval(back_off.max_interval(), "max_interval");
  if (out.max_interval < out.base_interval)
    diagnostics.error(join_path(path, "max_interval"), "must not be less than base_interval");
}

void translate_rate_limited(const route::RetryPolicy::RateLimitedRetryBackOff& back_off, const std::string& path,
                            config::RetryPolicy& out, Diagnostics& diagnostics) {
  using Format = config::ResetHeader::Format;
  for (const auto& header : back_off.reset_headers()) {
    const bool timestamp = header.format() == route::RetryPolicy::UNIX_TIMESTAMP;
    out.reset_headers.push_back({lower(header.name()), timestamp ? Format::kUnixTimestamp : Format::kSeconds});
  }
  if (back_off.has_max_interval())
    out.max_reset_interval = translate_duration(back_off.max_interval(), join_path(path, "max_interval"), diagnostics);
}

void translate_priority(const route::RetryPolicy::RetryPriority& priority, const std::string& path, config::RetryPolicy& out,
                        Diagnostics& diagnostics) {
  const auto previous = unpack<PreviousPrioritiesConfig>(priority.typed_config());
  if (!previous) {
    diagnostics.error(join_path(path, "typed_config"),
                      "must be set: a PreviousPrioritiesConfig of envoy.extensions.retry.priority.previous_priorities.v3");
  } else {
    out.priority_update_frequency = static_cast<std::uint32_t>(previous->update_frequency());
  }
}

// Other extensions are refused by the field table.
void translate_host_predicate(const route::RetryPolicy::RetryHostPredicate& predicate, const std::string& path,
                              config::RetryPolicy& out, Diagnostics& diagnostics) {
  if (!predicate.has_typed_config()) {
    diagnostics.error(join_path(path, "typed_config"),
                      "must be set: a PreviousHostsPredicate or an OmitCanaryHostsPredicate of envoy.extensions.retry.host");
    return;
  }
  out.avoid_previous_hosts |= predicate.typed_config().Is<PreviousHostsPredicate>();
  out.avoid_canary_hosts |= predicate.typed_config().Is<OmitCanaryHostsPredicate>();
}

void translate_host_selection(const route::RetryPolicy& policy, const std::string& path, config::RetryPolicy& out,
                              Diagnostics& diagnostics) {
  const std::string list = join_path(path, "retry_host_predicate");
  for (int i = 0; i < policy.retry_host_predicate_size(); ++i) {
    translate_host_predicate(policy.retry_host_predicate(i), index_path(list, static_cast<std::size_t>(i)), out, diagnostics);
  }
  const std::int64_t attempts = policy.host_selection_retry_max_attempts();
  if (attempts < 0 || attempts > kMostHostSelections) {
    diagnostics.error(
        join_path(path, "host_selection_retry_max_attempts"),
        "must be at most " + std::to_string(kMostHostSelections) + " and not negative, is " + std::to_string(attempts));
  } else if (attempts > 0) {  // as Envoy reads it, zero is not set
    out.host_selection_retries = static_cast<std::uint32_t>(attempts);
  }
}

}  // namespace

std::shared_ptr<const config::RetryPolicy> translate_retry_policy(const route::RetryPolicy& policy, const std::string& path,
                                                                  TranslateContext& context) {
  auto& diagnostics = context.diagnostics;
  auto out = std::make_shared<config::RetryPolicy>();
  const auto duration = [&](const google::protobuf::Duration& source, std::string_view field) {
    const Duration timeout = translate_duration(source, join_path(path, field), diagnostics);
    return timeout.is_infinite() ? Duration() : timeout;
  };
  const auto matchers = [&](const auto& source, std::string_view field) {
    std::vector<config::HeaderMatcher> list;
    for (int i = 0; i < source.size(); ++i) {
      const std::string at = index_path(join_path(path, field), static_cast<std::size_t>(i));
      list.push_back(translate_header_matcher(source[i], at, context));
    }
    return list;
  };
  out->conditions = translate_conditions(policy.retry_on(), join_path(path, "retry_on"), diagnostics);
  if (policy.has_num_retries()) out->num_retries = policy.num_retries().value();
  out->per_try_timeout = duration(policy.per_try_timeout(), "per_try_timeout");
  out->per_try_idle_timeout = duration(policy.per_try_idle_timeout(), "per_try_idle_timeout");
  if (policy.has_retry_back_off())
    translate_back_off(policy.retry_back_off(), join_path(path, "retry_back_off"), *out, diagnostics);
  if (policy.has_rate_limited_retry_back_off()) {
    translate_rate_limited(policy.rate_limited_retry_back_off(), join_path(path, "rate_limited_retry_back_off"), *out,
                           diagnostics);
  }
  out->status_codes.assign(policy.retriable_status_codes().begin(), policy.retriable_status_codes().end());
  out->response_headers = matchers(policy.retriable_headers(), "retriable_headers");
  out->request_headers = matchers(policy.retriable_request_headers(), "retriable_request_headers");
  if (policy.has_retry_priority())
    translate_priority(policy.retry_priority(), join_path(path, "retry_priority"), *out, diagnostics);
  translate_host_selection(policy, path, *out, diagnostics);
  return out;
}

}  // namespace millrace::agent
