#include "dataplane/host/host_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "dataplane/host/errors.h"
#include "dataplane/host/transport.h"

namespace millrace::host {
namespace {

// Requests fit into a few buffers; who fills those gets more at a time.
constexpr std::size_t kFirstBuffers = 2;
constexpr std::size_t kMostBuffers = 16;
constexpr std::size_t kMostSlices = 64;  // of one write
constexpr int kMostDiscards = 4;         // of one turn

// Empty buffers, as far as there are any, for one read.
class ReadBuffers {
 public:
  ReadBuffers(nic::PacketPool& pool, std::size_t count) {
    for (; count_ < count; ++count_) {
      nic::Packet packet = pool.allocate();
      if (!packet) break;
      const std::size_t room = packet.tailroom();
      places_[count_] = {.iov_base = packet.append(room), .iov_len = room};
      packets_[count_] = std::move(packet);
      room_ += room;
    }
  }
  [[nodiscard]] std::span<const iovec> places() const { return {places_.data(), count_}; }
  [[nodiscard]] std::size_t room() const { return room_; }
  /// The first `bytes` go to the end of `to`. False: no memory, what is left is lost.
  [[nodiscard]] bool move_to(stream::Chain& to, std::size_t bytes) {
    for (std::size_t i = 0; bytes > 0; ++i) {
      const std::size_t part = std::min(bytes, packets_[i].size());
      packets_[i].truncate(part);
      if (!to.append(nic::Slice(std::move(packets_[i])))) return false;
      bytes -= part;
    }
    return true;
  }

 private:
  std::array<nic::Packet, kMostBuffers> packets_;
  std::array<iovec, kMostBuffers> places_;
  std::size_t count_ = 0;
  std::size_t room_ = 0;
};

}  // namespace

HostStream::HostStream(Transport& transport, int socket, State state, const SocketAddress& local, const SocketAddress& peer)
    : Watched(false),
      transport_(transport),
      in_(transport.chains_),
      out_(transport.chains_),
      timer_(Timer::calling<&HostStream::on_timer>(*this)),
      local_(local),
      peer_(peer),
      socket_(socket),
      state_(state) {}

HostStream::HostStream(Transport& transport, stream::CloseReason failure, const SocketAddress& peer)
    : HostStream(transport, -1, State::kConnecting, {}, peer) {
  fail(failure);
}

HostStream::~HostStream() { release_socket(false); }

void HostStream::release_socket(bool abruptly) {
  if (socket_ >= 0) transport_.kernel_.close(std::exchange(socket_, -1), abruptly);
}

std::size_t HostStream::read(stream::Chain& to, std::size_t limit, Instant) {
  const std::size_t before = in_.size();
  static_cast<void>(in_.move_prefix(std::min(limit, before), to));  // out of nodes: what was moved counts
  if (in_.empty() && end_) transport_.schedule_events(*this);
  if (may_read_ && !end_) transport_.activate(*this);
  return before - in_.size();
}

std::size_t HostStream::write_credit() const {
  if (state_ != State::kOpen || shut_) return 0;
  return transport_.send_bytes_ - std::min(transport_.send_bytes_, out_.size());
}

std::size_t HostStream::write(stream::Chain& from, Instant) {
  const std::size_t before = out_.size();
  static_cast<void>(from.move_prefix(std::min(write_credit(), from.size()), out_));
  blocked_ = !from.empty();
  transport_.mark_dirty(*this);
  return out_.size() - before;
}

void HostStream::shutdown_write(Instant) {
  shut_ = true;
  transport_.mark_dirty(*this);
}

void HostStream::close(Instant now) {
  user_ = nullptr;
  shut_ = true;
  in_.clear();
  if (state_ == State::kConnecting) state_ = State::kOver;  // nothing was written
  if (state_ == State::kOpen) {
    transport_.timers_.arm(timer_, now + Transport::kLinger);
    transport_.activate(*this);
  }
  transport_.mark_dirty(*this);
}

void HostStream::reset(Instant) {
  user_ = nullptr;
  if (!end_) end_ = stream::CloseReason::kShutdown;
  release_socket(true);
  state_ = State::kOver;
  transport_.mark_dirty(*this);
}

void HostStream::on_timer(Instant) {
  release_socket(true);
  state_ = State::kOver;
  transport_.mark_dirty(*this);
}

void HostStream::on_ready(const Kernel::Ready& ready) {
  may_read_ |= ready.readable || ready.ended;
  may_write_ |= ready.writable || ready.ended;
  hung_up_ |= ready.ended;
  broken_ |= ready.broken;
  transport_.activate(*this);
  if (!out_.empty()) transport_.mark_dirty(*this);
}

void HostStream::advance(Instant now) {
  if (state_ == State::kConnecting && may_write_) finish_connecting();
  if (state_ != State::kOpen) return;
  if (user_ == nullptr) {
    discard_input(now);
  } else {
    read_in(now);
  }
  end_if_broken();
}

// After what can still be read ahead: a user that does not read hears of a reset all the same.
void HostStream::end_if_broken() {
  if (!std::exchange(broken_, false) || state_ != State::kOpen) return;
  if (const int error = transport_.kernel_.pending_error(socket_)) fail(stream_failure(error));
}

void HostStream::finish_connecting() {
  if (const int error = transport_.kernel_.pending_error(socket_)) {
    ++transport_.counters_.connect_failures;
    return fail(connect_failure(error));
  }
  state_ = State::kOpen;
  tell_connected_ = true;
  transport_.schedule_events(*this);
}

// One read that was not filled has taken everything, unless the end is known to stand behind it.
void HostStream::read_in(Instant now) {
  while (may_read_ && !peer_ended_ && state_ == State::kOpen && in_.charge() < transport_.receive_bytes_) {
    if (!read_some(now)) return;
  }
}

bool HostStream::read_some(Instant now) {
  ReadBuffers buffers(transport_.chains_.packets(), in_.empty() ? kFirstBuffers : kMostBuffers);
  if (buffers.room() == 0) {
    transport_.starve(*this, now);
    return false;
  }
  const Result<std::size_t, int> got = transport_.kernel_.read(socket_, buffers.places());
  if (!got) {
    if (got.error() == EINTR) return true;
    may_read_ = false;
    if (got.error() != EAGAIN) fail(stream_failure(got.error()));
    return false;
  }
  tell_readable_ = true;
  transport_.schedule_events(*this);
  if (*got == 0) {
    peer_ended_ = true;
    end_if_complete();
    return false;
  }
  if (*got < buffers.room() && !hung_up_) may_read_ = false;
  if (buffers.move_to(in_, *got)) return true;
  fail(stream::CloseReason::kNoMemory);
  return false;
}

// A bounded part in each turn.
void HostStream::discard_input(Instant now) {
  for (int i = 0; i < kMostDiscards && may_read_ && !peer_ended_ && state_ == State::kOpen; ++i) {
    if (!read_some(now)) break;
    in_.clear();
  }
  in_.clear();
  if (may_read_ && !peer_ended_ && state_ == State::kOpen && !static_cast<ListNode<StarvedTag>&>(*this).is_linked()) {
    transport_.activate(*this);
  }
}

void HostStream::write_out(Instant now) {
  while (!out_.empty() && may_write_ && state_ == State::kOpen) {
    std::array<iovec, kMostSlices> slices;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (stream::Chain::Cursor at = out_.cursor(0); count < slices.size() && at.contiguous() > 0; ++count) {
      const nic::Slice slice = at.take(at.contiguous());
      slices[count] = {.iov_base = const_cast<std::uint8_t*>(slice.data()), .iov_len = slice.size()};
      bytes += slice.size();
    }
    const Result<std::size_t, int> taken = transport_.kernel_.write(socket_, std::span(slices).first(count));
    if (!taken && taken.error() == EINTR) continue;
    if (!taken && taken.error() != EAGAIN) {
      // What the peer has said before it went is worth reading: an answer to what it did not want to hear to the end.
      if (user_ != nullptr) read_in(now);
      return fail(stream_failure(taken.error()));
    }
    out_.remove_prefix(taken.value_or(0));
    may_write_ = taken.value_or(0) == bytes;
  }
  if (shut_ && !ended_ && out_.empty() && state_ == State::kOpen) {
    ended_ = true;
    transport_.kernel_.shutdown_write(socket_);
    end_if_complete();
  }
  if (blocked_ && !shut_ && state_ == State::kOpen && write_credit() >= transport_.send_bytes_ / 2) {
    blocked_ = false;
    tell_writable_ = true;
    transport_.schedule_events(*this);
  }
}

void HostStream::end_if_complete() {
  if (!ended_ || !peer_ended_ || end_) return;
  end_ = stream::CloseReason::kGraceful;
  state_ = State::kOver;
  transport_.schedule_events(*this);
  transport_.mark_dirty(*this);
}

void HostStream::fail(stream::CloseReason reason) {
  if (end_) return;
  end_ = reason;
  state_ = State::kOver;
  out_.clear();
  transport_.schedule_events(*this);
  transport_.mark_dirty(*this);
}

void HostStream::deliver(Instant now) {
  if (std::exchange(tell_connected_, false) && user_ != nullptr) user_->on_connected(*this, now);
  if (std::exchange(tell_readable_, false) && user_ != nullptr) user_->on_readable(*this, now);
  if (std::exchange(tell_writable_, false) && user_ != nullptr) user_->on_writable(*this, now);
  if (user_ == nullptr || !end_) return;
  if (*end_ == stream::CloseReason::kGraceful && !in_.empty()) return;  // read() schedules us again
  std::exchange(user_, nullptr)->on_closed(*this, *end_, now);
  transport_.mark_dirty(*this);  // to be freed
}

}  // namespace millrace::host
