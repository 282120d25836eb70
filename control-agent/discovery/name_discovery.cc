#include "control-agent/discovery/name_discovery.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace millrace::agent {

/// One name of a cluster.
struct NameDiscovery::Target {
  std::vector<IpAddress> addresses;  // of the last good answer
  bool settled = false;              // answered or failed once
  Instant due;
  std::uint32_t failures = 0;  // since the last good answer
  // Of the lookup under way:
  std::vector<IpFamily> to_ask;  // families that come after those that were asked
  unsigned asked = 0;            // of which the answer has not come
  bool failed = false;
  std::vector<IpAddress> found;
  std::optional<Duration> ttl;
};

/// One cluster.
struct NameDiscovery::Watch {
  std::string cluster;
  std::shared_ptr<const ClusterFrame> frame;
  NameResolver* resolver = nullptr;
  std::map<std::string, Target> targets;
  DnsStats stats;
  bool changed = false;  // since it was published
  bool stopped = false;  // the cluster is gone or another: answers come too late

  [[nodiscard]] const DnsPlan& plan() const { return *frame->dns; }
};

namespace {

/// The families of a lookup in order; all at once for kAll, else the second only where the first has nothing.
std::vector<IpFamily> families(const DnsPlan& plan, RoutableFamilies routable) {
  std::vector<IpFamily> out;
  switch (plan.family) {
    case LookupFamily::kV4Only: out = {IpFamily::kV4}; break;
    case LookupFamily::kV6Only: out = {IpFamily::kV6}; break;
    case LookupFamily::kAuto: out = {IpFamily::kV6, IpFamily::kV4}; break;
    case LookupFamily::kV4Preferred:
    case LookupFamily::kAll: out = {IpFamily::kV4, IpFamily::kV6}; break;
  }
  if (plan.filter_unroutable)
    std::erase_if(out, [&](IpFamily family) { return !(family == IpFamily::kV4 ? routable.v4 : routable.v6); });
  return out;
}

}  // namespace

NameDiscovery::NameDiscovery(SnapshotPublisher& publisher, ResolverSource resolvers, RoutableFamilies routable,
                             std::uint64_t seed)
    : publisher_(publisher), resolvers_(std::move(resolvers)), routable_(routable), rng_(seed) {}

NameDiscovery::~NameDiscovery() = default;

void NameDiscovery::service(Instant now) {
  follow_world(now);
  for (const auto& [cluster, watch] : watches_) {
    for (auto& [name, target] : watch->targets) {
      if (target.due <= now) ask(watch, name, target, now);
    }
  }
  // An answer may be followed by another question, which may be answered at once.
  while (!answers_.empty()) {
    for (Answered& answered : std::exchange(answers_, {})) take(answered, now);
  }
  publish();
}

Instant NameDiscovery::next_timeout() const {
  Instant next = Instant::never();
  for (const auto& [cluster, watch] : watches_) {
    for (const auto& [name, target] : watch->targets) next = std::min(next, target.due);
  }
  return next;
}

void NameDiscovery::follow_world(Instant now) {
  const auto world = publisher_.world();
  const std::lock_guard lock(mutex_);
  std::erase_if(watches_, [&](auto& entry) {
    const WorldCluster* known = world->find_cluster(entry.first);
    const bool gone = known == nullptr || !known->frame->dns;
    if (gone) entry.second->stopped = true;
    return gone;
  });
  for (const auto& [name, shared] : world->clusters) {
    const WorldCluster& cluster = *shared;
    if (!cluster.frame->dns) continue;
    auto& watch = watches_[name];
    if (watch != nullptr && watch->frame == cluster.frame) continue;
    auto next = std::make_shared<Watch>();
    next->cluster = name;
    next->frame = cluster.frame;
    next->resolver = resolvers_(next->plan().resolver);
    for (const std::string& host : next->plan().names) next->targets[host].due = now;
    if (watch != nullptr) {  // what is known of names that stay is good until the next answer
      watch->stopped = true;
      next->stats = watch->stats;
      for (auto& [host, target] : next->targets) {
        const auto before = watch->targets.find(host);
        if (before != watch->targets.end()) target.addresses = before->second.addresses;
      }
    }
    watch = std::move(next);
  }
  followed_ = true;
}

void NameDiscovery::ask(const std::shared_ptr<Watch>& watch, const std::string& name, Target& target, Instant now) {
  target.due = Instant::never();
  target.to_ask = families(watch->plan(), routable_);
  target.failed = watch->resolver == nullptr || target.to_ask.empty();
  target.found.clear();
  target.ttl.reset();
  {
    const std::lock_guard lock(mutex_);
    ++watch->stats.update_attempt;
  }
  if (target.failed) return finish(*watch, target, now);
  const std::size_t at_once = watch->plan().family == LookupFamily::kAll ? target.to_ask.size() : 1;
  const std::vector<IpFamily> first(target.to_ask.begin(), target.to_ask.begin() + static_cast<std::ptrdiff_t>(at_once));
  target.to_ask.erase(target.to_ask.begin(), target.to_ask.begin() + static_cast<std::ptrdiff_t>(at_once));
  target.asked = static_cast<unsigned>(first.size());
  for (const IpFamily family : first) ask_family(watch, name, family);
}

void NameDiscovery::ask_family(const std::shared_ptr<Watch>& watch, const std::string& name, IpFamily family) {
  watch->resolver->resolve(name, family,
                           [this, watch, name](NameAnswer answer) { answers_.push_back({watch, name, std::move(answer)}); });
}

void NameDiscovery::take(Answered& answered, Instant now) {
  Watch& watch = *answered.watch;
  if (watch.stopped) return;
  Target& target = watch.targets.at(answered.name);
  NameAnswer& answer = answered.answer;
  if (answer.status == NameAnswer::Status::kFound) {
    target.found.insert(target.found.end(), answer.addresses.begin(), answer.addresses.end());
    target.ttl = std::min(target.ttl.value_or(answer.ttl), answer.ttl);
  }
  target.failed = target.failed || answer.status == NameAnswer::Status::kFailed;
  if (--target.asked > 0) return;
  if (target.found.empty() && !target.to_ask.empty()) {
    const IpFamily next = target.to_ask.front();
    target.to_ask.erase(target.to_ask.begin());
    target.asked = 1;
    return ask_family(answered.watch, answered.name, next);
  }
  finish(watch, target, now);
}

Duration NameDiscovery::pause_after_failure(const DnsPlan& plan, Target& target) {
  const std::uint32_t failures = target.failures++;
  if (!plan.failure_backoff) return plan.refresh_rate;
  const Duration base = plan.failure_backoff->base;
  Duration most = plan.failure_backoff->max;
  if (failures < 20) most = std::min(most, base * (std::int64_t{1} << failures));
  const auto milliseconds = static_cast<std::uint32_t>(std::min<std::int64_t>(most.to_milliseconds(), 1 << 30));
  return Duration::milliseconds(1 + rng_.below(std::max(milliseconds, 1u)));
}

// Names that were asked together do not stay together: never earlier, and later by a sixteenth and a second at most.
Duration NameDiscovery::later(Duration interval) {
  const std::int64_t most = std::clamp<std::int64_t>(interval.to_milliseconds() / 16, 0, 1'000);
  return interval + Duration::milliseconds(rng_.below(static_cast<std::uint32_t>(most) + 1));
}

// What a failure says of a name is nothing: its last addresses stay. A name without addresses is an answer.
void NameDiscovery::finish(Watch& watch, Target& target, Instant now) {
  const DnsPlan& plan = watch.plan();
  const std::lock_guard lock(mutex_);
  target.settled = true;
  if (target.failed && target.found.empty()) {
    ++watch.stats.update_failure;
    target.due = now + pause_after_failure(plan, target);
    return;
  }
  ++watch.stats.update_success;
  target.failures = 0;
  const bool by_ttl = plan.respect_ttl && target.ttl && *target.ttl > Duration();
  target.due = now + later(by_ttl ? *target.ttl : plan.refresh_rate);
  if (target.found.empty()) {
    ++watch.stats.update_empty;
    if (plan.logical) return;  // as in Envoy it stays where it was
  }
  const bool has_one = plan.logical && plan.family != LookupFamily::kAll;
  if (has_one) target.found.resize(1);
  // Answers come in any order; of a logical cluster the first counts, but of both families all, which are tried in turn.
  std::ranges::sort(target.found);
  target.found.erase(std::ranges::unique(target.found).begin(), target.found.end());
  if (plan.logical) std::ranges::stable_partition(target.found, [](const IpAddress& ip) { return !ip.is_v4(); });
  if (target.found == target.addresses) {
    ++watch.stats.update_no_rebuild;
    return;
  }
  target.addresses = target.found;
  watch.changed = true;
}

void NameDiscovery::publish() {
  const auto is_changed = [](const auto& entry) { return entry.second->changed; };
  const bool outdated = std::ranges::any_of(publisher_.world()->resources.resolved,
                                            [&](const auto& entry) { return !watches_.contains(entry.first); });
  if (!outdated && std::ranges::none_of(watches_, is_changed)) return;
  publisher_.update([&](SnapshotPublisher::Batch& batch) {
    for (const auto& [cluster, watch] : watches_) {
      if (!std::exchange(watch->changed, false)) continue;
      auto names = std::make_shared<ResolvedNames>();
      for (const auto& [name, target] : watch->targets) names->emplace(name, target.addresses);
      // Names alone are no reason to refuse a cluster that was accepted.
      (void)batch.apply([&](Resources& all) { all.resolved.set(cluster, names); });
    }
    (void)batch.apply(
        [&](Resources& all) { all.resolved.erase_if([&](const auto& entry) { return !watches_.contains(entry.first); }); });
  });
}

bool NameDiscovery::is_warm() const {
  const std::lock_guard lock(mutex_);
  return followed_ && std::ranges::all_of(watches_, [](const auto& entry) {
           const Watch& watch = *entry.second;
           return !watch.plan().warm_on_init ||
                  std::ranges::all_of(watch.targets, [](const auto& target) { return target.second.settled; });
         });
}

std::map<std::string, DnsStats> NameDiscovery::stats() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, DnsStats> out;
  for (const auto& [cluster, watch] : watches_) out.emplace(cluster, watch->stats);
  return out;
}

}  // namespace millrace::agent
