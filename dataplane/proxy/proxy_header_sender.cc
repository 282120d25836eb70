#include "dataplane/proxy/proxy_header_sender.h"

namespace millrace::proxy {

stream::ByteStream* ProxyHeaderSender::connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                               stream::CloseReason& reason, Instant now) {
  user_ = &events;
  return below_->connect(peer, *this, reason, now);
}

// A header that is longer than what may be on its way waits for room. Who has spoken in the meantime is heard afterwards.
void ProxyHeaderSender::send(stream::ByteStream& stream, Instant now) {
  stream.write(header_, now);
  if (!header_.empty()) return;
  stream.set_events(*user_);
  user_->on_connected(stream, now);
}

void ProxyHeaderSender::on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) {
  header_.clear();
  user_->on_closed(stream, reason, now);
}

}  // namespace millrace::proxy
