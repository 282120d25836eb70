#include "dataplane/proxy/tls_acceptance.h"

#include <utility>

#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/tls_stats.h"
#include "dataplane/secure/tls_layer.h"
#include "tls/context_slot.h"

namespace millrace::proxy {

TlsAcceptance::TlsAcceptance(Runtime& runtime, ListenerRuntime& listener, ChainVersion& chain)
    : Serviced(Stage::kDownstream),
      runtime_(runtime),
      listener_(listener),
      chain_(chain),
      timer_(Timer::calling<&TlsAcceptance::on_timeout>(*this)) {}

bool TlsAcceptance::start(ReadyTransport& transport, Instant now) {
  stream_ = runtime_.context.tls.accept(transport.stream, transport.received, chain_.config().tls->current(), *this);
  if (stream_ == nullptr) return false;
  chain_.pin();
  addresses_ = transport.addresses;
  proxy_extensions_ = std::move(transport.proxy_extensions);
  count_ = std::move(transport.count);
  count_.begin(chain_.listener_stats());
  runtime_.acceptances.push_back(*this);
  runtime_.arm_after(timer_, now, chain_.config().transport_socket_connect_timeout);
  return true;
}

void TlsAcceptance::on_connected(stream::ByteStream& stream, Instant) {
  count_tls_session(*stream.session_facts(), chain_.listener_stats().tls);
  state_ = State::kDone;
  runtime_.ready.wake(*this);
}

void TlsAcceptance::on_closed(stream::ByteStream& stream, stream::CloseReason, Instant) {
  stream_ = nullptr;
  if (state_ != State::kShakingHands) return;  // finished just before: its network filter never sees it
  if (const tls::HandshakeFailure* failure = stream.handshake_failure()) {
    count_tls_failure(*failure, chain_.listener_stats().tls);
  } else {
    chain_.listener_stats().tls.connection_error.add();
  }
  state_ = State::kFailed;
  runtime_.ready.wake(*this);
}

void TlsAcceptance::service(Instant now) {
  if (state_ == State::kOver) return;
  stream::ByteStream* const stream = stream_;
  const bool done = state_ == State::kDone && stream != nullptr;
  ListenerRuntime& listener = listener_;
  ChainVersion& chain = chain_;
  ConnectionCount count = std::move(count_);
  std::string proxy_extensions = std::move(proxy_extensions_);
  finish();
  if (!done) return;
  listener.start_filter(chain,
                        {.stream = *stream,
                         .received = stream::Chain(runtime_.context.chains),
                         .addresses = addresses_,
                         .server_name = stream->session_facts()->server_name,
                         .proxy_extensions = std::move(proxy_extensions),
                         .count = std::move(count)},
                        now);
}

void TlsAcceptance::on_timeout(Instant now) {
  if (state_ != State::kShakingHands) return;  // decided in this very turn
  chain_.listener_stats().tls.connection_error.add();
  abort(now);
}

void TlsAcceptance::abort(Instant now) {
  if (state_ == State::kOver) return;
  if (stream_ != nullptr) stream_->reset(now);
  finish();
}

void TlsAcceptance::finish() {
  state_ = State::kOver;
  stream_ = nullptr;
  timer_.disarm();
  count_.end();
  chain_.unpin();
  runtime_.lay_to_rest(*this, runtime_.dead_acceptances);
}

}  // namespace millrace::proxy
