// Memory for libraries that ask for blocks of any size and give them back: a heap with a limit, whose blocks serve again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace {

/// Owned by one core. Blocks have one of a few sizes, at most a quarter larger than what was asked for; those that were given
/// back are kept for the next who asks for their size, so that a steady state takes nothing from the heap. Where the limit is
/// reached, blocks that lie idle make room for those of another size.
class BlockHeap {
 public:
  /// `limit_bytes`: of all blocks, those in use and those that lie idle.
  explicit BlockHeap(std::size_t limit_bytes) : limit_(limit_bytes) {}
  ~BlockHeap();
  BlockHeap(const BlockHeap&) = delete;
  BlockHeap& operator=(const BlockHeap&) = delete;

  /// Aligned to 16 bytes. Null: the limit is reached, or there is no memory at all.
  [[nodiscard]] void* allocate(std::size_t bytes);
  /// Takes back what was allocated; null is nothing.
  void release(void* start);

  [[nodiscard]] std::size_t in_use() const { return in_use_; }  ///< bytes
  /// Little is left: what has begun may still grow, but nothing new should begin.
  [[nodiscard]] bool is_scarce() const { return is_too_much(0); }

  /// For libraries that cannot do without what they ask for. Says that somebody will need about so many bytes, before he asks
  /// for the first. False: too little is left for that.
  [[nodiscard]] bool reserve(std::size_t bytes);
  /// Takes back a reservation.
  void cancel(std::size_t bytes) { reserved_ -= bytes; }
  /// For whoever has reserved: as allocate(), but beyond the limit where more is needed than was expected.
  [[nodiscard]] void* allocate_reserved(std::size_t bytes);

 private:
  // In front of each block's bytes.
  struct alignas(16) Block {
    Block* next = nullptr;  // while it lies idle
    std::size_t size_class = 0;
  };
  static constexpr std::size_t kSmallestBytes = 256;              // with the Block in front
  static constexpr std::size_t kSteps = 4;                        // sizes for each doubling
  static constexpr std::size_t kClasses = 24 * kSteps;            // the last one: above any limit that makes sense
  static constexpr std::size_t bytes_of(std::size_t size_class);  // with the Block in front
  static constexpr std::size_t class_of(std::size_t bytes);       // kClasses: there is none
  [[nodiscard]] void* allocate_class(std::size_t size_class);
  void free_idle(std::size_t wanted);
  [[nodiscard]] bool is_too_much(std::size_t more) const;

  const std::size_t limit_;
  std::size_t held_ = 0;  // bytes, in use or idle
  std::size_t in_use_ = 0;
  std::size_t reserved_ = 0;  // some of it is in use already
  std::array<Block*, kClasses> idle_{};
};

}  // namespace millrace
