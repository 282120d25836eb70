#include "dataplane/tcp/handshake.h"

namespace millrace::tcp {

OutgoingSegment make_syn(const Terms& terms, bool answer, Instant now) {
  OutgoingSegment out{.seq = terms.local.iss, .flags = TcpFlags::kSyn, .window = terms.syn_window()};
  out.options.mss = terms.local.mss;
  if (!answer || terms.scaling) out.options.window_scale = terms.local.window_scale;
  if (!answer || terms.timestamps)
    out.options.timestamps = {{.value = terms.timestamp(now), .echo = answer ? terms.ts_recent : 0}};
  out.options.sack_permitted = !answer || terms.sack;
  if (answer && terms.ecn) out.flags |= TcpFlags::kEce;
  if (!answer && terms.local.ask_for_ecn) out.flags |= TcpFlags::kEce | TcpFlags::kCwr;
  if (answer) {
    out.flags |= TcpFlags::kAck;
    out.ack = terms.irs + SeqLen(1);
  }
  return out;
}

OutgoingSegment make_reset_for(const Segment& segment) {
  if (segment.has(TcpFlags::kAck)) return {.seq = segment.ack, .flags = TcpFlags::kRst};
  return {.ack = segment.end(), .flags = TcpFlags::kRst | TcpFlags::kAck};
}

}  // namespace millrace::tcp
