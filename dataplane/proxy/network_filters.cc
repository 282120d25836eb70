#include "dataplane/proxy/network_filters.h"

#include <algorithm>

#include "dataplane/proxy/policy/access_rules.h"

namespace millrace::proxy {
namespace {

bool admits(const config::Rbac& rbac, const StreamInfo& info, std::uint32_t worker) {
  const AccessSubject subject{info, nullptr, worker};
  if (rbac.shadow_rules) {
    report::RbacStats& stats = rbac.shadow_cell->per_worker[worker];
    (judge(*rbac.shadow_rules, subject).allowed ? stats.shadow_allowed : stats.shadow_denied).add();
  }
  if (!rbac.rules) return true;
  const bool allowed = judge(*rbac.rules, subject).allowed;
  report::RbacStats& stats = rbac.cell->per_worker[worker];
  (allowed ? stats.allowed : stats.denied).add();
  return allowed;
}

}  // namespace

bool admit(std::span<const config::NetworkFilter> filters, const StreamInfo& info, std::uint32_t worker) {
  return std::ranges::all_of(filters, [&](const config::NetworkFilter& filter) {
    return std::visit([&](const auto& config) { return admits(config, info, worker); }, filter);
  });
}

}  // namespace millrace::proxy
