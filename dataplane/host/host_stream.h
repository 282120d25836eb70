// A connection over a socket of the host, as a byte stream.
//
//   kConnecting --> kOpen --[both sides ended]--> kOver
//        \             \----[an error, reset()]--> kOver
//         \--[refused, close(), reset()]--> kOver
//
// What arrives is read ahead into packet buffers, as far as there is room; what is written waits for the kernel to take it. Our
// side has ended when everything before it is the kernel's, which delivers it without us. A user that has closed is gone: what
// still comes is discarded until the peer has ended its side, too, or a while has passed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/host/kernel.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::host {

class Transport;

/// What Kernel::wait() tells of.
struct Watched {
  explicit Watched(bool listener) : is_listener(listener) {}
  const bool is_listener;
};

struct ActiveTag;   // may read, or has to look how its connect went
struct DirtyTag;    // has something to write, or to end, with the next flush()
struct EventTag;    // its user may have to be told something
struct StarvedTag;  // waits for packet buffers
struct MemberTag;   // all streams

class HostStream final : public Watched,
                         public stream::ByteStream,
                         public ListNode<ActiveTag>,
                         public ListNode<DirtyTag>,
                         public ListNode<EventTag>,
                         public ListNode<StarvedTag>,
                         public ListNode<MemberTag> {
 public:
  enum class State : std::uint8_t { kConnecting, kOpen, kOver };

  /// `socket` is the stream's from now on.
  HostStream(Transport& transport, int socket, State state, const SocketAddress& local, const SocketAddress& peer);
  /// Nobody connected: its user is told `failure`.
  HostStream(Transport& transport, stream::CloseReason failure, const SocketAddress& peer);
  ~HostStream();

  void set_events(stream::ByteStreamEvents& events) override { user_ = &events; }
  [[nodiscard]] std::size_t readable() const override { return in_.size(); }
  std::size_t read(stream::Chain& to, std::size_t limit, Instant now) override;
  [[nodiscard]] bool read_ended() const override { return peer_ended_ && in_.empty(); }
  [[nodiscard]] std::size_t write_credit() const override;
  std::size_t write(stream::Chain& from, Instant now) override;
  void shutdown_write(Instant now) override;
  void close(Instant now) override;
  void reset(Instant now) override;
  [[nodiscard]] SocketAddress local_address() const override { return local_; }
  [[nodiscard]] SocketAddress peer_address() const override { return peer_; }

 private:
  friend class Transport;

  void on_ready(const Kernel::Ready& ready);
  /// Finishes connecting, reads what there is room for.
  void advance(Instant now);
  void finish_connecting();
  void read_in(Instant now);
  [[nodiscard]] bool read_some(Instant now);
  void discard_input(Instant now);
  /// Writes what the kernel takes.
  void write_out(Instant now);
  void deliver(Instant now);
  void fail(stream::CloseReason reason);
  void end_if_complete();
  void end_if_broken();
  void on_timer(Instant now);
  void release_socket(bool abruptly);

  Transport& transport_;
  stream::ByteStreamEvents* user_ = nullptr;  // null: closed, reset, or told of the end
  stream::Chain in_;                          // read ahead of the user
  stream::Chain out_;                         // not the kernel's yet
  Timer timer_;                               // until who closed stops waiting for the peer's end
  SocketAddress local_;
  SocketAddress peer_;
  int socket_ = -1;  // -1: closed
  std::optional<stream::CloseReason> end_ = {};
  State state_;
  bool may_read_ = false;    // the kernel has something for us, as far as we know
  bool may_write_ = false;   // it has room, as far as we know
  bool hung_up_ = false;     // the end, or an error, stands behind what can be read
  bool broken_ = false;      // there is an error
  bool peer_ended_ = false;  // everything before that is in `in_`
  bool shut_ = false;        // our side ends behind `out_`
  bool ended_ = false;       // it has
  bool blocked_ = false;     // the user wanted to write more
  // Of the user's next deliver().
  bool tell_connected_ = false;
  bool tell_readable_ = false;
  bool tell_writable_ = false;
};

}  // namespace millrace::host
