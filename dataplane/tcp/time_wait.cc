#include "dataplane/tcp/time_wait.h"

namespace millrace::tcp {

TimeWait::TimeWait(const FlowEntry& flow, const Connection& connection, nic::TxOffloads tx_offloads)
    : FlowEntry(Kind::kTimeWait, flow.key),
      snd_nxt(connection.sender().snd_nxt()),
      rcv_nxt(connection.receiver().rcv_nxt()),
      ts_recent(connection.ts_recent()),
      ts_offset(connection.terms().local.timestamp_offset),
      window(static_cast<std::uint16_t>(
          std::min<std::uint32_t>(connection.terms().local.window >> connection.terms().own_scale(), 0xffff))),
      timestamps(connection.terms().timestamps),
      tx(tx_offloads) {
  opened = flow.opened;
  since_deciseconds = flow.since_deciseconds;
}

TimeWait::Verdict TimeWait::on_segment(const Segment& segment) const {
  if (segment.has(TcpFlags::kRst)) return Verdict::kDrop;
  if (segment.has(TcpFlags::kSyn) && !segment.has(TcpFlags::kAck)) {
    const bool newer_time =
        timestamps && segment.options.timestamps && static_cast<std::int32_t>(segment.options.timestamps->value - ts_recent) > 0;
    return (newer_time || rcv_nxt < segment.seq) ? Verdict::kReopen : Verdict::kAnswer;
  }
  if (segment.has(TcpFlags::kFin) && segment.end() == rcv_nxt) return Verdict::kRestart;
  return segment.length().count() > 0 || segment.seq != rcv_nxt ? Verdict::kAnswer : Verdict::kDrop;
}

OutgoingSegment TimeWait::answer(Instant now) const {
  OutgoingSegment out{.seq = snd_nxt, .ack = rcv_nxt, .flags = TcpFlags::kAck, .window = window};
  if (timestamps) {
    Terms clock;
    clock.local.timestamp_offset = ts_offset;
    out.options.timestamps = {{.value = clock.timestamp(now), .echo = ts_recent}};
  }
  return out;
}

TimeWaitTable::TimeWaitTable(std::size_t limit, Duration wait, FlowTable& flows, TimerWheel& timers)
    : pool_(std::min<std::size_t>(limit, 1'024), limit),
      wait_(wait),
      flows_(flows),
      timers_(timers),
      timer_(Timer::calling<&TimeWaitTable::on_timer>(*this)) {
  MR_ASSERT(limit > 0);
}

TimeWaitTable::~TimeWaitTable() {
  while (!oldest_first_.empty()) remove(oldest_first_.front());
}

bool TimeWaitTable::insert(const FlowEntry& flow, const Connection& connection, nic::TxOffloads tx_offloads, Instant now) {
  const bool full = pool_.in_use() == pool_.limit();
  if (full) remove(oldest_first_.front());
  TimeWait* entry = pool_.make(flow, connection, tx_offloads);
  MR_ASSERT(entry != nullptr);
  entry->expiry = now + wait_;
  oldest_first_.push_back(*entry);
  flows_.insert(*entry);
  if (!timer_.is_armed()) timers_.arm(timer_, entry->expiry);
  return full;
}

void TimeWaitTable::restart(TimeWait& entry, Instant now) {
  entry.expiry = now + wait_;
  oldest_first_.remove(entry);
  oldest_first_.push_back(entry);
}

void TimeWaitTable::remove(TimeWait& entry) {
  flows_.remove(entry);
  oldest_first_.remove(entry);
  pool_.destroy(&entry);
}

void TimeWaitTable::on_timer(Instant now) {
  while (!oldest_first_.empty() && oldest_first_.front().expiry <= now) remove(oldest_first_.front());
  if (!oldest_first_.empty()) timers_.arm(timer_, oldest_first_.front().expiry);
}

}  // namespace millrace::tcp
