// A transport for tests: byte streams between two ends in memory, with adjustable credit, no packets and no timers.
// Users of byte_stream.h (codecs, the proxy) are tested over it; it passes tests/unit/dataplane/stream/byte_stream_contract.h.
//
//   PipeNetwork net(chain_pool);
//   net.listen(address, acceptor);
//   net.connect(address, events, reason, now);
//   net.run(now);  // moves bytes and delivers every event until nothing is left to do
//
// Nothing happens and no event comes but inside run(). An end's bytes wait in its send queue (`out`) until run() moves them to
// the peer's receive queue (`in`), as far as there is room for them.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "dataplane/stream/byte_stream.h"

namespace millrace::test {

class PipeNetwork;

/// One end of a pipe.
class PipeStream final : public stream::ByteStream {
 public:
  PipeStream(PipeNetwork& network, stream::ChainPool& pool, SocketAddress local, SocketAddress peer, std::size_t buffer_bytes)
      : network_(network),
        in_(pool),
        out_(pool),
        local_(local),
        peer_address_(peer),
        send_buffer_(buffer_bytes),
        receive_buffer_(buffer_bytes) {}

  void set_events(stream::ByteStreamEvents& events) override { events_ = &events; }
  [[nodiscard]] std::size_t readable() const override { return in_.size(); }
  std::size_t read(stream::Chain& to, std::size_t limit, Instant) override {
    const std::size_t before = in_.size();
    (void)in_.move_prefix(std::min(limit, before), to);  // out of nodes: what was moved counts
    return before - in_.size();
  }
  [[nodiscard]] bool read_ended() const override { return fin_received_ && in_.empty(); }
  [[nodiscard]] std::size_t write_credit() const override {
    if (!connected_ || shut_ || reset_seen_) return 0;
    return send_buffer_ - std::min(send_buffer_, out_.size());
  }
  std::size_t write(stream::Chain& from, Instant) override {
    const std::size_t wanted = from.size();
    const std::size_t before = out_.size();
    const std::size_t credit = write_credit();
    if (credit > 0) (void)from.move_prefix(std::min(credit, wanted), out_);
    if (!from.empty()) blocked_ = true;
    return out_.size() - before;
  }
  void shutdown_write(Instant) override { shut_ = true; }
  void close(Instant) override {
    shut_ = true;
    events_ = nullptr;
    in_.clear();
  }
  void reset(Instant) override {
    events_ = nullptr;
    in_.clear();
    out_.clear();
    reset_sent_ = true;
  }
  void set_keep_alive(const KeepAlive& keep_alive, Instant) override;
  [[nodiscard]] SocketAddress local_address() const override { return local_; }
  [[nodiscard]] SocketAddress peer_address() const override { return peer_address_; }

  /// Credit of this end from now on: how much write() queues, and how much unread may wait here.
  void set_send_buffer(std::size_t bytes) { send_buffer_ = bytes; }
  void set_receive_buffer(std::size_t bytes) { receive_buffer_ = bytes; }

 private:
  friend class PipeNetwork;

  PipeNetwork& network_;
  stream::ByteStreamEvents* events_ = nullptr;  // null: the user has closed or reset
  PipeStream* other_ = nullptr;                 // null: not accepted yet, or gone
  stream::Chain in_;
  stream::Chain out_;
  SocketAddress local_;
  SocketAddress peer_address_;
  std::size_t send_buffer_;
  std::size_t receive_buffer_;
  bool connected_ = false;
  bool shut_ = false;  // our side ends behind out_
  bool fin_delivered_ = false;
  bool fin_received_ = false;
  bool reset_sent_ = false;
  bool reset_seen_ = false;
  bool blocked_ = false;
  bool readable_event_ = false;
  bool gone_ = false;  // freed at the end of run()
  std::optional<stream::CloseReason> end_;
};

class PipeNetwork final : public stream::Connector {
 public:
  explicit PipeNetwork(stream::ChainPool& pool, std::size_t buffer_bytes = 64 * 1024)
      : pool_(pool), buffer_bytes_(buffer_bytes) {}

  /// Credit of the streams made from now on, for each direction.
  void set_buffer_bytes(std::size_t bytes) { buffer_bytes_ = bytes; }
  /// Where connect() comes from; ports count up from 40000.
  void set_local_ip(IpAddress ip) { local_ip_ = ip; }

  void listen(const SocketAddress& address, stream::Acceptor& acceptor) { listeners_[address] = &acceptor; }
  void close_listener(const SocketAddress& address) { listeners_.erase(address); }
  /// connect() to it gets no answer, as long as that holds.
  void set_silent(const SocketAddress& address, bool silent = true) {
    if (silent) {
      silent_.insert(address);
    } else {
      silent_.erase(address);
    }
  }
  /// What users have asked for so far, and towards whom.
  struct AskedKeepAlive {
    SocketAddress peer;
    KeepAlive keep_alive;
  };
  [[nodiscard]] const std::vector<AskedKeepAlive>& keep_alives() const { return keep_alives_; }
  /// Every connect() returns null with this reason, until it is called with nothing.
  void fail_connects(std::optional<stream::CloseReason> reason) { connect_failure_ = reason; }

  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant) override {
    if (connect_failure_) {
      reason = *connect_failure_;
      return nullptr;
    }
    PipeStream& stream = make({local_ip_, next_port_++}, peer);
    stream.events_ = &events;
    return &stream;
  }

  /// Delivers until nothing moves any more; returns how many events it delivered. A pair of users that answers for ever would
  /// never end: `limit` stops it.
  std::size_t run(Instant now, std::size_t limit = 1'000'000) {
    std::size_t events = 0;
    for (bool moved = true; moved && events < limit;) {
      moved = false;
      for (std::size_t i = 0; i < streams_.size(); ++i) {  // accepting appends to it
        PipeStream& stream = *streams_[i];
        if (!stream.gone_ && step(stream, now, events)) moved = true;
      }
      std::erase_if(streams_, [](const auto& stream) { return stream->gone_; });
    }
    return events;
  }

  /// Ends that are not finished, those of users that have closed included.
  [[nodiscard]] std::size_t open_ends() const { return streams_.size(); }
  /// Every stream ends its side, whatever its user thinks of it.
  void shut_all() {
    for (auto& stream : streams_) stream->shut_ = true;
  }
  /// The streams of this end do.
  void shut(const SocketAddress& local) {
    for (auto& stream : streams_) stream->shut_ |= stream->local_ == local;
  }
  /// Credit of the streams that there are, in one direction.
  void set_send_buffers(std::size_t bytes) {
    for (auto& stream : streams_) stream->set_send_buffer(bytes);
  }
  void set_receive_buffers(std::size_t bytes) {
    for (auto& stream : streams_) stream->set_receive_buffer(bytes);
  }
  /// A bit of the next bytes that are moved is changed on the way.
  void damage_next() { damage_ = true; }
  /// Ends every connection abruptly, as if every peer had reset it.
  void reset_all() {
    for (auto& stream : streams_) {
      if (stream->events_ != nullptr)
        stream->end_ = stream::CloseReason::kPeerReset;
      else
        stream->reset_sent_ = true;
    }
  }

 private:
  friend class PipeStream;

  PipeStream& make(SocketAddress local, SocketAddress peer) {
    streams_.push_back(std::make_unique<PipeStream>(*this, pool_, local, peer, buffer_bytes_));
    return *streams_.back();
  }

  void drop(PipeStream& stream) {
    if (stream.other_ != nullptr) stream.other_->other_ = nullptr;
    stream.other_ = nullptr;
    stream.gone_ = true;
  }

  // One unit of progress for one end: at most one event. True when something changed.
  bool step(PipeStream& s, Instant now, std::size_t& events) {
    if (s.reset_sent_) {
      if (s.other_ != nullptr) s.other_->end_ = stream::CloseReason::kPeerReset;
      drop(s);
      return true;
    }
    if (s.end_) return finish(s, now, events);
    if (s.other_ == nullptr && !s.connected_) return open(s, now, events);
    if (s.readable_event_) {
      s.readable_event_ = false;
      if (s.events_ != nullptr) {
        ++events;
        s.events_->on_readable(s, now);
      } else {
        s.in_.clear();
      }
      return true;
    }
    if (move_bytes(s)) return true;
    if (s.blocked_ && s.events_ != nullptr && !s.shut_ && s.connected_ && s.out_.size() <= s.send_buffer_ / 2 &&
        s.send_buffer_ > 0) {
      s.blocked_ = false;
      ++events;
      s.events_->on_writable(s, now);
      return true;
    }
    if (s.fin_delivered_ && s.fin_received_ && s.in_.empty()) {
      s.end_ = stream::CloseReason::kGraceful;
      return true;
    }
    return false;
  }

  bool open(PipeStream& s, Instant now, std::size_t& events) {
    if (s.events_ == nullptr) {
      drop(s);
      return true;
    }
    if (silent_.contains(s.peer_address_)) return false;
    const auto listener = listeners_.find(s.peer_address_);
    if (listener == listeners_.end()) {
      s.end_ = stream::CloseReason::kRefused;
      return true;
    }
    PipeStream& accepted = make(s.peer_address_, s.local_);
    accepted.other_ = &s;
    s.other_ = &accepted;
    s.connected_ = accepted.connected_ = true;
    ++events;
    listener->second->on_accept(accepted, now);
    if (s.events_ != nullptr) {
      ++events;
      s.events_->on_connected(s, now);
    }
    return true;
  }

  // Bytes and the end of our side, as far as the peer has room.
  bool move_bytes(PipeStream& s) {
    PipeStream* peer = s.other_;
    if (peer == nullptr || !s.connected_ || peer->reset_sent_ || peer->end_) return false;
    bool moved = false;
    const std::size_t room = peer->receive_buffer_ - std::min(peer->receive_buffer_, peer->in_.size());
    const std::size_t count = std::min(room, s.out_.size());
    if (count > 0) {
      (void)s.out_.move_prefix(count, peer->in_);
      if (std::exchange(damage_, false)) peer->in_.for_each_mutable([](std::span<std::uint8_t> part) { part.back() ^= 1; });
      peer->readable_event_ = moved = true;
    }
    if (s.shut_ && s.out_.empty() && !s.fin_delivered_) {
      s.fin_delivered_ = peer->fin_received_ = true;
      peer->readable_event_ = moved = true;
    }
    return moved;
  }

  bool finish(PipeStream& s, Instant now, std::size_t& events) {
    stream::ByteStreamEvents* user = std::exchange(s.events_, nullptr);
    const stream::CloseReason reason = *s.end_;
    if (reason == stream::CloseReason::kGraceful && s.other_ != nullptr) s.other_->other_ = nullptr;
    s.other_ = reason == stream::CloseReason::kGraceful ? nullptr : s.other_;
    if (user != nullptr) {
      ++events;
      user->on_closed(s, reason, now);
    }
    drop(s);
    return true;
  }

  stream::ChainPool& pool_;
  std::size_t buffer_bytes_;
  IpAddress local_ip_ = IpAddress::v4(192, 0, 2, 1);
  std::uint16_t next_port_ = 40'000;
  std::map<SocketAddress, stream::Acceptor*> listeners_;
  std::set<SocketAddress> silent_;
  std::vector<AskedKeepAlive> keep_alives_;
  std::optional<stream::CloseReason> connect_failure_;
  bool damage_ = false;
  std::vector<std::unique_ptr<PipeStream>> streams_;
};

inline void PipeStream::set_keep_alive(const KeepAlive& keep_alive, Instant) {
  network_.keep_alives_.push_back({peer_address_, keep_alive});
}

}  // namespace millrace::test
