#include "dataplane/proxy/local_connection.h"

#include <utility>

#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

constexpr std::size_t kPartBytes = 16 * 1024;  // of an answer, that waits to go out

}  // namespace

LocalConnection::LocalConnection(Runtime& runtime, ChainVersion& chain, ReadyTransport transport, Duration hold, Instant now)
    : Serviced(Stage::kDownstream),
      runtime_(runtime),
      chain_(chain),
      count_(std::move(transport.count)),
      stream_(&transport.stream),
      relay_(std::move(transport.received), runtime.buffer_limit(chain.listener().buffer_limit_bytes)),
      output_(runtime.context.chains),
      timer_(Timer::calling<&LocalConnection::on_timer>(*this)) {
  chain_.pin();
  runtime_.locals.push_back(*this);
  stream_->set_events(*this);
  count_.begin(chain_.listener_stats());
  if (hold > Duration()) {
    state_ = State::kHolding;
    runtime_.arm_after(timer_, now, hold);
    return;
  }
  if (const auto* direct = std::get_if<config::DirectText>(&chain_.config().filter)) left_ = direct->text;
  wake();
}

void LocalConnection::wake() { runtime_.ready.wake(*this); }

void LocalConnection::service(Instant now) {
  if (state_ == State::kOver) return;
  if (stream_ == nullptr) return finish();
  switch (state_) {
    case State::kServing: return std::holds_alternative<config::Echo>(chain_.config().filter) ? pass_back(now) : answer(now);
    case State::kFlushing: return discard_input(now);
    case State::kHolding:
    case State::kOver: return;
  }
}

void LocalConnection::pass_back(Instant now) {
  while (relay_.read(*stream_, now) + relay_.write(*stream_, now) > 0) continue;
  if (relay_.is_complete()) close(now);
}

// Then our side ends, and the client's is waited for, so that it sees the text and not a reset for what it has sent.
void LocalConnection::answer(Instant now) {
  while (!left_.empty() || !output_.empty()) {
    if (output_.empty()) {
      const std::string_view part = left_.substr(0, kPartBytes);
      if (!output_.append_copy(part)) return abort(now);
      left_.remove_prefix(part.size());
    }
    stream_->write(output_, now);
    if (!output_.empty()) return;  // on_writable() follows
  }
  stream_->shutdown_write(now);
  state_ = State::kFlushing;
  runtime_.arm_after(timer_, now, kFlushTimeout);
  discard_input(now);
}

void LocalConnection::discard_input(Instant now) {
  while (stream_->readable() > 0) {
    if (stream_->read(output_, ByteRelay::kMostBytes, now) == 0) break;
    output_.clear();
  }
  if (stream_->read_ended()) close(now);
}

void LocalConnection::on_readable(stream::ByteStream&, Instant) { wake(); }
void LocalConnection::on_writable(stream::ByteStream&, Instant) { wake(); }

void LocalConnection::on_closed(stream::ByteStream&, stream::CloseReason, Instant) {
  stream_ = nullptr;
  wake();
}

void LocalConnection::on_timer(Instant now) {
  if (state_ == State::kHolding || state_ == State::kFlushing) close(now);
}

void LocalConnection::close(Instant now) {
  if (stream_ != nullptr) stream_->close(now);
  finish();
}

void LocalConnection::abort(Instant now) {
  if (state_ == State::kOver) return;
  if (stream_ != nullptr) stream_->reset(now);
  finish();
}

void LocalConnection::finish() {
  state_ = State::kOver;
  stream_ = nullptr;
  timer_.disarm();
  relay_.clear();
  output_.clear();
  count_.end();
  chain_.unpin();
  runtime_.lay_to_rest(*this, runtime_.dead_locals);
}

}  // namespace millrace::proxy
