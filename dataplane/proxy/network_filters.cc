#include "dataplane/proxy/network_filters.h"

namespace millrace::proxy {
namespace {

/// What all of them may ask.
struct Subject {
  const StreamInfo& info;
  std::uint32_t worker;
  ConnectionCount& count;
  Instant now;
};

Admission ask(const config::Rbac& rbac, const Subject& subject) {
  const AccessSubject asked{subject.info, nullptr, subject.worker};
  if (rbac.shadow_rules) {
    report::RbacStats& stats = rbac.shadow_cell->per_worker[subject.worker];
    (judge(*rbac.shadow_rules, asked).allowed ? stats.shadow_allowed : stats.shadow_denied).add();
  }
  if (!rbac.rules) return {};
  const AccessVerdict verdict = judge(*rbac.rules, asked);
  report::RbacStats& stats = rbac.cell->per_worker[subject.worker];
  (verdict.allowed ? stats.allowed : stats.denied).add();
  if (verdict.allowed) return {};
  return {.kind = Admission::Kind::kClose, .verdict = verdict};
}

Admission ask(const config::ConnectionLimit& limit, const Subject& subject) {
  report::ConnectionLimitStats& stats = limit.cell->per_worker[subject.worker];
  if (!limit.enabled || subject.count.take_place(limit.total->connections, limit.max_connections, &stats.active_connections))
    return {};
  stats.limited_connections.add();
  if (limit.delay > Duration()) return {.kind = Admission::Kind::kHold, .delay = limit.delay};
  return {.kind = Admission::Kind::kClose};
}

Admission ask(const config::ConnectionRateLimit& limit, const Subject& subject) {
  if (!limit.enabled || limit.bucket.cell->bucket.take(limit.bucket.limits, subject.now)) return {};
  limit.cell->per_worker[subject.worker].rate_limited.add();
  return {.kind = Admission::Kind::kClose};
}

}  // namespace

Admission admit(std::span<const config::NetworkFilter> filters, const StreamInfo& info, std::uint32_t worker,
                ConnectionCount& count, Instant now) {
  for (const config::NetworkFilter& filter : filters) {
    const Admission said = std::visit([&](const auto& config) { return ask(config, {info, worker, count, now}); }, filter);
    if (said.kind != Admission::Kind::kServe) return said;
  }
  return {};
}

}  // namespace millrace::proxy
