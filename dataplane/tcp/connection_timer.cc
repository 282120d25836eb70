// What time does to a connection: handshakes repeated, losses found, peers asked whether they live, and ends when nobody answers.
#include "dataplane/tcp/connection.h"

namespace millrace::tcp {

using stream::CloseReason;

void Connection::on_timer(Instant now) {
  if (state_ == State::kClosed || state_ == State::kTimeWait) return;
  if (state_ == State::kSynSent || state_ == State::kSynReceived) return on_handshake_timer(now);
  if (deadline_ <= now) on_closed_timer(now);
  if (state_ != State::kClosed && user_deadline() <= now) {
    shared_.counters.add(Counter::kTimeouts);
    abort(CloseReason::kTimeout);
  }
  if (state_ != State::kClosed) on_sender_timer(now);
  if (state_ != State::kClosed && keep_alive_deadline() <= now) on_keep_alive();
}

void Connection::on_handshake_timer(Instant now) {
  if (now < deadline_) return;
  if (syn_retries_++ >= shared_.config.syn_retries) {
    shared_.counters.add(Counter::kTimeouts);
    return finish(unreachable_ ? CloseReason::kUnreachable : CloseReason::kTimeout);
  }
  shared_.counters.add(Counter::kRetransmissionTimeouts);
  syn_due_ = true;
  deadline_ = now + syn_timeout();
}

// The user has closed: how long the peer may keep us.
void Connection::on_closed_timer(Instant) {
  deadline_ = Instant::never();
  if (state_ == State::kFinWait2) return finish(CloseReason::kTimeout);
  if (!user_gone_) return;
  shared_.counters.add(Counter::kTimeouts);
  abort(CloseReason::kTimeout);
}

void Connection::on_sender_timer(Instant now) {
  const Sender::Expired expired = sender_.on_timer(now);
  switch (expired) {
    case Sender::Expired::kNothing:
    case Sender::Expired::kReordering: return;
    case Sender::Expired::kTailProbe: return shared_.counters.add(Counter::kTailProbes);
    case Sender::Expired::kRetransmission: shared_.counters.add(Counter::kRetransmissionTimeouts); break;
    case Sender::Expired::kProbe: shared_.counters.add(Counter::kWindowProbes); break;
  }
  // A peer may answer probes for ever; what nobody watches any more may not hold its buffers as long.
  if (user_gone_ && expired == Sender::Expired::kProbe && deadline_.is_never()) deadline_ = now + shared_.config.closed_stall;
  const std::uint32_t limit = user_gone_ ? shared_.config.closed_retries : shared_.config.data_retries;
  if (sender_.unanswered() > limit) {
    shared_.counters.add(Counter::kTimeouts);
    finish(CloseReason::kTimeout);
  }
}

// RFC 5482: counted from the last progress, whatever the peer says meanwhile about its window.
Instant Connection::user_deadline() const {
  if (shared_.config.user_timeout.is_infinite() || state_ < State::kEstablished || sender_.idle()) return Instant::never();
  return sender_.progress_at() + shared_.config.user_timeout;
}

Instant Connection::keep_alive_deadline() const {
  const bool open = state_ == State::kEstablished || state_ == State::kCloseWait || state_ == State::kFinWait2;
  if (!open || !sender_.idle()) return Instant::never();
  if (keep_alive_) return heard_at_ + keep_alive_->idle() + keep_alive_->interval() * keep_alives_;
  const TcpConfig& config = shared_.config;
  if (config.keep_alive_idle.is_infinite()) return Instant::never();
  return heard_at_ + config.keep_alive_idle + config.keep_alive_interval * keep_alives_;
}

// RFC 9293 3.8.4: an old number, which any peer that knows the connection answers.
void Connection::on_keep_alive() {
  if (keep_alives_ >= (keep_alive_ ? keep_alive_->probes : shared_.config.keep_alive_probes)) {
    shared_.counters.add(Counter::kTimeouts);
    return abort(CloseReason::kTimeout);
  }
  ++keep_alives_;
  keep_alive_due_ = true;
  shared_.counters.add(Counter::kKeepAlives);
}

}  // namespace millrace::tcp
