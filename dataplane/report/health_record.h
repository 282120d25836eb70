// What the workers of a gateway share of an endpoint's active health checks: dataplane/proxy/health/checker.h says what it means.
#pragma once

#include <atomic>
#include <cstdint>

namespace millrace::report {

struct HealthRecord {
  std::atomic<bool> watched{false};  ///< it is checked: whoever finds it false marks it as failed, until the first check
  std::atomic<bool> decided{false};  ///< a check has had a result
  std::atomic<std::int64_t> healthy_since{0};  ///< when checks last found it healthy that was failed: Instant, in ns; 0: never
  // Results in a row. The worker that checks counts; any may write 0.
  std::atomic<std::uint32_t> successes{0};  ///< while it is failed
  std::atomic<std::uint32_t> failures{0};   ///< while it is not
};

}  // namespace millrace::report
