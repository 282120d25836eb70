// A client's TLS handshake: between the choice of a filter chain that has a transport socket and its network filter, which gets
// the stream of the plain text.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct Runtime;
struct AllTag;
struct GraveTag;

class TlsAcceptance final : public Serviced, public stream::ByteStreamEvents, public ListNode<AllTag>, public ListNode<GraveTag> {
 public:
  TlsAcceptance(Runtime& runtime, ListenerRuntime& listener, ChainVersion& chain);

  /// Begins over what an inspection has left, whose bytes it takes. False: no memory; the transport is untouched, and this has to
  /// be destroyed.
  [[nodiscard]] bool start(ReadyTransport& transport, Instant now);
  void abort(Instant now);
  /// That has accepted it.
  [[nodiscard]] const ChainVersion& chain() const { return chain_; }

  void service(Instant now) override;

  // stream::ByteStreamEvents
  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream&, Instant) override {}
  void on_writable(stream::ByteStream&, Instant) override {}
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 private:
  enum class State : std::uint8_t { kShakingHands, kDone, kFailed, kOver };

  void on_timeout(Instant now);
  void finish();

  Runtime& runtime_;
  ListenerRuntime& listener_;
  ChainVersion& chain_;  // pinned
  ClientAddresses addresses_;
  std::string proxy_extensions_;
  ConnectionCount count_;
  stream::ByteStream* stream_ = nullptr;  // of the plain text; null: gone
  State state_ = State::kShakingHands;
  Timer timer_;  // transport_socket_connect_timeout
};

}  // namespace millrace::proxy
