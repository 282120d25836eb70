// A client's connection that is served without an endpoint: Envoy's network filters echo and direct_response, and what a
// connection_limit holds for a while before it is closed.
//
//   kServing --> kFlushing (our side ends; what still comes is discarded) --> kOver
//   kHolding --> kOver
//
// An echo reads no more than waits to go out again, so that a client that does not read is held back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/byte_relay.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

struct Runtime;
struct ReadyTransport;
class ChainVersion;
struct AllTag;
struct GraveTag;

class LocalConnection final : public Serviced,
                              public stream::ByteStreamEvents,
                              public ListNode<AllTag>,
                              public ListNode<GraveTag> {
 public:
  /// How long a client may take to read the end of what it gets.
  static constexpr Duration kFlushTimeout = Duration::seconds(1);

  /// `chain` ends in a direct_response or an echo; with a `hold` of more than zero, in anything.
  LocalConnection(Runtime& runtime, ChainVersion& chain, ReadyTransport transport, Duration hold, Instant now);

  void abort(Instant now);
  /// That has accepted it.
  [[nodiscard]] const ChainVersion& chain() const { return chain_; }

  void service(Instant now) override;

  // stream::ByteStreamEvents
  void on_connected(stream::ByteStream&, Instant) override {}
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 private:
  enum class State : std::uint8_t { kHolding, kServing, kFlushing, kOver };

  void wake();
  void pass_back(Instant now);
  void answer(Instant now);
  void discard_input(Instant now);
  void close(Instant now);
  void finish();
  void on_timer(Instant now);

  Runtime& runtime_;
  ChainVersion& chain_;  // pinned
  ConnectionCount count_;
  stream::ByteStream* stream_;
  ByteRelay relay_;        // of an echo
  std::string_view left_;  // of a direct_response: what was not written yet; the configuration's
  stream::Chain output_;
  Timer timer_;  // kHolding: the delay; kFlushing: kFlushTimeout
  State state_ = State::kServing;
};

}  // namespace millrace::proxy
