#include "tests/simulation/retry_oracle.h"

#include <algorithm>
#include <string>

namespace millrace::sim {
namespace {

using config::RetryCondition;
using Row = RequestTable::Row;

const TryRecord* find_attempt(const Row& row, std::uint32_t attempt) {
  const auto found = std::ranges::find(row.tries, attempt, &TryRecord::attempt);
  return found == row.tries.end() ? nullptr : &*found;
}

std::string text_of(const TryRecord& failed) {
  if (failed.status == 0) return failed.broken ? "which an origin broke" : "to which its origin said nothing";
  return "to which an origin said " + std::to_string(failed.status) + (failed.broken ? " before it broke" : "");
}

// A try before this one may have taken too long.
bool may_have_timed_out(const RequestTable& table, const Row& row, const TryRecord& next) {
  const Duration try_timeout = table.retry->per_try_timeout;
  return try_timeout > Duration() && next.seen - row.asked >= try_timeout;
}

bool may_follow(const RequestTable& table, const Row& row, const TryRecord& next) {
  const config::RetryPolicy& policy = *table.retry;
  const bool timed_out = may_have_timed_out(table, row, next);
  if (table.hedged && timed_out) return true;
  const TryRecord* failed = find_attempt(row, next.attempt - 1);
  if (failed == nullptr) {
    const bool sent = std::ranges::any_of(row.tries, [&](const TryRecord& other) { return other.attempt < next.attempt; });
    return covers_connect_failure(policy, sent);
  }
  if (failed->status != 0 && covers_status(policy, failed->status)) return true;
  return covers_loss(policy) && (failed->broken || timed_out || table.may_break);
}

void judge_try(RequestTable& table, const Row& row, const TryRecord& next, const std::string& who) {
  if (table.retry == nullptr || next.attempt > 1 + table.retry->num_retries) {
    table.findings.add(who + "was sent again beyond its retries: attempt " + std::to_string(next.attempt));
  } else if (!may_follow(table, row, next)) {
    const TryRecord* failed = find_attempt(row, next.attempt - 1);
    table.findings.add(who + "was sent again against its policy, after attempt " + std::to_string(next.attempt - 1) + ", " +
                       (failed == nullptr ? "which reached nobody" : text_of(*failed)));
  }
}

}  // namespace

bool covers_loss(const config::RetryPolicy& policy) {
  return policy.conditions.has(RetryCondition::k5xx) || policy.conditions.has(RetryCondition::kGatewayError) ||
         policy.conditions.has(RetryCondition::kReset);
}

bool covers_connect_failure(const config::RetryPolicy& policy, bool sent) {
  return covers_loss(policy) || policy.conditions.has(RetryCondition::kConnectFailure) ||
         (policy.conditions.has(RetryCondition::kResetBeforeRequest) && !sent);
}

bool covers_status(const config::RetryPolicy& policy, int status) {
  return (policy.conditions.has(RetryCondition::k5xx) && status >= 500) ||
         (policy.conditions.has(RetryCondition::kGatewayError) && status >= 502 && status <= 504) ||
         (policy.conditions.has(RetryCondition::kRetriableStatusCodes) &&
          std::ranges::find(policy.status_codes, static_cast<std::uint32_t>(status)) != policy.status_codes.end());
}

bool covers(const config::RetryPolicy& policy, const RequestPlan& plan) {
  using Failure = RequestPlan::Failure;
  switch (plan.failure) {
    case Failure::kStatus: return covers_status(policy, plan.failure_status);
    case Failure::kHang: return covers_loss(policy) && policy.per_try_timeout > Duration();
    case Failure::kResetInBody: return false;  // its head is the client's by then
    case Failure::kReset:
    case Failure::kGarbage:
    case Failure::kResetInHead: return covers_loss(policy);
  }
  return false;
}

void judge_retries(RequestTable& table) {
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const Row& row = table.rows[i];
    const std::string who = "request " + std::to_string(i) + ": ";
    for (const TryRecord& seen : row.tries) {
      if (find_attempt(row, seen.attempt) != &seen) {
        table.findings.add(who + "reached origins twice as attempt " + std::to_string(seen.attempt));
      } else if (seen.attempt > 1) {
        judge_try(table, row, seen, who);
      }
      if (row.told_attempts != 0 && seen.attempt > row.told_attempts)
        table.findings.add(who + "was sent again after its client had a response");
    }
  }
}

}  // namespace millrace::sim
