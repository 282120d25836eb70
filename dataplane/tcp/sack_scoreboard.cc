#include "dataplane/tcp/sack_scoreboard.h"

#include <algorithm>

namespace millrace::tcp {

using Fate = SentRange::Fate;

bool SackScoreboard::on_sent(SeqNum end, Instant now) {
  const std::uint32_t size = (end - nxt_).count();
  const bool extends = tail_ != nullptr && tail_->fate == Fate::kInFlight && !tail_->retransmitted;
  if (!extends || tail_->sent_at != now) {
    SentRange* range = count_ < kMaxRanges ? pool_.make() : nullptr;
    if (range != nullptr) {
      *range = {.begin = nxt_, .end = nxt_, .sent_at = now};
      (tail_ == nullptr ? head_ : tail_->next) = range;
      tail_ = range;
      ++count_;
    } else if (!extends) {
      return false;
    }
  }
  // Without a record of its own it makes its elders look younger: they are found lost a little later.
  tail_->sent_at = now;
  tail_->end = tail_->end + SeqLen(size);
  nxt_ = end;
  return true;
}

void SackScoreboard::on_retransmitted(SeqNum begin, SeqNum end, Instant now) {
  retransmitted_end_ = later(retransmitted_end_, end);
  for (SentRange *range = head_, *before = nullptr; range != nullptr && range->begin < end;) {
    if (begin < range->end && range->fate != Fate::kSacked) {
      // When it cannot be told apart from its neighbours, all of them count as sent again; a timeout would find them.
      (void)cut_out(range, before, begin, end);
      account(*range, -1);
      range->fate = Fate::kInFlight;
      range->retransmitted = true;
      range->sent_at = now;
      account(*range, 1);
      range = merge(before, range);
    }
    before = range;
    range = range->next;
  }
}

void SackScoreboard::mark_head_lost(std::uint32_t size) {
  const SeqNum end = una_ + SeqLen(std::min(size, flight()));
  if (head_ == nullptr || head_->fate != Fate::kInFlight) return;
  if (end < head_->end) (void)split(*head_, end);
  set_fate(*head_, Fate::kLost);
}

void SackScoreboard::mark_all_lost() {
  mark_lost_if([](const SentRange&) { return Verdict::kLost; });
}

void SackScoreboard::unmark_lost() {
  for (SentRange* range = head_; range != nullptr; range = range->next) {
    if (range->fate == Fate::kLost) set_fate(*range, Fate::kInFlight);
  }
}

void SackScoreboard::forget_sacks() {
  for (SentRange* range = head_; range != nullptr; range = range->next) {
    if (range->fate == Fate::kSacked) set_fate(*range, Fate::kInFlight);
  }
}

void SackScoreboard::clear() {
  while (head_ != nullptr) remove_head();
  una_ = nxt_;
  sacked_ = lost_ = retransmitted_ = 0;
}

const SentRange* SackScoreboard::first_lost() const {
  if (lost_ == 0) return nullptr;
  const SentRange* range = head_;
  while (range->fate != Fate::kLost) range = range->next;
  return range;
}

void SackScoreboard::account(const SentRange& part, int sign) {
  const std::uint32_t delta = sign < 0 ? 0u - part.size() : part.size();
  if (part.fate == Fate::kSacked) sacked_ += delta;
  if (part.fate == Fate::kLost) lost_ += delta;
  if (part.retransmitted) retransmitted_ += delta;
}

void SackScoreboard::set_fate(SentRange& range, Fate fate) {
  account(range, -1);
  range.fate = fate;
  account(range, 1);
}

bool SackScoreboard::split(SentRange& range, SeqNum at) {
  SentRange* rest = count_ < kMaxRanges ? pool_.make() : nullptr;
  if (rest == nullptr) return false;
  *rest = range;
  rest->begin = range.end = at;
  range.next = rest;
  if (tail_ == &range) tail_ = rest;
  ++count_;
  return true;
}

// Makes `range` the part of it that lies in [begin, end), with neighbours for the rest. False when it had to be split and was
// not.
bool SackScoreboard::cut_out(SentRange*& range, SentRange*& before, SeqNum begin, SeqNum end) {
  if (range->begin < begin) {
    if (!split(*range, begin)) return false;
    before = range;
    range = range->next;
  }
  return range->end <= end || split(*range, end);
}

// Joins `range` to `before` if nothing tells them apart. Returns the range that now holds it.
SentRange* SackScoreboard::merge(SentRange* before, SentRange* range) {
  if (before == nullptr || before->fate != range->fate || before->retransmitted != range->retransmitted) return range;
  if (before->fate != Fate::kSacked && before->sent_at != range->sent_at) return range;
  before->sent_at = std::max(before->sent_at, range->sent_at);
  before->end = range->end;
  before->next = range->next;
  if (tail_ == range) tail_ = before;
  if (hint_ == range) hint_ = nullptr;
  --count_;
  pool_.destroy(range);
  return before;
}

void SackScoreboard::remove_head() {
  SentRange* range = head_;
  head_ = range->next;
  if (head_ == nullptr) tail_ = nullptr;
  if (hint_ == range) hint_ = nullptr;
  --count_;
  pool_.destroy(range);
}

}  // namespace millrace::tcp
