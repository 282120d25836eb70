// TIME-WAIT, kept apart from connections: a small entry per finished connection, forgotten in the order of arrival, the oldest
// first when room is needed. RFC 9293 3.6.1, 1337 (RST is ignored), 6191 (a newer SYN may take the place).
#pragma once

#include <cstdint>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/pool.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/tcp/connection.h"
#include "dataplane/tcp/flow_table.h"

namespace millrace::tcp {

struct TimeWait : FlowEntry, ListNode<> {
  TimeWait(const FlowEntry& flow, const Connection& connection, nic::TxOffloads tx_offloads);

  enum class Verdict : std::uint8_t {
    kDrop,
    kAnswer,   ///< send answer()
    kRestart,  ///< the same, and the wait begins anew: the peer repeated its FIN
    kReopen,   ///< a SYN that is newer than all we saw
  };
  [[nodiscard]] Verdict on_segment(const Segment& segment) const;
  [[nodiscard]] OutgoingSegment answer(Instant now) const;

  SeqNum snd_nxt;
  SeqNum rcv_nxt;
  std::uint32_t ts_recent;
  std::uint32_t ts_offset;
  std::uint16_t window;  ///< as our last segment's field
  bool timestamps;
  nic::TxOffloads tx;
  Instant expiry;
};

/// All entries of a stack.
class TimeWaitTable {
 public:
  TimeWaitTable(std::size_t limit, Duration wait, FlowTable& flows, TimerWheel& timers);
  ~TimeWaitTable();

  /// Puts an entry for what was `flow` into the flow table, in which that no longer is. Returns whether an old one made room.
  bool insert(const FlowEntry& flow, const Connection& connection, nic::TxOffloads tx_offloads, Instant now);
  void restart(TimeWait& entry, Instant now);
  void remove(TimeWait& entry);
  [[nodiscard]] std::size_t size() const { return pool_.in_use(); }

 private:
  void on_timer(Instant now);

  Pool<TimeWait> pool_;
  Duration wait_;
  FlowTable& flows_;
  TimerWheel& timers_;
  IntrusiveList<TimeWait> oldest_first_;
  Timer timer_;
};

}  // namespace millrace::tcp
