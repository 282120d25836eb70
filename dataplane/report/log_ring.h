// Lines of text from one worker to the agent's log writer: a single-producer single-consumer ring of bytes.
// The worker never waits: a line that does not fit is dropped and counted.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "dataplane/base/assert.h"
#include "dataplane/report/counter.h"

namespace millrace::report {

class LogRing {
 public:
  /// `capacity` in bytes, a power of two.
  explicit LogRing(std::size_t capacity) : capacity_(capacity), bytes_(new char[capacity]) {
    MR_ASSERT(capacity >= 4096 && (capacity & (capacity - 1)) == 0);
  }

  /// Producer: queues `line` for `sink`; false when there is no room.
  bool push(std::uint32_t sink, std::string_view line) {
    const Header header{sink, static_cast<std::uint32_t>(line.size())};
    const std::size_t head = head_.load(std::memory_order_relaxed);
    const std::size_t used = head - tail_.load(std::memory_order_acquire);
    if (sizeof(header) + line.size() > capacity_ - used) {
      dropped_.add();
      return false;
    }
    write(head, reinterpret_cast<const char*>(&header), sizeof(header));
    write(head + sizeof(header), line.data(), line.size());
    head_.store(head + sizeof(header) + line.size(), std::memory_order_release);
    return true;
  }

  /// Consumer: calls visit(sink, first_part, second_part) for each line; the two parts together are the line, since it may wrap.
  template <typename Visit>
  std::size_t drain(Visit&& visit) {
    std::size_t tail = tail_.load(std::memory_order_relaxed);
    const std::size_t head = head_.load(std::memory_order_acquire);
    std::size_t lines = 0;
    while (tail != head) {
      Header header;
      read(tail, reinterpret_cast<char*>(&header), sizeof(header));
      const std::size_t start = (tail + sizeof(header)) & (capacity_ - 1);
      const std::size_t first = header.size < capacity_ - start ? header.size : capacity_ - start;
      visit(header.sink, std::string_view(bytes_.get() + start, first), std::string_view(bytes_.get(), header.size - first));
      tail += sizeof(header) + header.size;
      ++lines;
    }
    tail_.store(tail, std::memory_order_release);
    return lines;
  }

  [[nodiscard]] std::uint64_t dropped() const { return dropped_.value(); }

 private:
  struct Header {
    std::uint32_t sink;
    std::uint32_t size;
  };

  void write(std::size_t position, const char* from, std::size_t count) {
    const std::size_t start = position & (capacity_ - 1);
    const std::size_t first = count < capacity_ - start ? count : capacity_ - start;
    std::memcpy(bytes_.get() + start, from, first);
    std::memcpy(bytes_.get(), from + first, count - first);
  }
  void read(std::size_t position, char* to, std::size_t count) const {
    const std::size_t start = position & (capacity_ - 1);
    const std::size_t first = count < capacity_ - start ? count : capacity_ - start;
    std::memcpy(to, bytes_.get() + start, first);
    std::memcpy(to + first, bytes_.get(), count - first);
  }

  const std::size_t capacity_;
  std::unique_ptr<char[]> bytes_;
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
  Counter dropped_;
};

}  // namespace millrace::report
