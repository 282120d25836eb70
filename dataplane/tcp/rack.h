// RACK (RFC 8985): a segment is lost when one that was sent later has arrived, and longer ago than reordering explains. Deduces
// from the scoreboard's times; sends nothing, keeps no timer.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/base/time.h"
#include "dataplane/tcp/sack_scoreboard.h"

namespace millrace::tcp {

class Rack {
 public:
  void start(SeqNum first) { fack_ = dsack_round_ = first; }

  /// `part` has been acknowledged or sacked, which is news. With `echo_sent_at` (from an echoed timestamp: when, at the earliest,
  /// what is acknowledged was sent) an acknowledgement of the first transmission is not taken for one of the second.
  void on_delivered(const SentRange& part, std::optional<Instant> echo_sent_at, Instant now);
  /// The peer got something twice: a retransmission was spurious (6.2 step 4). `una`, `nxt` bound a round trip.
  void on_duplicate_sack(SeqNum una, SeqNum nxt);
  /// A loss recovery is over: what was learnt about reordering fades after 16 of them.
  void on_recovery_end();

  struct Context {
    Duration srtt;
    bool recovering = false;       ///< in fast recovery or after a timeout
    std::uint32_t deliveries = 0;  ///< segments, or acknowledgements of any, sacked above snd_una
  };
  /// Declares losses (6.2 step 5). Returns when to look again if nothing is heard until then, never() when there is no need.
  Instant detect(SackScoreboard& board, const Context& context, Instant now) const;
  /// The shortest round trip of the last minutes; infinite when none was measured.
  [[nodiscard]] Duration min_rtt() const { return min_rtt_; }

 private:
  static constexpr std::uint32_t kDuplicateThreshold = 3;
  static constexpr std::uint8_t kPersistRecoveries = 16;
  static constexpr Duration kMinRttLifetime = Duration::seconds(300);

  [[nodiscard]] Duration reordering_window(const Context& context) const;
  void sample_min_rtt(Duration rtt, Instant now);

  Instant sent_at_;  // of the delivered segment that was sent last
  SeqNum end_;       // and where it ends
  SeqNum fack_;      // the highest number that was delivered
  SeqNum dsack_round_;
  Duration rtt_;
  Duration min_rtt_ = Duration::infinite();
  Instant min_rtt_at_;
  std::uint8_t window_multiplier_ = 1;
  std::uint8_t window_persist_ = 0;
  bool reordering_seen_ = false;
  bool heard_ = false;
};

}  // namespace millrace::tcp
