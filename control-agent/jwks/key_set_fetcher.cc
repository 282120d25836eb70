#include "control-agent/jwks/key_set_fetcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "control-agent/json_web_keys.h"
#include "tls/context_slot.h"

namespace millrace::agent {
namespace {

constexpr Duration kBeforeExpiry = Duration::seconds(5);  // as in Envoy
constexpr Duration kLeastPause = Duration::milliseconds(100);
constexpr Duration kMostTimeout = Duration::seconds(60);
constexpr std::uint16_t kOk = 200;
constexpr std::uint16_t kServerError = 500;

std::string host_of(const std::string& authority) {
  if (authority.starts_with('[')) return authority.substr(1, authority.find(']') - 1);
  return authority.substr(0, authority.find(':'));
}

/// The endpoints that load balancing would choose from: the healthy ones, else the degraded, else all.
std::vector<const config::Endpoint*> candidates(const config::Cluster& cluster) {
  std::vector<const config::Endpoint*> out;
  for (const auto wanted : {config::EndpointHealth::kHealthy, config::EndpointHealth::kDegraded}) {
    for (const config::Endpoint& endpoint : cluster.endpoints) {
      if (config::health_of(endpoint) == wanted) out.push_back(&endpoint);
    }
    if (!out.empty()) return out;
  }
  for (const config::Endpoint& endpoint : cluster.endpoints) out.push_back(&endpoint);
  return out;
}

/// What "5xx,gateway-error,connect-failure,reset" comes to.
bool is_worth_a_retry(const HttpAnswer& answer) { return answer.status == 0 || answer.status >= kServerError; }

std::string describe(const HttpAnswer& answer) {
  if (answer.status == 0) return answer.error;
  if (answer.status != kOk) return "the answer has the status " + std::to_string(answer.status) + ", not 200";
  return "the answer has no body";
}

}  // namespace

/// One set.
struct KeySetFetcher::Fetch {
  std::shared_ptr<const KeySet> set;
  Instant due;                      // of the next try; never: one is under way
  std::optional<Instant> deadline;  // of the fetch that is under way, with all its tries
  std::uint32_t tries = 0;          // of that fetch
  bool awaits_names = false;        // of its cluster, which are being resolved
  bool settled = false;             // has succeeded or failed once
  bool failing = false;             // did the last one fail?
  std::string text;                 // of the keys in the slot
  std::size_t keys = 0;             // there

  [[nodiscard]] const KeySetPlan& plan() const { return set->plan; }
};

KeySetFetcher::KeySetFetcher(KeySetStore& store, const SnapshotPublisher& publisher, HttpGetter& getter, std::uint64_t seed)
    : store_(store), publisher_(publisher), getter_(getter), rng_(seed) {}

KeySetFetcher::~KeySetFetcher() = default;

std::vector<KeySetReport> KeySetFetcher::service(Instant now) {
  follow_store(now);
  for (const auto& [set, fetch] : fetches_) {
    if (fetch->due <= now || fetch->awaits_names) begin_try(fetch, now);
  }
  for (Answered& answered : std::exchange(answers_, {})) take(answered, now);
  return std::exchange(reports_, {});
}

Instant KeySetFetcher::next_timeout() const {
  Instant next = Instant::never();
  for (const auto& [set, fetch] : fetches_) next = std::min(next, fetch->due);
  return next;
}

void KeySetFetcher::follow_store(Instant now) {
  const auto sets = store_.sets();
  const std::lock_guard lock(mutex_);
  std::erase_if(fetches_, [&](const auto& entry) { return entry.first->slot.expired(); });
  for (const auto& set : sets) {
    const auto [at, added] = fetches_.try_emplace(set.get());
    if (!added) continue;
    at->second = std::make_shared<Fetch>();
    at->second->set = set;
    at->second->due = now;
  }
  followed_ = true;
}

void KeySetFetcher::begin_try(const std::shared_ptr<Fetch>& fetch, Instant now) {
  const KeySetPlan& plan = fetch->plan();
  const Duration timeout = plan.timeout == Duration() ? kMostTimeout : std::min(plan.timeout, kMostTimeout);
  if (!fetch->deadline) fetch->deadline = now + timeout;
  HttpGet request;
  std::string reason;
  const Targeting targeting = find_target(plan, request, reason);
  fetch->awaits_names = targeting == Targeting::kUnresolved && now < *fetch->deadline;
  if (fetch->awaits_names) {
    fetch->due = *fetch->deadline;
    return;
  }
  if (targeting != Targeting::kFound) return fail(*fetch, reason, now);
  request.timeout = *fetch->deadline - now;
  if (plan.retries > 0) request.timeout = std::min(request.timeout, plan.max_interval);
  fetch->due = Instant::never();
  ++fetch->tries;
  getter_.get(request, [this, fetch](HttpAnswer answer) { answers_.push_back({fetch, std::move(answer)}); });
}

KeySetFetcher::Targeting KeySetFetcher::find_target(const KeySetPlan& plan, HttpGet& request, std::string& reason) {
  const auto world = publisher_.world();
  const WorldCluster* known = world->find_cluster(plan.cluster);
  if (known == nullptr) {
    reason = "there is no cluster \"" + plan.cluster + "\"";
    return Targeting::kNone;
  }
  const WorldCluster& cluster = *known;
  const auto endpoints = candidates(*cluster.cluster);
  if (endpoints.empty()) {
    reason = "the cluster \"" + plan.cluster + "\" has no endpoints";
    return cluster.frame->dns && cluster.resolved == nullptr ? Targeting::kUnresolved : Targeting::kNone;
  }
  const config::Endpoint& endpoint = *endpoints[rng_.below(static_cast<std::uint32_t>(endpoints.size()))];
  if (endpoint.extras().proxy_protocol != nullptr) {
    reason = "the cluster \"" + plan.cluster + "\" wants a PROXY header, which is not sent here: name a cluster without";
    return Targeting::kNone;
  }
  if (!endpoint.extras().pipe.empty()) {
    reason =
        "the cluster \"" + plan.cluster + "\" has a Unix socket for an endpoint, which is not asked here: name another cluster";
    return Targeting::kNone;
  }
  request.address = endpoint.address;
  request.authority = plan.authority;
  request.path = plan.path;
  request.connect_timeout = cluster.cluster->connect_timeout;
  if (endpoint.extras().tls != nullptr) {
    request.tls = endpoint.extras().tls->slot->current();
    if (request.tls == nullptr) {
      reason = "the cluster \"" + plan.cluster + "\" waits for a secret of the control plane";
      return Targeting::kUnresolved;
    }
    request.server_name = endpoint.extras().tls->auto_sni ? host_of(plan.authority) : request.tls->server_name();
    if (endpoint.extras().tls->auto_san_validation) request.expected_name = host_of(plan.authority);
  }
  return Targeting::kFound;
}

void KeySetFetcher::take(Answered& answered, Instant now) {
  Fetch& fetch = *answered.fetch;
  const HttpAnswer& answer = answered.answer;
  if (fetch.set->slot.expired()) return;
  if (answer.status == kOk && !answer.body.empty()) return succeed(fetch, answer.body, now);
  if (is_worth_a_retry(answer) && fetch.tries <= fetch.plan().retries) {
    fetch.due = now + pause_before_retry(fetch);
    if (fetch.due < *fetch.deadline) return;
  }
  fail(fetch, describe(answer), now);
}

// Jittered and exponential, as Envoy's.
Duration KeySetFetcher::pause_before_retry(const Fetch& fetch) {
  const KeySetPlan& plan = fetch.plan();
  Duration most = plan.max_interval;
  if (fetch.tries <= 20) most = std::min(most, plan.base_interval * (std::int64_t{1} << (fetch.tries - 1)));
  const auto milliseconds = static_cast<std::uint32_t>(std::clamp<std::int64_t>(most.to_milliseconds(), 1, 1 << 30));
  return Duration::milliseconds(1 + rng_.below(milliseconds));
}

void KeySetFetcher::succeed(Fetch& fetch, const std::string& body, Instant now) {
  const auto slot = fetch.set->slot.lock();
  if (slot == nullptr) return;
  const bool was_failing = fetch.failing;
  std::vector<std::string> left_out;
  const bool changed = body != fetch.text;
  if (changed) {
    auto parsed = parse_json_web_keys(body);
    if (!parsed) return fail(fetch, "the answer is no set of keys: " + parsed.error(), now);
    left_out = std::move(parsed->left_out);
    fetch.keys = parsed->keys.size();
    slot->replace(std::move(parsed->keys));
    fetch.text = body;
  }
  fetch.failing = false;
  if (changed || was_failing)
    reports_.push_back({.uri = fetch.plan().uri, .error = {}, .keys = fetch.keys, .left_out = std::move(left_out)});
  fetch.plan().cell->per_worker[0].jwt_authn.jwks_fetch_success.add();
  const Duration kept = fetch.plan().cache_duration;
  const bool is_early = fetch.plan().is_async && kept > kBeforeExpiry;
  settle(fetch, now + std::max(is_early ? kept - kBeforeExpiry : kept, kLeastPause));
}

void KeySetFetcher::fail(Fetch& fetch, const std::string& reason, Instant now) {
  if (const auto slot = fetch.set->slot.lock()) slot->give_up_waiting();
  fetch.plan().cell->per_worker[0].jwt_authn.jwks_fetch_failed.add();
  if (!std::exchange(fetch.failing, true))
    reports_.push_back({.uri = fetch.plan().uri, .error = reason, .keys = fetch.keys, .left_out = {}});
  settle(fetch, now + std::max(fetch.plan().failed_refetch_duration, kLeastPause));
}

void KeySetFetcher::settle(Fetch& fetch, Instant due) {
  const std::lock_guard lock(mutex_);
  fetch.settled = true;
  fetch.due = due;
  fetch.deadline.reset();
  fetch.tries = 0;
  fetch.awaits_names = false;
}

bool KeySetFetcher::is_warm() const {
  const std::lock_guard lock(mutex_);
  return followed_ && std::ranges::all_of(fetches_, [](const auto& entry) {
           return entry.second->settled || !entry.second->plan().holds_listener;
         });
}

}  // namespace millrace::agent
