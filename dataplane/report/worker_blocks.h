// A block of statistics for each worker, made when that worker first writes there. To its readers it is what a vector of blocks
// would be: where nobody has written they find zeros.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "dataplane/report/lazy.h"

namespace millrace::report {

/// Any thread may call everything; each number in a block has one writer, as its type says. A block stays where it is as long as
/// this does. Whoever only reads takes a const one: the other operator[] makes what is not there yet.
template <typename Block>
class WorkerBlocks {
 public:
  explicit WorkerBlocks(std::size_t workers) : workers_(static_cast<std::uint32_t>(workers)) {}
  WorkerBlocks(const WorkerBlocks&) = delete;
  WorkerBlocks& operator=(const WorkerBlocks&) = delete;
  ~WorkerBlocks() { delete[] blocks_.load(std::memory_order_relaxed); }

  [[nodiscard]] std::size_t size() const { return workers_; }

  /// Of that worker (below size()). Its first use allocates: once in the life of a cell and worker, not for each request.
  [[nodiscard]] Block& operator[](std::size_t worker) {
    Lazy<Block>* blocks = blocks_.load(std::memory_order_acquire);
    return (blocks != nullptr ? blocks : make())[worker].get();
  }
  [[nodiscard]] const Block& operator[](std::size_t worker) const {
    const Lazy<Block>* blocks = blocks_.load(std::memory_order_acquire);
    return blocks != nullptr ? blocks[worker].peek() : kNone.peek();
  }

  /// Over all workers' blocks, those that nobody has written to included.
  class Iterator {
   public:
    using value_type = Block;
    using difference_type = std::ptrdiff_t;
    using reference = const Block&;
    using pointer = const Block*;
    using iterator_category = std::forward_iterator_tag;

    Iterator() = default;
    [[nodiscard]] reference operator*() const { return (*blocks_)[worker_]; }
    [[nodiscard]] pointer operator->() const { return &**this; }
    Iterator& operator++() {
      ++worker_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator&) const = default;

   private:
    friend class WorkerBlocks;
    Iterator(const WorkerBlocks* blocks, std::size_t worker) : blocks_(blocks), worker_(worker) {}

    const WorkerBlocks* blocks_ = nullptr;
    std::size_t worker_ = 0;
  };
  [[nodiscard]] Iterator begin() const { return Iterator(this, 0); }
  [[nodiscard]] Iterator end() const { return Iterator(this, workers_); }

 private:
  inline static const Lazy<Block> kNone;

  // Of several that come at once the first one's stays.
  [[gnu::noinline, gnu::cold]] Lazy<Block>* make() {
    auto* const mine = new Lazy<Block>[workers_];
    Lazy<Block>* other = nullptr;
    if (blocks_.compare_exchange_strong(other, mine, std::memory_order_acq_rel, std::memory_order_acquire)) return mine;
    delete[] mine;
    return other;
  }

  std::atomic<Lazy<Block>*> blocks_{nullptr};  // null: no worker has written yet
  const std::uint32_t workers_;
};

}  // namespace millrace::report
