// HTTP/1.1 as the simulated clients and origins speak it: a second, plain implementation, so that the gateway is not checked by
// its own code. Heads are kept as text; bodies are patterns (pattern.h), made and checked as they go.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/stream/chain.h"

namespace millrace::sim {

/// Reads one message after another.
class HttpReader {
 public:
  /// Takes bytes up to the end of the message and returns how many. `key` tells whose pattern the body is.
  std::size_t feed(std::span<const std::uint8_t> bytes);
  /// Before the next message.
  void restart() { *this = HttpReader(); }
  void expect_pattern(std::uint64_t key) { key_ = key; }

  [[nodiscard]] bool head_complete() const { return stage_ != Stage::kHead; }
  [[nodiscard]] bool complete() const { return stage_ == Stage::kComplete; }
  /// What is no HTTP, or has no framing that we know.
  [[nodiscard]] bool bad() const { return bad_; }
  [[nodiscard]] bool begun() const { return !head_.empty(); }
  [[nodiscard]] std::uint64_t body_bytes() const { return body_bytes_; }
  [[nodiscard]] std::uint64_t wrong_bytes() const { return wrong_bytes_; }  ///< of the body

  [[nodiscard]] std::string_view start_line() const { return std::string_view(head_).substr(0, head_.find('\r')); }
  /// The status of a response; 0 when it is none.
  [[nodiscard]] int status() const;
  /// The value of a field, by its lower-case name.
  [[nodiscard]] std::optional<std::string> field(std::string_view name) const;
  [[nodiscard]] std::optional<std::uint64_t> number_field(std::string_view name) const;

 private:
  enum class Stage : std::uint8_t { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailer, kComplete };
  std::size_t feed_head(std::span<const std::uint8_t> bytes);
  std::size_t feed_line(std::span<const std::uint8_t> bytes);
  void on_head();
  void on_line();

  std::string head_;
  std::string line_;
  Stage stage_ = Stage::kHead;
  std::uint64_t left_ = 0;  // of the body or chunk
  std::uint64_t key_ = 0;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t wrong_bytes_ = 0;
  bool bad_ = false;
};

/// Makes one message: a head, then a body of pattern bytes with a length or in chunks.
class HttpWriter {
 public:
  void start(std::string head_without_framing, std::uint64_t key, std::uint64_t body_bytes, bool chunked);
  /// Appends the next piece to `to`; false when there is no memory, and nothing was appended.
  [[nodiscard]] bool produce(stream::Chain& to);
  [[nodiscard]] bool complete() const { return head_.empty() && done_; }

 private:
  static constexpr std::size_t kPieceBytes = 8'192;
  std::string head_;
  std::uint64_t key_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t bytes_ = 0;
  bool chunked_ = false;
  bool done_ = true;
};

}  // namespace millrace::sim
