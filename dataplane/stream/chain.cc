#include "dataplane/stream/chain.h"

#include <algorithm>
#include <cstring>

namespace millrace::stream {

Chain::Chain(Chain&& other) noexcept
    : pool_(other.pool_),
      head_(std::exchange(other.head_, nullptr)),
      tail_(std::exchange(other.tail_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      charge_(std::exchange(other.charge_, 0)) {}

Chain& Chain::operator=(Chain&& other) noexcept {
  if (this == &other) return *this;
  clear();
  pool_ = other.pool_;
  append(std::move(other));
  return *this;
}

bool Chain::append(nic::Slice slice) {
  if (slice.empty()) return true;
  if (tail_ != nullptr && slice.size() <= kCompactBytes && tail_->slice.writable_tailroom() >= slice.size()) {
    tail_->slice.append(slice.bytes());
    size_ += slice.size();
    return true;
  }
  return append_node(std::move(slice));
}

bool Chain::append_node(nic::Slice slice) {
  ChainNode* node = pool_->nodes_.make();
  if (node == nullptr) return false;
  size_ += slice.size();
  charge_ += slice.charge();
  node->slice = std::move(slice);
  (tail_ == nullptr ? head_ : tail_->next) = node;
  tail_ = node;
  return true;
}

bool Chain::append_copy(std::span<const std::uint8_t> bytes) {
  const std::size_t in_tail = tail_ == nullptr ? 0 : std::min(bytes.size(), tail_->slice.writable_tailroom());
  // The fresh buffers first: if one is missing, nothing has changed.
  Chain fresh(*pool_);
  std::span<const std::uint8_t> rest = bytes.subspan(in_tail);
  while (!rest.empty()) {
    nic::Packet packet = pool_->packets_.allocate();
    if (!packet) return false;
    const std::size_t part = std::min(rest.size(), packet.tailroom());
    packet.append(rest.first(part));
    if (!fresh.append(nic::Slice(std::move(packet)))) return false;
    rest = rest.subspan(part);
  }
  if (in_tail > 0) {
    tail_->slice.append(bytes.first(in_tail));
    size_ += in_tail;
  }
  append(std::move(fresh));
  return true;
}

std::uint8_t* Chain::grow(std::size_t count) {
  if (tail_ == nullptr || tail_->slice.writable_tailroom() < count) {
    nic::Packet packet = pool_->packets_.allocate();
    if (!packet) return nullptr;
    packet.append(count);
    if (!append_node(nic::Slice(std::move(packet)))) return nullptr;
    return tail_->slice.mutable_bytes().data();
  }
  size_ += count;
  return tail_->slice.grow(count);
}

std::uint8_t* Chain::grow_front(std::size_t count) {
  if (head_ == nullptr || head_->slice.writable_headroom() < count) {
    Chain front(*pool_);
    if (front.grow(count) == nullptr) return nullptr;
    front.append(std::move(*this));
    append(std::move(front));
    return head_->slice.mutable_bytes().data();
  }
  size_ += count;
  return head_->slice.prepend(count);
}

bool Chain::make_sole() {
  bool shared = false;
  for (const ChainNode* node = head_; node != nullptr; node = node->next) shared |= !node->slice.is_sole();
  if (!shared) return true;
  Chain sole(*pool_);
  bool good = true;
  while (head_ != nullptr) {
    if (!head_->slice.is_sole()) {
      good = sole.append_copy(head_->slice.bytes());
      if (!good) break;
      remove_prefix(head_->slice.size());
    } else {
      static_cast<void>(move_prefix(head_->slice.size(), sole));  // a whole node: takes no memory
    }
  }
  sole.append(std::move(*this));
  append(std::move(sole));
  return good;
}

void Chain::append(Chain&& other) {
  if (other.head_ == nullptr || &other == this) return;
  MR_ASSERT(pool_ == other.pool_);
  (tail_ == nullptr ? head_ : tail_->next) = std::exchange(other.head_, nullptr);
  tail_ = std::exchange(other.tail_, nullptr);
  size_ += std::exchange(other.size_, 0);
  charge_ += std::exchange(other.charge_, 0);
}

bool Chain::move_prefix(std::size_t count, Chain& to) {
  MR_ASSERT(count <= size_ && pool_ == to.pool_);
  while (count > 0) {
    ChainNode* node = head_;
    MR_ASSERT(node != nullptr);  // count is at most size_
    if (node->slice.size() > count) {
      if (!to.append(node->slice.subslice(0, count))) return false;
      node->slice.remove_prefix(count);
      size_ -= count;
      return true;
    }
    head_ = node->next;
    if (head_ == nullptr) tail_ = nullptr;
    node->next = nullptr;
    const std::size_t size = node->slice.size();
    const std::size_t charge = node->slice.charge();
    size_ -= size;
    charge_ -= charge;
    count -= size;
    (to.tail_ == nullptr ? to.head_ : to.tail_->next) = node;
    to.tail_ = node;
    to.size_ += size;
    to.charge_ += charge;
  }
  return true;
}

std::span<const std::uint8_t> Chain::front() const {
  return head_ == nullptr ? std::span<const std::uint8_t>() : head_->slice.bytes();
}

nic::Slice Chain::front_slice(std::size_t count) const {
  MR_ASSERT(head_ != nullptr);
  return head_->slice.subslice(0, count);
}

void Chain::remove_prefix(std::size_t count) {
  MR_ASSERT(count <= size_);
  size_ -= count;
  while (count > 0) {
    ChainNode* node = head_;
    MR_ASSERT(node != nullptr);  // count is at most size_
    if (node->slice.size() > count) {
      node->slice.remove_prefix(count);
      return;
    }
    count -= node->slice.size();
    charge_ -= node->slice.charge();
    head_ = node->next;
    if (head_ == nullptr) tail_ = nullptr;
    pool_->nodes_.destroy(node);
  }
}

void Chain::clear() { remove_prefix(size_); }

Chain::Cursor Chain::cursor(std::size_t offset) const {
  const ChainNode* node = head_;
  while (node != nullptr && node->slice.size() <= offset) {
    offset -= node->slice.size();
    node = node->next;
  }
  return {node, offset};
}

void Chain::Cursor::skip(std::size_t count) {
  offset_ += count;
  MR_ASSERT(node_ != nullptr && offset_ <= node_->slice.size());
  if (offset_ < node_->slice.size()) return;
  node_ = node_->next;
  offset_ = 0;
}

nic::Slice Chain::Cursor::take(std::size_t count) {
  nic::Slice part = node_->slice.subslice(offset_, count);
  skip(count);
  return part;
}

std::size_t Chain::Cursor::copy(std::span<std::uint8_t> out) {
  std::size_t copied = 0;
  while (node_ != nullptr && copied < out.size()) {
    const std::size_t part = std::min(contiguous(), out.size() - copied);
    std::memcpy(out.data() + copied, node_->slice.data() + offset_, part);
    copied += part;
    skip(part);
  }
  return copied;
}

}  // namespace millrace::stream
