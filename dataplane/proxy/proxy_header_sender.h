// A connector that sends a PROXY header before anybody hears that its stream is connected: before the first byte of what stands
// above, TLS included. Part of who connects, and lives as long.
#pragma once

#include "dataplane/proxy/proxy_protocol_writer.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

class ProxyHeaderSender final : public stream::Connector, public stream::ByteStreamEvents {
 public:
  explicit ProxyHeaderSender(stream::ChainPool& chains) : header_(chains) {}

  /// What connect() sends: one header for each call; over `below`, which outlives that call. `client`: as write_proxy_header().
  /// False: no memory.
  [[nodiscard]] bool prepare(const config::ProxyProtocolOut& config, const ProxiedClient* client, stream::Connector& below) {
    below_ = &below;
    header_.clear();
    return write_proxy_header(config, client, header_);
  }

  // stream::Connector
  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant now) override;

 private:
  // stream::ByteStreamEvents, until the header is gone; then they are the user's.
  void on_replaced(stream::ByteStream& stream) override { user_->on_replaced(stream); }
  void on_connected(stream::ByteStream& stream, Instant now) override { send(stream, now); }
  void on_readable(stream::ByteStream&, Instant) override {}  // it is still there when the user hears of the stream
  void on_writable(stream::ByteStream& stream, Instant now) override { send(stream, now); }
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;
  void send(stream::ByteStream& stream, Instant now);

  stream::Connector* below_ = nullptr;
  stream::Chain header_;
  stream::ByteStreamEvents* user_ = nullptr;
};

}  // namespace millrace::proxy
