// What carries the bytes of one worker's connections: TCP over packets and, for what no NIC reaches, the host's sockets. Which
// one an address belongs to is the address's to say.
#pragma once

#include "dataplane/base/addresses.h"
#include "dataplane/host/transport.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/tcp/stack.h"

namespace millrace::worker {

/// A loopback address or a Unix socket.
[[nodiscard]] inline bool is_of_host(const SocketAddress& address) { return address.ip.is_loopback() || address.is_pipe(); }

struct Transports final : stream::Connector {
  explicit Transports(tcp::Stack& stack) : tcp(stack) {}

  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant now) override {
    if (!is_of_host(peer)) return tcp.connect(peer, events, reason, now);
    if (host != nullptr) return host->connect(peer, events, reason, now);
    reason = stream::CloseReason::kNoRoute;
    return nullptr;
  }

  tcp::Stack& tcp;
  host::Transport* host = nullptr;  ///< null: there is no kernel to ask
};

}  // namespace millrace::worker
