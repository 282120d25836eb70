// What is outstanding: the sequence numbers between snd_una and snd_nxt as ranges that share a fate and the time of their last
// transmission. Segments that left in one turn are one range until an acknowledgement tells them apart, so that a window of
// hundreds of segments is usually a handful of ranges. RFC 2018, RFC 6675 (scoreboard), RFC 8985 (times).
//
//   snd_una                                                       snd_nxt
//      |--- lost ---|-- sacked --|-- in flight (again) --|- sacked -|-- in flight --|
//
// Records facts only: what is to be deduced from them is rack.h's and recovery.h's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/pool.h"
#include "dataplane/base/time.h"
#include "dataplane/tcp/seq_num.h"

namespace millrace::tcp {

struct SentRange {
  enum class Fate : std::uint8_t {
    kInFlight,
    kSacked,  ///< the peer holds it
    kLost,    ///< to be sent again
  };

  SeqNum begin;
  SeqNum end;
  Instant sent_at;  ///< its last transmission
  Fate fate = Fate::kInFlight;
  bool retransmitted = false;  ///< sent more than once
  SentRange* next = nullptr;

  [[nodiscard]] std::uint32_t size() const { return (end - begin).count(); }
};
using SentRangePool = Pool<SentRange>;

class SackScoreboard {
 public:
  /// A peer that acknowledges every other byte must not make us keep a record of each: beyond so many ranges, blocks that would
  /// split one are ignored.
  static constexpr std::size_t kMaxRanges = 8'192;

  explicit SackScoreboard(SentRangePool& pool) : pool_(pool) {}
  ~SackScoreboard() { clear(); }
  SackScoreboard(const SackScoreboard&) = delete;
  SackScoreboard& operator=(const SackScoreboard&) = delete;

  /// Nothing is outstanding; the next number to be sent is `first`.
  void start(SeqNum first) { una_ = nxt_ = retransmitted_end_ = first; }

  /// New data goes out up to `end`. False, and nothing noted, when no record is left: then it must not be sent.
  [[nodiscard]] bool on_sent(SeqNum end, Instant now);
  /// [begin, end), all of it outstanding, goes out again.
  void on_retransmitted(SeqNum begin, SeqNum end, Instant now);

  /// The peer has everything before `ack`, which lies in (una, nxt]. Calls visit(const SentRange&) for each part as it was.
  template <typename Visit>
  void acknowledge(SeqNum ack, Visit&& visit) {
    while (head_ != nullptr && head_->begin < ack) {
      SentRange part = *head_;
      part.end = earlier(part.end, ack);
      visit(static_cast<const SentRange&>(part));
      account(part, -1);
      head_->begin = part.end;
      if (head_->begin == head_->end) remove_head();
    }
    una_ = ack;
    retransmitted_end_ = later(retransmitted_end_, una_);
  }
  /// The peer holds [begin, end), which lies between una and nxt. visit() as above, for what is news.
  template <typename Visit>
  void sack(SeqNum begin, SeqNum end, Visit&& visit) {
    // What is new lies near what came last.
    const bool near = hint_ != nullptr && hint_->end <= begin;
    SentRange* before = near ? hint_ : nullptr;
    for (SentRange* range = near ? hint_->next : head_; range != nullptr && range->begin < end;) {
      const bool touches = begin < range->end && range->fate != SentRange::Fate::kSacked;
      if (touches && cut_out(range, before, begin, end)) {
        visit(static_cast<const SentRange&>(*range));
        set_fate(*range, SentRange::Fate::kSacked);
        range = merge(before, range);
        if (range->next != nullptr) (void)merge(range, range->next);
        hint_ = before != range ? before : nullptr;
      }
      before = range;
      range = range->next;
    }
  }

  /// Declares lost what is in flight and for which judge(const SentRange&) says kLost. Asked in sequence order, until it says
  /// kYounger: sent later than what it compares with, as is then all that was sent once and lies behind it.
  enum class Verdict : std::uint8_t { kLost, kUndecided, kYounger };
  template <typename Judge>
  void mark_lost_if(Judge&& judge) {
    for (SentRange* range = head_; range != nullptr; range = range->next) {
      if (range->fate != SentRange::Fate::kInFlight) continue;
      const Verdict verdict = judge(static_cast<const SentRange&>(*range));
      if (verdict == Verdict::kLost) set_fate(*range, SentRange::Fate::kLost);
      if (verdict == Verdict::kYounger && retransmitted_end_ <= range->begin) return;
    }
  }
  /// Declares the first `size` numbers lost, as far as they are in flight.
  void mark_head_lost(std::uint32_t size);
  /// After a timeout: everything that the peer does not hold.
  void mark_all_lost();
  /// It was a mistake: what was declared lost and was not sent again is in flight.
  void unmark_lost();
  /// The peer has thrown away what it had announced (RFC 2018 8).
  void forget_sacks();
  void clear();

  [[nodiscard]] SeqNum una() const { return una_; }
  [[nodiscard]] SeqNum nxt() const { return nxt_; }
  [[nodiscard]] std::uint32_t flight() const { return (nxt_ - una_).count(); }
  [[nodiscard]] std::uint32_t sacked() const { return sacked_; }
  [[nodiscard]] std::uint32_t lost() const { return lost_; }  ///< and not sent again
  /// What is in the network as far as we know (RFC 6675 "pipe").
  [[nodiscard]] std::uint32_t in_network() const { return flight() - sacked_ - lost_; }
  /// The first range to be sent again; null: none.
  [[nodiscard]] const SentRange* first_lost() const;
  /// The range that starts at una; null when nothing is outstanding.
  [[nodiscard]] const SentRange* head() const { return head_; }
  [[nodiscard]] bool has_retransmitted() const { return retransmitted_ > 0; }
  [[nodiscard]] std::size_t ranges() const { return count_; }

 private:
  void account(const SentRange& part, int sign);
  void set_fate(SentRange& range, SentRange::Fate fate);
  [[nodiscard]] bool split(SentRange& range, SeqNum at);
  [[nodiscard]] bool cut_out(SentRange*& range, SentRange*& before, SeqNum begin, SeqNum end);
  [[nodiscard]] SentRange* merge(SentRange* before, SentRange* range);
  void remove_head();

  SentRangePool& pool_;
  SentRange* head_ = nullptr;
  SentRange* tail_ = nullptr;
  SentRange* hint_ = nullptr;  // the last SACK's news begin behind it
  SeqNum una_;
  SeqNum nxt_;
  SeqNum retransmitted_end_;  // behind it everything was sent once
  std::uint32_t sacked_ = 0;
  std::uint32_t lost_ = 0;
  std::uint32_t retransmitted_ = 0;  // bytes outstanding that were sent more than once
  std::uint32_t count_ = 0;
};

}  // namespace millrace::tcp
