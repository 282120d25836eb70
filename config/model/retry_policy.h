// When, how often and how soon a request is tried again. Source: envoy.config.route.v3.RetryPolicy.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/matcher.h"
#include "dataplane/base/time.h"

namespace millrace::config {

/// The rows of retry_condition.def.
enum class RetryCondition : std::uint8_t {
#define MR_RETRY_CONDITION(name, word) name,
#define MR_GRPC_RETRY_CONDITION(name, word, code) name,
#include "config/model/retry_condition.def"
#undef MR_GRPC_RETRY_CONDITION
#undef MR_RETRY_CONDITION
};

class RetryConditions {
 public:
  constexpr void add(RetryCondition condition) { bits_ |= bit(condition); }
  constexpr void add(RetryConditions others) { bits_ |= others.bits_; }
  [[nodiscard]] constexpr bool has(RetryCondition condition) const { return (bits_ & bit(condition)) != 0; }
  [[nodiscard]] constexpr bool any() const { return bits_ != 0; }
  constexpr bool operator==(const RetryConditions&) const = default;

 private:
  static constexpr std::uint32_t bit(RetryCondition condition) { return std::uint32_t{1} << static_cast<unsigned>(condition); }
  std::uint32_t bits_ = 0;
};

/// The condition of a word of x-envoy-retry-on, or of x-envoy-retry-grpc-on; nothing for any other word.
[[nodiscard]] constexpr std::optional<RetryCondition> retry_condition(std::string_view word) {
#define MR_RETRY_CONDITION(name, text) \
  if (word == text) return RetryCondition::name;
#define MR_GRPC_RETRY_CONDITION(name, text, code)
#include "config/model/retry_condition.def"
#undef MR_GRPC_RETRY_CONDITION
#undef MR_RETRY_CONDITION
  return std::nullopt;
}
[[nodiscard]] constexpr std::optional<RetryCondition> grpc_retry_condition(std::string_view word) {
#define MR_RETRY_CONDITION(name, text)
#define MR_GRPC_RETRY_CONDITION(name, text, code) \
  if (word == text) return RetryCondition::name;
#include "config/model/retry_condition.def"
#undef MR_GRPC_RETRY_CONDITION
#undef MR_RETRY_CONDITION
  return std::nullopt;
}

/// A response field that says when to come again.
struct ResetHeader {
  enum class Format : std::uint8_t { kSeconds, kUnixTimestamp };
  std::string name;  ///< lower case
  Format format = Format::kSeconds;
};

struct RetryPolicy {
  RetryConditions conditions;  ///< none: requests are tried once, with the timeouts below
  std::uint32_t num_retries = 1;
  Duration per_try_timeout;                              ///< zero: none
  Duration per_try_idle_timeout;                         ///< zero: none
  Duration base_interval = Duration::milliseconds(25);   ///< of the back-off; at least 1 ms
  Duration max_interval = Duration::milliseconds(250);   ///< at least base_interval
  std::vector<ResetHeader> reset_headers;                ///< of rate_limited_retry_back_off: the first that says something
  Duration max_reset_interval = Duration::seconds(300);  ///< one that says more says nothing
  std::vector<std::uint32_t> status_codes;               ///< for kRetriableStatusCodes
  std::vector<HeaderMatcher> response_headers;           ///< for kRetriableHeaders: one has to match the response
  std::vector<HeaderMatcher> request_headers;            ///< unless empty, one has to match the request
  bool avoid_previous_hosts = false;                     ///< previous_hosts
  std::uint32_t priority_update_frequency = 0;           ///< previous_priorities, after that many tries; 0: not asked for
  bool avoid_canary_hosts = false;                       ///< omit_canary_hosts
  std::uint32_t host_selection_retries = 1;              ///< choices beyond the first; the last is taken in any case
};

}  // namespace millrace::config
