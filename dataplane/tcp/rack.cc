#include "dataplane/tcp/rack.h"

#include <algorithm>

namespace millrace::tcp {
namespace {

bool sent_after(Instant a, SeqNum a_end, Instant b, SeqNum b_end) { return b < a || (a == b && b_end < a_end); }

}  // namespace

void Rack::on_delivered(const SentRange& part, std::optional<Instant> echo_sent_at, Instant now) {
  if (fack_ < part.end) {
    fack_ = part.end;
  } else if (!part.retransmitted) {
    reordering_seen_ = true;  // later ones came before it
  }
  const Duration rtt = now - part.sent_at;
  if (part.retransmitted) {
    if (echo_sent_at && *echo_sent_at + Duration::milliseconds(1) <= part.sent_at) return;  // that was the first transmission
    if (!min_rtt_.is_infinite() && rtt < min_rtt_) return;  // faster than the path has ever been: likewise
  } else {
    sample_min_rtt(rtt, now);
  }
  if (!heard_ || sent_after(part.sent_at, part.end, sent_at_, end_)) {
    heard_ = true;
    rtt_ = rtt;
    sent_at_ = part.sent_at;
    end_ = part.end;
  }
}

void Rack::sample_min_rtt(Duration rtt, Instant now) {
  if (rtt <= min_rtt_ || now - min_rtt_at_ > kMinRttLifetime) {
    min_rtt_ = rtt;
    min_rtt_at_ = now;
  }
}

void Rack::on_duplicate_sack(SeqNum una, SeqNum nxt) {
  if (una < dsack_round_) return;  // once a round trip
  dsack_round_ = nxt;
  if (window_multiplier_ < 255) ++window_multiplier_;
  window_persist_ = kPersistRecoveries;
}

void Rack::on_recovery_end() {
  if (window_persist_ > 0) --window_persist_;
  if (window_persist_ == 0) window_multiplier_ = 1;
}

Duration Rack::reordering_window(const Context& context) const {
  if (!reordering_seen_ && (context.recovering || context.deliveries >= kDuplicateThreshold)) return {};
  if (min_rtt_.is_infinite()) return {};
  return std::min(min_rtt_ / 4 * window_multiplier_, context.srtt);
}

Instant Rack::detect(SackScoreboard& board, const Context& context, Instant now) const {
  // In order and nothing sent twice: what is outstanding was sent after all that was delivered.
  if (!heard_ || (board.sacked() == 0 && !board.has_retransmitted())) return Instant::never();
  const Duration patience = rtt_ + reordering_window(context);
  Instant again = Instant::never();
  board.mark_lost_if([&](const SentRange& range) {
    if (!sent_after(sent_at_, end_, range.sent_at, range.end)) return SackScoreboard::Verdict::kYounger;
    const Instant lost_at = range.sent_at + patience;
    if (lost_at <= now) return SackScoreboard::Verdict::kLost;
    again = std::min(again, lost_at);
    return SackScoreboard::Verdict::kUndecided;
  });
  return again;
}

}  // namespace millrace::tcp
