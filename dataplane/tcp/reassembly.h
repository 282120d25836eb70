// What arrived ahead of its turn: slices in sequence order, none overlapping another. Bytes that are held already win over later
// ones with the same numbers, so that overlapping segments never change what is delivered. Bounded in slices and in pinned
// memory.
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
  SeqNum seq;
  nic::Slice bytes;
  HeldSlice* next = nullptr;
  [[nodiscard]] SeqNum end() const { return seq + SeqLen(bytes.size()); }
};
using ReassemblyPool = Pool<HeldSlice>;

class Reassembly {
 public:
  static constexpr std::size_t kMaxSlices = 512;

  explicit Reassembly(ReassemblyPool& pool) : pool_(pool) {}
  ~Reassembly() { clear(); }
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  /// Keeps what is new in `bytes`. False when something new had to be dropped: `charge_limit` bytes pinned, kMaxSlices, or the
  /// pool.
  bool insert(SeqNum seq, nic::Slice bytes, std::size_t charge_limit);

  /// Takes the first slice out if it continues (or lies before) `rcv_nxt`, without its bytes before rcv_nxt; it may be empty
  /// then.
  [[nodiscard]] std::optional<nic::Slice> take(SeqNum rcv_nxt);

  /// SACK blocks, the one that holds the newest arrival first (RFC 2018 4). Returns how many it wrote.
  std::uint8_t fill_sack(TcpOptions& options) const;

  [[nodiscard]] bool empty() const { return head_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }      ///< bytes
  [[nodiscard]] std::size_t charge() const { return charge_; }  ///< bytes pinned
  [[nodiscard]] std::size_t slices() const { return slices_; }
  void clear();

 private:
  ReassemblyPool& pool_;
  HeldSlice* head_ = nullptr;
  HeldSlice* tail_ = nullptr;
  std::size_t size_ = 0;
  std::size_t charge_ = 0;
  std::size_t slices_ = 0;
  SeqNum newest_;
};

}  // namespace millrace::tcp
