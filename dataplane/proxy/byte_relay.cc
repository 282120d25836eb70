#include "dataplane/proxy/byte_relay.h"

namespace millrace::proxy {

std::size_t ByteRelay::read(stream::ByteStream& from, Instant now) {
  std::size_t taken = 0;
  if (!is_full() && from.readable() > 0) taken = from.read(waiting_, limit_, now);
  if (from.read_ended()) ended_ = true;
  return taken;
}

std::size_t ByteRelay::write(stream::ByteStream& to, Instant now) {
  std::size_t written = 0;
  if (!waiting_.empty()) written = to.write(waiting_, now);
  if (ended_ && waiting_.empty() && !complete_) {
    complete_ = true;
    to.shutdown_write(now);
  }
  return written;
}

}  // namespace millrace::proxy
