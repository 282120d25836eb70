#include "dataplane/proxy/health/grpc_answer.h"

#include <algorithm>
#include <optional>

namespace millrace::proxy {
namespace {

constexpr std::uint8_t kCompressed = 1;
constexpr std::uint64_t kStatusField = 1;
constexpr std::uint32_t kServing = 1;

// Protobuf's encoding, as far as a message without messages in it needs it.
class FieldReader {
 public:
  explicit FieldReader(std::span<const std::uint8_t> rest) : rest_(rest) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }

  [[nodiscard]] std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && !rest_.empty(); shift += 7) {
      const std::uint8_t byte = rest_[0];
      rest_ = rest_.subspan(1);
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool skip(std::uint64_t size) {
    if (size > rest_.size()) return false;
    rest_ = rest_.subspan(size);
    return true;
  }
  [[nodiscard]] bool skip_value(std::uint64_t wire_type) {
    switch (wire_type) {
      case 0: return varint().has_value();
      case 1: return skip(8);
      case 2: {
        const auto size = varint();
        return size && skip(*size);
      }
      case 5: return skip(4);
      default: return false;
    }
  }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace

bool GrpcAnswerReader::read(std::span<const std::uint8_t> part) {
  while (!part.empty()) {
    const bool in_prefix = prefix_bytes_ < kPrefixBytes;
    std::size_t& have = in_prefix ? prefix_bytes_ : message_bytes_;
    const std::size_t taken = std::min(part.size(), (in_prefix ? kPrefixBytes : message_size_) - have);
    std::ranges::copy(part.first(taken), (in_prefix ? prefix_.data() : message_.data()) + have);
    have += taken;
    part = part.subspan(taken);
    if (in_prefix ? prefix_bytes_ == kPrefixBytes && !accept_prefix() : message_bytes_ == message_size_ && !accept_message())
      return false;
  }
  return true;
}

bool GrpcAnswerReader::accept_prefix() {
  std::size_t size = 0;
  for (const std::uint8_t byte : std::span(prefix_).subspan(1)) size = size << 8 | byte;
  message_size_ = size;
  message_bytes_ = 0;
  if (size == 0) prefix_bytes_ = 0;
  if (prefix_[0] > kCompressed) return false;
  return size == 0 || (!answered_ && prefix_[0] != kCompressed && size <= kMaxMessageBytes);
}

bool GrpcAnswerReader::accept_message() {
  answered_ = true;
  prefix_bytes_ = 0;
  std::uint32_t status = 0;
  FieldReader fields({message_.data(), message_size_});
  while (!fields.empty()) {
    const auto tag = fields.varint();
    if (!tag || *tag >> 3 == 0 || *tag > UINT32_MAX) return false;
    if (*tag == kStatusField << 3) {
      const auto value = fields.varint();
      if (!value) return false;
      status = static_cast<std::uint32_t>(*value);  // as protobuf does with enumerations
    } else if (!fields.skip_value(*tag & 7)) {
      return false;
    }
  }
  serving_ = status == kServing;
  return true;
}

}  // namespace millrace::proxy
