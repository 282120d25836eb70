#include "dataplane/proxy/stream_retries.h"

#include <algorithm>
#include <new>

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/kept_body.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

StreamRetries::StreamRetries(Runtime& runtime, ActiveStream& stream, const config::RetryPolicy& policy,
                             const http::RequestHead& head, const Limits& limits)
    : runtime_(runtime),
      stream_(stream),
      retry_(policy, head, runtime.worker()),
      limits_(limits),
      kept_(runtime.context.chains),
      back_off_(Timer::calling<&StreamRetries::on_back_off>(*this)),
      try_timer_(Timer::calling<&StreamRetries::on_try_timeout>(*this)),
      idle_timer_(Timer::calling<&StreamRetries::on_idle_timeout>(*this)),
      open_(retry_.enabled()),
      keeps_for_redirects_(limits.for_redirects) {}

bool StreamRetries::keep(const stream::Chain& data) {
  if (data.size() > limits_.keep_bytes - kept_.size() || !affordable(kept_.charge() + data.size(), kept_.pool().packets()))
    return false;
  return append_to_keep(kept_, data);
}

bool StreamRetries::replay(stream::Chain& to) const {
  stream::Chain::Cursor cursor = kept_.cursor(0);
  while (const std::size_t part = cursor.contiguous()) {
    if (!to.append(cursor.take(part))) return false;
  }
  return true;
}

// Without memory for it an endpoint may be tried twice, which is no worse than what no predicate gives.
void StreamRetries::note(const ConnectionPool& pool, std::optional<std::size_t> priority) {
  if (!retry_.policy().avoid_previous_hosts && retry_.policy().priority_update_frequency == 0) return;
  void* memory = stream_.arena().allocate(sizeof(Tried), alignof(Tried));
  if (memory != nullptr) {
    tried_ = ::new (memory) Tried{.cell = &pool.cell(), .priority = priority, .before = tried_};
    ++tries_;
  }
}

// previous_priorities: with every so many tries, what all of them have seen leaves the choice.
void StreamRetries::avoid_tried_priorities() {
  const std::uint32_t frequency = retry_.policy().priority_update_frequency;
  if (frequency == 0 || tries_ == 0 || tries_ % frequency != 0) return;
  for (const Tried* tried = tried_; tried != forgotten_; tried = tried->before) {
    if (tried->priority) avoided_.set(*tried->priority);
  }
}

bool StreamRetries::unwanted(const ConnectionPool& pool) const {
  if (retry_.policy().avoid_canary_hosts && pool.is_canary()) return true;
  for (const Tried* tried = tried_; tried != nullptr && retry_.policy().avoid_previous_hosts; tried = tried->before) {
    if (tried->cell == &pool.cell()) return true;
  }
  return false;
}

ConnectionPool* StreamRetries::choose(ClusterRuntime& cluster, ChoiceContext context, Instant now) {
  avoid_tried_priorities();
  const bool avoids = avoided_.any();
  context.avoid_priorities = &avoided_;
  for (;; ++context.attempt) {
    ConnectionPool* pool = cluster.choose(context, now);
    if (avoids && avoided_.none()) {  // all were tried: from the beginning
      forgotten_ = tried_;
      tries_ = 0;
    }
    if (pool == nullptr || context.attempt == retry_.policy().host_selection_retries || !unwanted(*pool)) return pool;
  }
}

void StreamRetries::begin_try(Instant now) {
  try_began_ = now;
  runtime_.arm_after(try_timer_, now, limits_.try_timeout);
  runtime_.arm_after(idle_timer_, now, retry_.policy().per_try_idle_timeout);
}

void StreamRetries::end_try() {
  try_timer_.disarm();
  idle_timer_.disarm();
}

void StreamRetries::wait(Duration back_off, Instant now) {
  end_try();
  runtime_.context.timers.arm(back_off_, now + back_off);
}

bool StreamRetries::count_in(CircuitBreakers& breakers) {
  uncount();
  if (!breakers.take_retry()) return false;
  counted_in_ = &breakers;
  return true;
}

void StreamRetries::move_to(CircuitBreakers& breakers) {
  uncount();
  breakers.force(BreakerResource::kRetries);
  counted_in_ = &breakers;
}

void StreamRetries::uncount() {
  if (counted_in_ != nullptr) counted_in_->release(BreakerResource::kRetries);
  counted_in_ = nullptr;
}

void StreamRetries::give_up() {
  open_ = false;
  uncount();
  back_off_.disarm();
  if (!keeps_for_redirects_) kept_.clear();
}

void StreamRetries::forget_body() {
  keeps_for_redirects_ = false;
  give_up();
}

void StreamRetries::stop() {
  forget_body();
  end_try();
}

void StreamRetries::on_back_off(Instant now) { stream_.try_again(now); }

void StreamRetries::on_try_timeout(Instant now) { stream_.on_try_timeout(now); }

void StreamRetries::on_idle_timeout(Instant now) {
  const Instant due = std::max(try_began_, stream_.last_progress()) + retry_.policy().per_try_idle_timeout;
  if (due > now) {
    runtime_.context.timers.arm(idle_timer_, due);
    return;
  }
  stream_.on_try_idle_timeout(now);
}

}  // namespace millrace::proxy
