// The host's own endpoints, for one worker: listens at loopback addresses and Unix sockets, and connects to them, in the shape of
// tcp::Stack. All of it on one core, nothing blocks; time is an argument.
//
//   receive(now) -> timers -> deliver_events(now) -> flush(now)
//
// Users are told of events in deliver_events() (which flush() calls too) and, of accepted streams, in receive(); never from
// inside their own calls. Bytes go to the kernel in flush().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/result.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/host/host_stream.h"
#include "dataplane/host/kernel.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::host {

class Listener final : public Watched {
 public:
  Listener(Place place, int socket, stream::Acceptor& acceptor)
      : Watched(true), place_(std::move(place)), socket_(socket), acceptor_(&acceptor) {}

  [[nodiscard]] const SocketAddress& address() const { return place_.address; }

 private:
  friend class Transport;

  Place place_;
  int socket_;
  stream::Acceptor* acceptor_;
  bool accepting_ = true;
  bool watched_ = false;  // not while the process has no descriptors left
};

struct Counters {
  std::uint64_t connects = 0;
  std::uint64_t connect_failures = 0;
  std::uint64_t accepted = 0;
  std::uint64_t accept_failures = 0;  ///< without a descriptor, or beyond the limit
};

class Transport final : public stream::Connector {
 public:
  /// How often a kernel is asked that may have nothing to say.
  static constexpr Duration kAskInterval = Duration::microseconds(20);
  /// What is read ahead of a user.
  static constexpr std::size_t kReceiveBytes = 64 * 1024;
  /// What waits for the kernel to take it.
  static constexpr std::size_t kSendBytes = 256 * 1024;
  /// How long one that was closed waits for the peer's end.
  static constexpr Duration kLinger = Duration::seconds(60);
  /// Until who found no descriptor, or no packet buffer, tries again.
  static constexpr Duration kRetryInterval = Duration::milliseconds(10);

  /// All arguments outlive the transport, which has at most `most_streams`.
  Transport(Kernel& kernel, TimerWheel& timers, stream::ChainPool& chains, std::size_t most_streams = limits::kTcpMaxConnections);
  /// Forgets everything without a word to users.
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// errno when it cannot: EADDRINUSE when somebody else listens there. `acceptor` outlives the listener.
  [[nodiscard]] Result<Listener*, int> listen(const Place& place, stream::Acceptor& acceptor, Instant now);
  /// Who connects from now on is another's: nobody is refused in between, as he would be if one closed and the other opened.
  void hand_over(Listener& listener, stream::Acceptor& acceptor) { listener.acceptor_ = &acceptor; }
  /// Accepted connections stay. The reference is dead.
  void close_listener(Listener& listener);
  /// Off: connections wait in the kernel's queue, as long as that has room.
  void set_accepting(Listener& listener, bool accepting, Instant now);

  /// SocketAddress::of_pipe(path) may be connected to from now on.
  void know_pipe(const std::string& path) {
    const SocketAddress address = SocketAddress::of_pipe(path);
    pipes_.try_emplace(address, Place{.address = address, .pipe = path});
  }
  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant now) override;

  /// Accepts and reads; returns whether there was anything to do.
  bool receive(Instant now);
  /// Tells users what receive() and timers have brought. Not from inside an event.
  void deliver_events(Instant now);
  /// deliver_events(), then writes everything that the kernel takes. Once a turn, not from inside an event.
  void flush(Instant now);
  /// Every connection ends with the next flush(), abruptly; users are told kShutdown.
  void reset_all();

  /// receive() should be called again soon.
  [[nodiscard]] bool has_work() const { return !active_.empty() || !dirty_.empty(); }
  /// Bytes of any connection wait to be taken by the kernel. Looks at all of them.
  [[nodiscard]] bool has_unsent();
  [[nodiscard]] std::size_t streams() const { return streams_.in_use(); }  ///< those whose users are gone included
  [[nodiscard]] const Counters& counters() const { return counters_; }
  /// Readable when there is something to receive(); -1: nothing to sleep on.
  [[nodiscard]] int descriptor() const { return kernel_.descriptor(); }

 private:
  friend class HostStream;

  static constexpr std::size_t kMostReady = 64;     // of one turn
  static constexpr std::size_t kMostAccepted = 16;  // of one listener in one turn

  template <typename Tag>
  static void put(IntrusiveList<HostStream, Tag>& list, HostStream& stream) {
    if (!static_cast<ListNode<Tag>&>(stream).is_linked()) list.push_back(stream);
  }
  void activate(HostStream& stream) { put(active_, stream); }
  void mark_dirty(HostStream& stream) { put(dirty_, stream); }
  void schedule_events(HostStream& stream) { put(eventful_, stream); }
  void starve(HostStream& stream, Instant now);

  bool ask(Instant now);
  void accept(Listener& listener, Instant now);
  void watch(Listener& listener, Instant now);
  void unwatch(Listener& listener);
  void on_retry(Instant now);
  void look_at_buffers(Instant now);
  void settle(HostStream& stream);

  Kernel& kernel_;
  TimerWheel& timers_;
  stream::ChainPool& chains_;
  Counters counters_;
  Pool<HostStream> streams_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<SocketAddress, Place> pipes_;
  IntrusiveList<HostStream, ActiveTag> active_;
  IntrusiveList<HostStream, DirtyTag> dirty_;
  IntrusiveList<HostStream, EventTag> eventful_;
  IntrusiveList<HostStream, StarvedTag> starved_;
  IntrusiveList<HostStream, MemberTag> members_;
  std::array<Kernel::Ready, kMostReady> ready_;
  Timer retry_;
  Instant next_ask_;
  Instant next_look_;
  // By what is left of the worker's packet buffers.
  std::size_t receive_bytes_ = kReceiveBytes;
  std::size_t send_bytes_ = kSendBytes;
};

}  // namespace millrace::host
