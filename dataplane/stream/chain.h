// A queue of byte slices: what streams, codecs and the proxy pass on instead of copying bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/base/pool.h"
#include "nic/packet.h"

namespace millrace::stream {

/// What chains of one worker are made from: list nodes and packet buffers.
class ChainPool;

struct ChainNode {
  nic::Slice slice;
  ChainNode* next = nullptr;
};

class ChainPool {
 public:
  ChainPool(nic::PacketPool& packets, std::size_t initial_nodes, std::size_t node_limit)
      : packets_(packets), nodes_(initial_nodes, node_limit) {}

  [[nodiscard]] nic::PacketPool& packets() { return packets_; }
  [[nodiscard]] std::size_t nodes_in_use() const { return nodes_.in_use(); }

 private:
  friend class Chain;
  nic::PacketPool& packets_;
  Pool<ChainNode> nodes_;
};

/// Bytes in order. Appending can fail when the worker's pools are exhausted; it then returns false and has changed nothing.
/// Small slices are copied together (sparse queues are compacted), large ones are referenced.
class Chain {
 public:
  /// Slices up to this size are copied behind a solely owned tail where they fit.
  static constexpr std::size_t kCompactBytes = 256;

  explicit Chain(ChainPool& pool) : pool_(&pool) {}
  Chain(Chain&& other) noexcept;
  Chain& operator=(Chain&& other) noexcept;
  ~Chain() { clear(); }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< bytes
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t charge() const { return charge_; }  ///< bytes of memory pinned, at least size()

  /// Adds a reference to the slice's bytes. An empty slice is nothing.
  [[nodiscard]] bool append(nic::Slice slice);
  /// Copies `bytes` into buffers of the pool.
  [[nodiscard]] bool append_copy(std::span<const std::uint8_t> bytes);
  [[nodiscard]] bool append_copy(std::string_view text) {
    return append_copy(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
  }
  /// Adds `count` contiguous bytes, uninitialised, and returns them; at most what a buffer holds behind its headroom. Null: no
  /// memory.
  [[nodiscard]] std::uint8_t* grow(std::size_t count);
  /// Adds `count` contiguous bytes in front, as grow() does behind.
  [[nodiscard]] std::uint8_t* grow_front(std::size_t count);
  /// Moves everything from `other`, which is empty afterwards. Never fails. Both are of one pool.
  void append(Chain&& other);
  /// Moves the first `count` bytes (at most size()) to the end of `to`. False when a slice had to be split and no node was
  /// left; what was moved until then stays moved.
  [[nodiscard]] bool move_prefix(std::size_t count, Chain& to);

  /// Copies what others hold too, so that all bytes may be written where they lie. False: no memory; the bytes are all there.
  [[nodiscard]] bool make_sole();
  /// Calls visit(std::span<std::uint8_t>) for each contiguous part, in order: to write what nobody else looks at, such as what
  /// make_sole() has left, or what a transport has delivered to us alone.
  template <typename Visit>
  void for_each_mutable(Visit&& visit) {
    for (ChainNode* node = head_; node != nullptr; node = node->next) visit(node->slice.mutable_bytes());
  }

  /// The first contiguous bytes; empty when the chain is.
  [[nodiscard]] std::span<const std::uint8_t> front() const;
  /// A reference to the first `count` bytes of front(), count <= front().size().
  [[nodiscard]] nic::Slice front_slice(std::size_t count) const;
  void remove_prefix(std::size_t count);
  void clear();

  /// Copies up to out.size() bytes starting at `offset`; returns how many there were.
  std::size_t copy_out(std::size_t offset, std::span<std::uint8_t> out) const { return cursor(offset).copy(out); }

  /// A place in a chain, for readers that go through it part by part. Valid until the chain changes.
  class Cursor {
   public:
    Cursor() = default;  ///< at an end
    /// Bytes that lie contiguous from here; 0 at the end.
    [[nodiscard]] std::size_t contiguous() const { return node_ == nullptr ? 0 : node_->slice.size() - offset_; }
    /// Moves on by at most contiguous() bytes.
    void skip(std::size_t count);
    /// A reference to the next `count` bytes, at most contiguous(). Moves on behind them.
    [[nodiscard]] nic::Slice take(std::size_t count);
    /// Copies `out.size()` bytes, as far as there are so many; returns how many. Moves on behind them.
    std::size_t copy(std::span<std::uint8_t> out);

   private:
    friend class Chain;
    Cursor(const ChainNode* node, std::size_t offset) : node_(node), offset_(offset) {}
    const ChainNode* node_ = nullptr;  // null: the end
    std::size_t offset_ = 0;           // less than the node's size
  };
  /// offset <= size().
  [[nodiscard]] Cursor cursor(std::size_t offset) const;

  /// Calls visit(std::span<const std::uint8_t>) for each contiguous part, in order.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const ChainNode* node = head_; node != nullptr; node = node->next) visit(node->slice.bytes());
  }

  [[nodiscard]] ChainPool& pool() { return *pool_; }

 private:
  [[nodiscard]] bool append_node(nic::Slice slice);

  ChainPool* pool_;
  ChainNode* head_ = nullptr;
  ChainNode* tail_ = nullptr;
  std::size_t size_ = 0;
  std::size_t charge_ = 0;
};

}  // namespace millrace::stream
