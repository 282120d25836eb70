#include "dataplane/tcp/half_open.h"

#include "dataplane/tcp/rtt_estimator.h"

namespace millrace::tcp {

HalfOpen::Verdict HalfOpen::on_segment(const Segment& segment) const {
  const SeqNum rcv_nxt = terms_.irs + SeqLen(1);
  const bool in_window =
      rcv_nxt <= segment.seq && segment.seq < rcv_nxt + SeqLen(std::max<std::uint32_t>(terms_.syn_window(), 1));
  if (segment.has(TcpFlags::kRst)) {
    if (segment.seq == rcv_nxt) return Verdict::kForget;
    return in_window ? Verdict::kAnswer : Verdict::kDrop;  // RFC 5961 3: the SYN-ACK is the challenge
  }
  if (segment.has(TcpFlags::kSyn)) return segment.has(TcpFlags::kAck) ? Verdict::kRefuse : Verdict::kAnswer;
  if (!segment.has(TcpFlags::kAck)) return Verdict::kDrop;
  if (segment.ack != terms_.local.iss + SeqLen(1)) return Verdict::kRefuse;
  if (terms_.timestamps && !segment.options.timestamps) return Verdict::kDrop;
  return in_window ? Verdict::kComplete : Verdict::kAnswer;
}

Duration HalfOpen::timeout() const { return RttEstimator::kInitialRto * (std::int64_t{1} << std::min<int>(retries_, 6)); }

}  // namespace millrace::tcp
