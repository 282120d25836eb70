// The TCP of one worker: finds the connection that a segment belongs to, keeps listeners, opens connections, and sends what
// connections have to say once a turn. All of it on one core; time is an argument.
//
//   on_datagram(...) for each segment of a burst -> end_burst(now) -> timers -> deliver_events(now) -> flush(now)
//
// Users are told of events in deliver_events() (which flush() calls too) and, of accepted streams, in on_datagram(); never from
// inside their own calls. Segments leave in flush(): one ACK for a burst, data put together.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/pool.h"
#include "dataplane/base/result.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/ip/ip_layer.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/tcp/coalescer.h"
#include "dataplane/tcp/config.h"
#include "dataplane/tcp/counters.h"
#include "dataplane/tcp/endpoint.h"
#include "dataplane/tcp/flow_table.h"
#include "dataplane/tcp/listener.h"
#include "dataplane/tcp/ports.h"
#include "dataplane/tcp/syn_cookie.h"
#include "dataplane/tcp/time_wait.h"

namespace millrace::tcp {

enum class ListenError : std::uint8_t {
  kAddressInUse,  ///< another listener has this address and port
  kNotLocal,      ///< not an address of ours
};
[[nodiscard]] const char* to_text(ListenError error);

/// What there is now, as opposed to Counters.
struct Gauges {
  std::array<std::int64_t, kStates> connections{};  ///< by State
  std::int64_t bytes_queued = 0;                    ///< of users, not yet acknowledged or not yet read
};

class Stack final : public stream::Connector {
 public:
  /// All arguments but `config` outlive the stack. Pools are allocated here; the sum of their limits bounds the memory.
  Stack(ip::IpLayer& ip, TimerWheel& timers, stream::ChainPool& chains, Rng& rng, const StackConfig& config);
  /// Forgets everything without a word to anyone: reset_all() and flush() before it, if peers are to know.
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// 0.0.0.0 is all our IPv4 addresses, :: all our IPv6 ones; a listener of the very address goes before. `acceptor` outlives the
  /// listener.
  [[nodiscard]] Result<Listener*, ListenError> listen(const SocketAddress& address, stream::Acceptor& acceptor);
  /// Handshakes under way are forgotten, accepted connections stay. The reference is dead.
  void close_listener(Listener& listener, Instant now);

  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant now) override;

  void on_datagram(ip::Datagram&& datagram, Instant now);
  /// What on_datagram() has kept to put it together with what follows goes to its connections. Before time goes on.
  void end_burst(Instant now);
  void on_transport_error(const ip::TransportError& error, Instant now);
  /// Tells users what the segments and timers since the last call have brought. After each burst, not from inside an event.
  void deliver_events(Instant now);
  /// deliver_events(), then transmits everything that is due. Once a turn, not from inside an event.
  void flush(Instant now);
  /// RST to all peers with the next flush(); users are told kShutdown.
  void reset_all(Instant now);

  /// Shows everything that the stack keeps for a peer, as const Endpoint&, const HalfOpenEntry& or const TimeWait&, beginning at
  /// `position` (0 at first, moved on) and for `buckets` of the table at the most, each up to seven entries; true when that was
  /// all. Connections may come and go between calls: what lasts from the first call to the
  /// last is shown exactly once. What begins or ends meanwhile is shown or not; what changes its kind (a handshake completed, a
  /// close) may be missed or be shown as both.
  template <typename Visit>
  bool walk(std::size_t& position, std::size_t buckets, Visit&& visit) const {
    const std::size_t end = position + std::min(buckets, flows_.buckets() - position);
    for (; position < end; ++position) {
      flows_.visit_bucket(position, [&](const FlowEntry& entry) {
        switch (entry.kind) {
          case FlowEntry::Kind::kEndpoint: return visit(static_cast<const Endpoint&>(entry));
          case FlowEntry::Kind::kHalfOpen: return visit(static_cast<const HalfOpenEntry&>(entry));
          case FlowEntry::Kind::kTimeWait: return visit(static_cast<const TimeWait&>(entry));
        }
      });
    }
    return position == flows_.buckets();
  }

  [[nodiscard]] const Counters& counters() const { return counters_; }
  /// Bytes of any connection wait to be sent or acknowledged. Looks at all of them.
  [[nodiscard]] bool has_unsent();
  [[nodiscard]] const Gauges& gauges() const { return gauges_; }
  [[nodiscard]] std::size_t connections() const { return endpoints_.in_use(); }  ///< those whose users are gone included
  [[nodiscard]] std::size_t half_open() const { return half_open_.in_use(); }
  [[nodiscard]] std::size_t time_wait() const { return time_wait_.size(); }

 private:
  friend class Endpoint;
  friend struct HalfOpenEntry;

  void mark_dirty(Endpoint& endpoint) {
    if (!static_cast<ListNode<DirtyTag>&>(endpoint).is_linked()) dirty_.push_back(endpoint);
  }
  void schedule_events(Endpoint& endpoint) {
    if (!static_cast<ListNode<EventTag>&>(endpoint).is_linked()) eventful_.push_back(endpoint);
  }

  // stack_input.cc
  void on_or_after(Endpoint& endpoint, Segment& segment, Instant now);
  void on_run(Coalescer::Run& run, Instant now);
  void on_endpoint_segment(Endpoint& endpoint, const Segment& segment, Instant now);
  void on_half_open_segment(HalfOpenEntry& entry, const Segment& segment, Instant now);
  void on_time_wait_segment(TimeWait& entry, const Segment& segment, Instant now);
  void on_unknown_segment(const FlowKey& flow, const Segment& segment, SeqNum least_isn, bool reopen, Instant now);
  void on_syn(Listener& listener, const FlowKey& flow, const ip::Path& path, const Segment& syn, SeqNum least_isn, bool reopen,
              Instant now);
  void complete(HalfOpenEntry& entry, const Segment& ack, Instant now);
  [[nodiscard]] bool complete_cookie(const FlowKey& flow, const Segment& ack, Instant now);
  void establish(Listener& listener, Endpoint& endpoint, const Terms& terms, const Segment& ack, Instant now);
  void refuse(const FlowKey& flow, const Segment& segment, Instant now);

  // stack.cc
  [[nodiscard]] Listener* find_listener(const FlowKey& flow);
  [[nodiscard]] LocalTerms local_terms(const FlowKey& flow, const ip::Path& path, Instant now) const;
  void on_half_open_timeout(HalfOpenEntry& entry, Instant now);
  void forget(HalfOpenEntry& entry);
  void transmit(Endpoint& endpoint, Instant now);
  void settle(Endpoint& endpoint, Instant now);
  void count(Endpoint& endpoint, bool gone);
  void look_at_buffers(Instant now);
  void reset_stalled(Instant now);
  [[nodiscard]] bool may_take_payload(const FlowEntry* entry) const;
  /// What the peer sends will come to this worker.
  [[nodiscard]] bool owns(const FlowKey& flow) const {
    return config_.steering == nullptr ||
           config_.steering->worker_of({flow.peer_ip, flow.peer_port}, {flow.local_ip, flow.local_port}) == config_.worker;
  }
  /// False when some of it could not be handed on.
  bool emit(const FlowKey& flow, nic::TxOffloads tx, const OutgoingSegment& segment, Instant now);

  ip::IpLayer& ip_;
  TimerWheel& timers_;
  const StackConfig config_;
  KeyedHash hash_;
  FlowTable flows_;
  ReassemblyPool held_;
  SentRangePool sent_;
  RecoveryUndoPool undos_;
  Counters counters_;
  ChallengeLimit challenges_;
  Shared shared_;
  Coalescer runs_;
  Pool<Endpoint> endpoints_;
  Pool<HalfOpenEntry> half_open_;
  TimeWaitTable time_wait_;
  PortChooser ports_;
  SynCookies cookies_;
  std::vector<std::unique_ptr<Listener>> listeners_;  // by port
  IntrusiveList<Endpoint, DirtyTag> dirty_;
  IntrusiveList<Endpoint, EventTag> eventful_;
  IntrusiveList<Endpoint, MemberTag> members_;
  Gauges gauges_;
  Instant next_look_;
  /// Of the worker's packet buffers.
  enum class Supply : std::uint8_t {
    kPlenty,
    kScarce,  ///< less than an eighth is left: payload only for those who hold little
    kNone,    ///< less than a thirty-second: what is left is for sending, which alone frees buffers again
  };
  Supply supply_ = Supply::kPlenty;
};

}  // namespace millrace::tcp
