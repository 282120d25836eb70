#include "perf/millload/pattern.h"

#include <algorithm>
#include <cstring>

#include "dataplane/base/assert.h"
#include "dataplane/base/rng.h"

namespace millrace::perf {

Pattern::Pattern(stream::ChainPool& pool) : bytes_(kPeriod), packets_(pool) {
  Rng rng(1);
  for (std::uint8_t& byte : bytes_) byte = static_cast<std::uint8_t>('!' + rng.below('~' - '!'));
  MR_ASSERT(packets_.append_copy(bytes_));
}

bool Pattern::append(stream::Chain& to, std::size_t start, std::size_t size) const {
  std::size_t position = start % kPeriod;
  while (size > 0) {
    stream::Chain::Cursor cursor = packets_.cursor(position);
    while (size > 0 && cursor.contiguous() > 0) {
      const std::size_t part = std::min(size, cursor.contiguous());
      if (!to.append(cursor.take(part))) return false;
      size -= part;
    }
    position = 0;
  }
  return true;
}

bool Pattern::matches(std::size_t position, std::span<const std::uint8_t> bytes) const {
  std::size_t at = position % kPeriod;
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), kPeriod - at);
    if (std::memcmp(bytes.data(), bytes_.data() + at, part) != 0) return false;
    bytes = bytes.subspan(part);
    at = 0;
  }
  return true;
}

}  // namespace millrace::perf
