// A PacketPool that allocates everything at its start: for tests that forbid the heap afterwards.
#pragma once

#include <cstdint>
#include <vector>

#include "nic/packet.h"

namespace millrace::test {

class SlabPool final : public nic::PacketPool {
 public:
  explicit SlabPool(std::size_t count) : storage_(count * limits::kPacketBufferBytes), buffers_(count) {
    free_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      buffers_[i] = {.storage = storage_.data() + i * limits::kPacketBufferBytes,
                     .capacity = limits::kPacketBufferBytes,
                     .references = 0,
                     .pool = this};
      free_.push_back(&buffers_[i]);
    }
  }
  ~SlabPool() override { MR_ASSERT(in_use() == 0); }

  [[nodiscard]] std::size_t buffer_bytes() const override { return limits::kPacketBufferBytes; }
  [[nodiscard]] std::size_t capacity() const override { return buffers_.size(); }
  [[nodiscard]] std::size_t in_use() const override { return buffers_.size() - free_.size(); }

 private:
  nic::Buffer* take() override {
    if (free_.empty()) return nullptr;
    nic::Buffer* buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void give_back(nic::Buffer& buffer) override { free_.push_back(&buffer); }

  std::vector<std::uint8_t> storage_;
  std::vector<nic::Buffer> buffers_;
  std::vector<nic::Buffer*> free_;
};

}  // namespace millrace::test
