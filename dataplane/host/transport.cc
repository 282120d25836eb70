#include "dataplane/host/transport.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "dataplane/host/errors.h"

namespace millrace::host {

Transport::Transport(Kernel& kernel, TimerWheel& timers, stream::ChainPool& chains, std::size_t most_streams)
    : kernel_(kernel),
      timers_(timers),
      chains_(chains),
      streams_(0, most_streams),
      retry_(Timer::calling<&Transport::on_retry>(*this)) {}

Transport::~Transport() {
  while (!listeners_.empty()) close_listener(*listeners_.back());
  while (HostStream* stream = members_.pop_front()) streams_.destroy(stream);
}

Result<Listener*, int> Transport::listen(const Place& place, stream::Acceptor& acceptor, Instant now) {
  const bool taken = std::ranges::any_of(listeners_, [&](const auto& other) { return other->address() == place.address; });
  if (taken) return Error<int>(EADDRINUSE);
  const Result<int, int> socket = kernel_.listen(place);
  if (!socket) return Error<int>(socket.error());
  listeners_.push_back(std::make_unique<Listener>(place, *socket, acceptor));
  watch(*listeners_.back(), now);
  return listeners_.back().get();
}

void Transport::close_listener(Listener& listener) {
  unwatch(listener);
  kernel_.close_listener(listener.socket_, listener.place_);
  std::erase_if(listeners_, [&](const auto& other) { return other.get() == &listener; });
}

void Transport::set_accepting(Listener& listener, bool accepting, Instant now) {
  listener.accepting_ = accepting;
  if (accepting) {
    watch(listener, now);
  } else {
    unwatch(listener);
  }
}

void Transport::watch(Listener& listener, Instant now) {
  if (listener.watched_ || !listener.accepting_) return;
  listener.watched_ = kernel_.watch_listener(listener.socket_, static_cast<Watched*>(&listener));
  if (!listener.watched_) timers_.arm(retry_, now + kRetryInterval);
}

void Transport::unwatch(Listener& listener) {
  if (std::exchange(listener.watched_, false)) kernel_.unwatch(listener.socket_);
}

stream::ByteStream* Transport::connect(const SocketAddress& peer, stream::ByteStreamEvents& events, stream::CloseReason& reason,
                                       Instant) {
  ++counters_.connects;
  const auto fail = [&](stream::CloseReason why) {
    reason = why;
    ++counters_.connect_failures;
    return nullptr;
  };
  const auto pipe = peer.is_pipe() ? pipes_.find(peer) : pipes_.end();
  if (peer.is_pipe() && pipe == pipes_.end()) return fail(stream::CloseReason::kNoRoute);
  if (streams_.in_use() == streams_.limit()) return fail(stream::CloseReason::kNoMemory);
  const Result<int, int> socket = kernel_.connect(pipe == pipes_.end() ? Place{.address = peer} : pipe->second);
  HostStream* stream = nullptr;
  if (socket) {
    stream = streams_.make(*this, *socket, HostStream::State::kConnecting, kernel_.local_address(*socket), peer);
  } else if (is_exhaustion(socket.error()) || socket.error() == EADDRNOTAVAIL) {
    return fail(connect_failure(socket.error()));
  } else {
    ++counters_.connect_failures;
    stream = streams_.make(*this, connect_failure(socket.error()), peer);
  }
  members_.push_back(*stream);
  stream->user_ = &events;
  if (socket && !kernel_.watch(*socket, static_cast<Watched*>(stream))) stream->fail(stream::CloseReason::kNoMemory);
  return stream;
}

bool Transport::receive(Instant now) {
  if (listeners_.empty() && members_.empty()) return false;
  if (now >= next_look_ && !members_.empty()) look_at_buffers(now);
  bool any = now >= next_ask_ && ask(now);
  // Those that become active meanwhile are for the next turn: each gets its part.
  IntrusiveList<HostStream, ActiveTag> turn;
  turn.splice_back(active_);
  while (HostStream* stream = turn.pop_front()) {
    stream->advance(now);
    any = true;
  }
  return any;
}

bool Transport::ask(Instant now) {
  const std::size_t count = kernel_.wait(ready_);
  if (count < ready_.size()) next_ask_ = now + kAskInterval;
  for (const Kernel::Ready& ready : std::span(ready_).first(count)) {
    auto* watched = static_cast<Watched*>(ready.of);
    if (watched->is_listener) {
      accept(static_cast<Listener&>(*watched), now);
    } else {
      static_cast<HostStream*>(watched)->on_ready(ready);
    }
  }
  return count > 0;
}

// Who finds no descriptor lets connections wait in the kernel's queue, and does not ask at each turn whether there is one now.
void Transport::accept(Listener& listener, Instant now) {
  for (std::size_t i = 0; i < kMostAccepted; ++i) {
    const Result<Kernel::Accepted, int> accepted = kernel_.accept(listener.socket_);
    if (!accepted) {
      if (!is_exhaustion(accepted.error())) return;  // no more, or one that has gone again
      ++counters_.accept_failures;
      unwatch(listener);
      timers_.arm(retry_, now + kRetryInterval);
      return;
    }
    // Clients of Unix sockets have no name: as in Envoy, theirs is the listener's.
    const SocketAddress& peer = listener.address().is_pipe() ? listener.address() : accepted->peer;
    HostStream* stream = streams_.make(*this, accepted->socket, HostStream::State::kOpen, listener.address(), peer);
    if (stream == nullptr) {
      ++counters_.accept_failures;
      kernel_.close(accepted->socket, true);
      continue;
    }
    ++counters_.accepted;
    members_.push_back(*stream);
    stream->may_read_ = stream->may_write_ = true;
    activate(*stream);
    const bool watched = kernel_.watch(accepted->socket, static_cast<Watched*>(stream));
    listener.acceptor_->on_accept(*stream, now);
    if (!watched) stream->fail(stream::CloseReason::kNoMemory);
  }
}

void Transport::starve(HostStream& stream, Instant now) {
  put(starved_, stream);
  if (!retry_.is_armed()) timers_.arm(retry_, now + kRetryInterval);
}

void Transport::on_retry(Instant now) {
  while (HostStream* stream = starved_.pop_front()) activate(*stream);
  for (const auto& listener : listeners_) watch(*listener, now);
}

// A peer that stalls holds what waits for it: where packet buffers are scarce, each holds little.
void Transport::look_at_buffers(Instant now) {
  constexpr Duration kInterval = Duration::microseconds(50);
  next_look_ = now + kInterval;
  const nic::PacketPool& pool = chains_.packets();
  const std::size_t all = pool.capacity();
  const bool scarce = all - std::min(pool.in_use(), all) < all / 8;
  receive_bytes_ = scarce ? limits::kTcpScarceBytes / 4 : kReceiveBytes;
  send_bytes_ = scarce ? limits::kTcpScarceBytes : kSendBytes;
}

void Transport::deliver_events(Instant now) {
  while (HostStream* stream = eventful_.pop_front()) stream->deliver(now);
}

void Transport::flush(Instant now) {
  while (true) {
    deliver_events(now);
    if (dirty_.empty()) return;
    while (HostStream* stream = dirty_.pop_front()) {
      stream->write_out(now);
      settle(*stream);
    }
  }
}

// Frees what nobody needs.
void Transport::settle(HostStream& stream) {
  if (stream.state_ != HostStream::State::kOver) return;
  // Everything was delivered to the kernel, or nothing matters any more.
  stream.release_socket(stream.end_ && *stream.end_ != stream::CloseReason::kGraceful);
  if (stream.user_ == nullptr) streams_.destroy(&stream);
}

void Transport::reset_all() {
  for (HostStream& stream : members_) {
    stream.release_socket(true);
    stream.fail(stream::CloseReason::kShutdown);
    stream.state_ = HostStream::State::kOver;
    mark_dirty(stream);
  }
}

bool Transport::has_unsent() {
  for (const HostStream& stream : members_) {
    if (!stream.out_.empty()) return true;
  }
  return false;
}

}  // namespace millrace::host
