#include "dataplane/tcp/endpoint.h"

#include <utility>

#include "dataplane/tcp/stack.h"

namespace millrace::tcp {

Endpoint::Endpoint(Stack& stack, Shared& shared, const FlowKey& flow, nic::TxOffloads tx_offloads)
    : FlowEntry(Kind::kEndpoint, flow),
      stack_(stack),
      connection_(shared),
      timer_(Timer::calling<&Endpoint::on_timer>(*this)),
      tx_(tx_offloads) {}

std::size_t Endpoint::read(stream::Chain& to, std::size_t limit, Instant now) {
  const std::size_t count = connection_.read(to, limit, now);
  if (connection_.end() && connection_.readable() == 0) stack_.schedule_events(*this);
  if (connection_.needs_transmit(Instant())) stack_.mark_dirty(*this);
  return count;
}

std::size_t Endpoint::write(stream::Chain& from, Instant now) {
  const std::size_t count = connection_.write(from, now);
  if (count > 0) stack_.mark_dirty(*this);
  return count;
}

void Endpoint::shutdown_write(Instant now) {
  connection_.shutdown_write(now);
  stack_.mark_dirty(*this);
}

void Endpoint::close(Instant now) {
  user_ = nullptr;
  connection_.close(now);
  stack_.mark_dirty(*this);
}

void Endpoint::set_keep_alive(const KeepAlive& keep_alive, Instant) {
  connection_.set_keep_alive(keep_alive);
  stack_.mark_dirty(*this);  // its timer
}

void Endpoint::reset(Instant) {
  user_ = nullptr;
  connection_.reset();
  stack_.mark_dirty(*this);
}

void Endpoint::on_timer(Instant now) {
  connection_.on_timer(now);
  stack_.schedule_events(*this);
  stack_.mark_dirty(*this);
}

void Endpoint::deliver(Instant now) {
  const Connection::Events events = connection_.take_events();
  if (events.connected && user_ != nullptr) user_->on_connected(*this, now);
  if (events.readable && user_ != nullptr) user_->on_readable(*this, now);
  if (events.writable && user_ != nullptr) user_->on_writable(*this, now);
  if (user_ == nullptr || !connection_.end()) return;
  const stream::CloseReason reason = *connection_.end();
  if (reason == stream::CloseReason::kGraceful && connection_.readable() > 0) return;  // read() schedules us again
  std::exchange(user_, nullptr)->on_closed(*this, reason, now);
  stack_.mark_dirty(*this);  // to be freed
}

}  // namespace millrace::tcp
