#include "dataplane/proxy/kept_body.h"

#include <algorithm>
#include <utility>

namespace millrace::proxy {
namespace {

// A request keeps so much of its body without asking what is left of the packet pool.
constexpr std::size_t kAlwaysKeptBytes = 16 * 1024;
// Beyond it at most this part of what is left above half of the pool: many keep less and less each, and others have the half.
constexpr std::size_t kPoolShare = 16;

}  // namespace

bool affordable(std::size_t charge_bytes, const nic::PacketPool& packets) {
  if (charge_bytes <= kAlwaysKeptBytes) return true;
  const std::size_t half = packets.capacity() / 2;
  return charge_bytes <= (half - std::min(packets.in_use(), half)) * packets.buffer_bytes() / kPoolShare;
}

bool append_to_keep(stream::Chain& to, const stream::Chain& data) {
  stream::Chain::Cursor cursor = data.cursor(0);
  while (const std::size_t part = cursor.contiguous()) {
    nic::Slice slice = cursor.take(part);
    const bool small = slice.charge() > 2 * part;
    if (!(small ? to.append_copy(slice.bytes()) : to.append(std::move(slice)))) return false;
  }
  return true;
}

}  // namespace millrace::proxy
