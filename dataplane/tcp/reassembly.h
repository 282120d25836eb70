// What arrived ahead of its turn: blocks of contiguous bytes in sequence order, each a list of slices. Bytes that are held
// already win over later ones with the same numbers, so that overlapping segments never change what is delivered. Bounded in
// slices, in blocks and in pinned memory; the work for a segment grows with the number of blocks (holes), not with what is held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/base/pool.h"
#include "dataplane/tcp/segment.h"
#include "dataplane/tcp/seq_num.h"
#include "nic/packet.h"

namespace millrace::tcp {

struct HeldSlice {
  nic::Slice bytes;
  HeldSlice* next = nullptr;
};
struct HeldBlock {
  SeqNum begin;
  SeqNum end;
  HeldSlice* first = nullptr;
  HeldSlice* last = nullptr;
  HeldBlock* next = nullptr;
  std::uint32_t touched = 0;  // when something last arrived for it: a count of arrivals
};

/// Of all connections of a stack.
struct ReassemblyPool {
  ReassemblyPool(std::size_t initial, std::size_t limit) : slices(initial, limit), blocks(initial, limit) {}
  Pool<HeldSlice> slices;
  Pool<HeldBlock> blocks;
};

class Reassembly {
 public:
  static constexpr std::size_t kMaxSlices = 4'096;
  static constexpr std::size_t kMaxBlocks = 1'024;

  explicit Reassembly(ReassemblyPool& pool) : pool_(pool) {}
  ~Reassembly() { clear(); }
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  /// Keeps what is new in `bytes`. False when something new had to be dropped: `charge_limit` bytes pinned, kMaxSlices,
  /// kMaxBlocks, or the pool.
  bool insert(SeqNum seq, nic::Slice bytes, std::size_t charge_limit);

  /// Takes the first slice out if it continues (or lies before) `rcv_nxt`, without its bytes before rcv_nxt; it may be empty
  /// then.
  [[nodiscard]] std::optional<nic::Slice> take(SeqNum rcv_nxt);

  /// All of [begin, end) is here.
  [[nodiscard]] bool holds(SeqNum begin, SeqNum end) const;
  /// Adds SACK blocks behind those that are there, as far as there is room: the one with the latest arrival first (RFC 2018 4).
  void fill_sack(TcpOptions& options) const;

  [[nodiscard]] bool empty() const { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }      ///< bytes
  [[nodiscard]] std::size_t charge() const { return charge_; }  ///< bytes pinned
  [[nodiscard]] std::size_t slices() const { return slices_; }
  void clear();

 private:
  [[nodiscard]] HeldSlice* keep(nic::Slice bytes, std::size_t charge_limit);
  [[nodiscard]] bool append(HeldBlock& block, nic::Slice bytes, std::size_t charge_limit);
  [[nodiscard]] bool put_before(HeldBlock*& link, SeqNum seq, nic::Slice bytes, std::size_t charge_limit);
  void join_next(HeldBlock& block);

  ReassemblyPool& pool_;
  HeldBlock* head_ = nullptr;
  HeldBlock* tail_ = nullptr;  // most of what comes belongs there
  std::size_t size_ = 0;
  std::size_t charge_ = 0;
  std::uint32_t slices_ = 0;
  std::uint32_t blocks_ = 0;
  std::uint32_t arrivals_ = 0;
};

}  // namespace millrace::tcp
