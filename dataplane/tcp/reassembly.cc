#include "dataplane/tcp/reassembly.h"

#include <algorithm>

namespace millrace::tcp {

bool Reassembly::insert(SeqNum seq, nic::Slice bytes, std::size_t charge_limit) {
  newest_ = seq;
  HeldSlice** link = (tail_ != nullptr && tail_->end() <= seq) ? &tail_->next : &head_;
  while (!bytes.empty()) {
    while (*link != nullptr && (*link)->end() <= seq) link = &(*link)->next;
    HeldSlice* next = *link;
    if (next != nullptr && next->seq <= seq) {  // held already
      const std::size_t held = std::min<std::size_t>(bytes.size(), (next->end() - seq).count());
      bytes.remove_prefix(held);
      seq += SeqLen(held);
      continue;
    }
    if (slices_ >= kMaxSlices || charge_ + bytes.charge() > charge_limit) return false;
    HeldSlice* node = pool_.make();
    if (node == nullptr) return false;
    const std::size_t size = next == nullptr ? bytes.size() : std::min<std::size_t>(bytes.size(), (next->seq - seq).count());
    node->seq = seq;
    node->bytes = bytes.subslice(0, size);
    node->next = next;
    *link = node;
    if (next == nullptr) tail_ = node;
    ++slices_;
    size_ += size;
    charge_ += node->bytes.charge();
    bytes.remove_prefix(size);
    seq += SeqLen(size);
  }
  return true;
}

std::optional<nic::Slice> Reassembly::take(SeqNum rcv_nxt) {
  HeldSlice* node = head_;
  if (node == nullptr || rcv_nxt < node->seq) return std::nullopt;
  head_ = node->next;
  if (head_ == nullptr) tail_ = nullptr;
  --slices_;
  size_ -= node->bytes.size();
  charge_ -= node->bytes.charge();
  nic::Slice bytes = std::move(node->bytes);
  const std::size_t old = std::min<std::size_t>(bytes.size(), (rcv_nxt - node->seq).count());
  pool_.destroy(node);
  bytes.remove_prefix(old);
  return bytes;
}

std::uint8_t Reassembly::fill_sack(TcpOptions& options) const {
  std::uint8_t count = 0;
  bool newest_first = false;
  for (const HeldSlice* node = head_; node != nullptr;) {
    const SeqNum left = node->seq;
    SeqNum right = node->end();
    for (node = node->next; node != nullptr && node->seq == right; node = node->next) right = node->end();
    const TcpOptions::SackBlock block{left.raw(), right.raw()};
    if (left <= newest_ && newest_ < right) {
      if (count < TcpOptions::kMaxSackBlocks) ++count;
      std::copy_backward(options.sack_blocks.begin(), options.sack_blocks.begin() + count - 1,
                         options.sack_blocks.begin() + count);
      options.sack_blocks[0] = block;
      newest_first = true;
    } else if (count < TcpOptions::kMaxSackBlocks) {
      options.sack_blocks[count++] = block;
    } else if (newest_first) {
      break;
    }
  }
  options.sack_count = count;
  return count;
}

void Reassembly::clear() {
  while (HeldSlice* node = head_) {
    head_ = node->next;
    pool_.destroy(node);
  }
  tail_ = nullptr;
  size_ = charge_ = slices_ = 0;
}

}  // namespace millrace::tcp
