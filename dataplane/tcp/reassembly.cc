#include "dataplane/tcp/reassembly.h"

#include <algorithm>
#include <array>
#include <utility>

namespace millrace::tcp {

bool Reassembly::insert(SeqNum seq, nic::Slice bytes, std::size_t charge_limit) {
  ++arrivals_;
  HeldBlock* last = tail_;
  HeldBlock** link = last != nullptr && last->begin <= seq ? &last : &head_;
  while (!bytes.empty()) {
    while (*link != nullptr && (*link)->end < seq) link = &(*link)->next;
    HeldBlock* block = *link;
    if (block == nullptr || seq < block->begin) {
      const std::size_t size =
          block == nullptr ? bytes.size() : std::min<std::size_t>(bytes.size(), (block->begin - seq).count());
      if (!put_before(*link, seq, bytes.subslice(0, size), charge_limit)) return false;
      bytes.remove_prefix(size);
      seq += SeqLen(size);
      continue;
    }
    block->touched = arrivals_;
    const std::size_t held = std::min<std::size_t>(bytes.size(), (block->end - seq).count());
    bytes.remove_prefix(held);
    seq += SeqLen(held);
    if (bytes.empty()) break;
    const HeldBlock* next = block->next;
    const std::size_t size = next == nullptr ? bytes.size() : std::min<std::size_t>(bytes.size(), (next->begin - seq).count());
    if (!append(*block, bytes.subslice(0, size), charge_limit)) return false;
    bytes.remove_prefix(size);
    seq += SeqLen(size);
    if (next != nullptr && next->begin == block->end) join_next(*block);
  }
  return true;
}

HeldSlice* Reassembly::keep(nic::Slice bytes, std::size_t charge_limit) {
  if (slices_ >= kMaxSlices || charge_ + bytes.charge() > charge_limit) return nullptr;
  HeldSlice* slice = pool_.slices.make();
  if (slice == nullptr) return nullptr;
  ++slices_;
  size_ += bytes.size();
  charge_ += bytes.charge();
  slice->bytes = std::move(bytes);
  return slice;
}

bool Reassembly::append(HeldBlock& block, nic::Slice bytes, std::size_t charge_limit) {
  const SeqLen size(bytes.size());
  HeldSlice* slice = keep(std::move(bytes), charge_limit);
  if (slice == nullptr) return false;
  block.last->next = slice;
  block.last = slice;
  block.end += size;
  return true;
}

// In front of *link, which begins behind it: in a block of its own, or as the beginning of that one when they touch.
bool Reassembly::put_before(HeldBlock*& link, SeqNum seq, nic::Slice bytes, std::size_t charge_limit) {
  const SeqNum end = seq + SeqLen(bytes.size());
  const bool touches = link != nullptr && link->begin == end;
  if (!touches && blocks_ >= kMaxBlocks) return false;
  HeldSlice* slice = keep(std::move(bytes), charge_limit);
  if (slice == nullptr) return false;
  if (touches) {
    slice->next = link->first;
    link->first = slice;
    link->begin = seq;
    link->touched = arrivals_;
    return true;
  }
  HeldBlock* block = pool_.blocks.make();
  if (block == nullptr) {
    --slices_;
    size_ -= slice->bytes.size();
    charge_ -= slice->bytes.charge();
    pool_.slices.destroy(slice);
    return false;
  }
  *block = {.begin = seq, .end = end, .first = slice, .last = slice, .next = link, .touched = arrivals_};
  if (link == nullptr) tail_ = block;
  link = block;
  ++blocks_;
  return true;
}

void Reassembly::join_next(HeldBlock& block) {
  HeldBlock* next = block.next;
  block.last->next = next->first;
  block.last = next->last;
  block.end = next->end;
  block.next = next->next;
  if (tail_ == next) tail_ = &block;
  --blocks_;
  pool_.blocks.destroy(next);
}

std::optional<nic::Slice> Reassembly::take(SeqNum rcv_nxt) {
  HeldBlock* block = head_;
  if (block == nullptr || rcv_nxt < block->begin) return std::nullopt;
  HeldSlice* slice = block->first;
  nic::Slice bytes = std::move(slice->bytes);
  --slices_;
  size_ -= bytes.size();
  charge_ -= bytes.charge();
  const SeqNum begin = block->begin;
  block->first = slice->next;
  block->begin = begin + SeqLen(bytes.size());
  pool_.slices.destroy(slice);
  if (block->first == nullptr) {
    head_ = block->next;
    if (head_ == nullptr) tail_ = nullptr;
    --blocks_;
    pool_.blocks.destroy(block);
  }
  bytes.remove_prefix(std::min<std::size_t>(bytes.size(), (rcv_nxt - begin).count()));
  return bytes;
}

bool Reassembly::holds(SeqNum begin, SeqNum end) const {
  for (const HeldBlock* block = head_; block != nullptr && block->begin <= begin; block = block->next) {
    if (end <= block->end) return true;
  }
  return false;
}

void Reassembly::fill_sack(TcpOptions& options) const {
  std::array<const HeldBlock*, TcpOptions::kMaxSackBlocks> latest{};
  const std::size_t room = TcpOptions::kMaxSackBlocks - options.sack_count;
  for (const HeldBlock* block = head_; block != nullptr; block = block->next) {
    for (std::size_t i = 0; i < room; ++i) {
      if (latest[i] != nullptr && latest[i]->touched >= block->touched) continue;
      std::copy_backward(latest.begin() + static_cast<std::ptrdiff_t>(i), latest.end() - 1, latest.end());
      latest[i] = block;
      break;
    }
  }
  for (std::size_t i = 0; i < room && latest[i] != nullptr; ++i) {
    options.sack_blocks[options.sack_count++] = {latest[i]->begin.raw(), latest[i]->end.raw()};
  }
}

void Reassembly::clear() {
  while (HeldBlock* block = head_) {
    head_ = block->next;
    while (HeldSlice* slice = block->first) {
      block->first = slice->next;
      pool_.slices.destroy(slice);
    }
    pool_.blocks.destroy(block);
  }
  tail_ = nullptr;
  size_ = charge_ = 0;
  slices_ = blocks_ = 0;
}

}  // namespace millrace::tcp
