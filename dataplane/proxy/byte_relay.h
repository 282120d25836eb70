// One direction of a connection that is passed through: bytes read from one transport and written to another, at the pace of the
// slower one, and the end of the one side passed on as an end of the other.
//
//   from --read()--> waiting_ (at most the limit) --write()--> to
//
// Nothing is read while the buffer is full, so what `to` does not take holds the sender back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "dataplane/base/time.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

class ByteRelay {
 public:
  /// What waits between the transports at most: they have buffers of their own.
  static constexpr std::size_t kMostBytes = 64 * 1024;

  ByteRelay(stream::ChainPool& pool, std::size_t limit) : waiting_(pool), limit_(std::min(limit, kMostBytes)) {}
  /// `received`: read before, and passed on first.
  ByteRelay(stream::Chain received, std::size_t limit) : waiting_(std::move(received)), limit_(std::min(limit, kMostBytes)) {}

  /// Reads what there is room for; returns how many bytes.
  std::size_t read(stream::ByteStream& from, Instant now);
  /// Writes what `to` takes, and ends its side when everything has come and gone; returns how many bytes.
  std::size_t write(stream::ByteStream& to, Instant now);

  /// The transport has said so by closing.
  void note_end() { ended_ = true; }

  [[nodiscard]] bool is_full() const { return waiting_.charge() >= limit_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  /// The end was read, and everything before it.
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// And it was passed on.
  [[nodiscard]] bool is_complete() const { return complete_; }
  void clear() { waiting_.clear(); }

 private:
  stream::Chain waiting_;
  std::size_t limit_;
  bool ended_ = false;
  bool complete_ = false;
};

}  // namespace millrace::proxy
