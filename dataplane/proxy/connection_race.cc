#include "dataplane/proxy/connection_race.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

ConnectionRace::ConnectionRace(Runtime& runtime, const ConnectionPool& endpoint,
                               std::shared_ptr<const std::vector<SocketAddress>> addresses, stream::ByteStreamEvents& events)
    : runtime_(runtime),
      endpoint_(endpoint),
      addresses_(std::move(addresses)),
      user_(&events),
      timer_(Timer::calling<&ConnectionRace::on_timer>(*this)) {
  MR_ASSERT(!addresses_->empty() && addresses_->size() <= attempts_.size());
}

// What cannot even be tried gives way to the next at once. False: nothing is left to be tried.
bool ConnectionRace::try_next(stream::CloseReason& reason, Instant now) {
  while (next_ < addresses_->size()) {
    if (next_ > 0) {
      endpoint_.cluster_stats().upstream_cx_total.add();
      endpoint_.endpoint_stats().cx_total.add();
    }
    const SocketAddress& address = (*addresses_)[next_++];
    stream::ByteStream* attempt = runtime_.context.connector.connect(address, *this, reason, now);
    if (attempt == nullptr) continue;
    attempts_[running_++] = attempt;
    if (next_ < addresses_->size()) runtime_.context.timers.arm(timer_, now + kBetweenAttempts);
    return true;
  }
  return false;
}

void ConnectionRace::on_timer(Instant now) {
  stream::CloseReason reason{};
  if (!try_next(reason, now) && running_ == 0) fail(reason, now);
}

void ConnectionRace::on_connected(stream::ByteStream& stream, Instant now) {
  reset_all_but(&stream, now);
  stream::ByteStreamEvents& user = *user_;
  stream.set_events(user);
  user.on_replaced(stream);
  if (shut_) stream.shutdown_write(now);
  runtime_.race_pool.destroy(this);
  user.on_connected(stream, now);
}

void ConnectionRace::on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) {
  forget(stream);
  timer_.disarm();
  stream::CloseReason next_reason = reason;
  if (!try_next(next_reason, now) && running_ == 0) fail(next_reason, now);
}

// The user still looks at the stream that it is told of.
void ConnectionRace::fail(stream::CloseReason reason, Instant now) {
  user_->on_closed(*this, reason, now);
  runtime_.race_pool.destroy(this);
}

void ConnectionRace::reset(Instant now) {
  reset_all_but(nullptr, now);
  runtime_.race_pool.destroy(this);
}

void ConnectionRace::reset_all_but(const stream::ByteStream* winner, Instant now) {
  for (std::size_t i = 0; i < running_; ++i) {
    if (attempts_[i] != winner) attempts_[i]->reset(now);
  }
  running_ = 0;
}

void ConnectionRace::forget(const stream::ByteStream& attempt) {
  const auto end = attempts_.begin() + static_cast<std::ptrdiff_t>(running_);
  const auto at = std::find(attempts_.begin(), end, &attempt);
  MR_ASSERT(at != end);
  *at = attempts_[--running_];
}

stream::ByteStream* EndpointConnector::connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                               stream::CloseReason& reason, Instant now) {
  const auto& addresses = endpoint_.endpoint().extras().attempts;
  if (addresses == nullptr) return runtime_.context.connector.connect(peer, events, reason, now);
  ConnectionRace* race = runtime_.race_pool.make(runtime_, endpoint_, addresses, events);
  if (race == nullptr) {
    reason = stream::CloseReason::kNoMemory;
    return nullptr;
  }
  if (race->start(reason, now)) return race;
  runtime_.race_pool.destroy(race);
  return nullptr;
}

}  // namespace millrace::proxy
