// A PacketPool with exactly one heap allocation per packet: for tests, the simulator and fuzzers. It needs no EAL, and
// AddressSanitizer sees every access past the end of a buffer, before its start, or after its packet is gone.
// It does not try to be fast: the gateway runs on nic/mbuf_pool.h.
//
//   one allocation:  | Buffer | 32 bytes, poisoned under ASan | storage, `capacity` bytes |
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "dataplane/base/assert.h"
#include "dataplane/base/limits.h"
#include "nic/packet.h"

namespace millrace::nic {

/// Any thread may take and give back. Must outlive its packets and slices: destruction with a buffer in use is an assertion.
class HeapPool final : public PacketPool {
 public:
  /// At most `buffers` packets at a time, each of `buffer_bytes` (headroom included) unless made by copy_of().
  explicit HeapPool(std::size_t buffers, std::size_t buffer_bytes = limits::kPacketBufferBytes)
      : buffers_(buffers), buffer_bytes_(buffer_bytes) {}
  ~HeapPool() override { MR_ASSERT(in_use() == 0); }

  /// A packet that holds a copy of `bytes` in a buffer of exactly headroom + bytes.size() bytes: a parser that reads one
  /// byte too many reads outside the allocation. False when the pool is exhausted.
  [[nodiscard]] Packet copy_of(std::span<const std::uint8_t> bytes, std::size_t headroom = 0) {
    const std::size_t usual = buffer_bytes_;
    buffer_bytes_ = headroom + bytes.size();
    Packet packet = allocate(headroom);
    buffer_bytes_ = usual;
    if (packet) packet.append(bytes);
    return packet;
  }

  [[nodiscard]] std::size_t buffer_bytes() const override { return buffer_bytes_; }
  [[nodiscard]] std::size_t capacity() const override { return buffers_; }
  [[nodiscard]] std::size_t in_use() const override { return in_use_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kGapBytes = 32;
  static constexpr std::size_t kStorageOffset = (sizeof(Buffer) + kGapBytes + 15) / 16 * 16;
  static constexpr std::size_t kPoisonOffset = (sizeof(Buffer) + 7) / 8 * 8;

  Buffer* take() override {
    if (in_use() >= buffers_) return nullptr;
    void* memory = std::malloc(kStorageOffset + buffer_bytes_);
    if (memory == nullptr) return nullptr;
    auto* bytes = static_cast<std::uint8_t*>(memory);
    auto* buffer = ::new (memory) Buffer{bytes + kStorageOffset, static_cast<std::uint32_t>(buffer_bytes_), 0, this};
    poison_gap(*buffer);
    in_use_.fetch_add(1, std::memory_order_relaxed);
    return buffer;
  }

  // Not inlined: g++ does not follow the reference count and would warn of a use after free.
  [[gnu::noinline]] void give_back(Buffer& buffer) override {
    MR_ASSERT(in_use() > 0);
    in_use_.fetch_sub(1, std::memory_order_relaxed);
    std::free(&buffer);
  }

  /// A read before the storage would else find the Buffer. free() lifts the poison.
  [[gnu::noinline]] static void poison_gap([[maybe_unused]] Buffer& buffer) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(reinterpret_cast<std::uint8_t*>(&buffer) + kPoisonOffset, kStorageOffset - kPoisonOffset);
#endif
  }

  std::size_t buffers_;
  std::size_t buffer_bytes_;
  std::atomic<std::size_t> in_use_{0};
};

}  // namespace millrace::nic
