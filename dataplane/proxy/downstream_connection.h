// A client's connection: the transport, its server codec, and the requests on it.
//
//   kOpen --> kFlushing (no more input; output still goes out) --> kLingering (our side ended; input is discarded) --> kClosed
//
// Bytes: transport -> input_ (at most kInputBytes) -> codec -> streams; and codec output -> transport. A client that ends its
// side while a request is in progress has gone away, as Envoy sees it (no half-close in HTTP/1), unless the protocol was
// switched.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/http1/server_codec.h"
#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/client_addresses.h"
#include "dataplane/proxy/connection_buckets.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct Runtime;
class ListenerRuntime;
class ChainVersion;
struct ReadyTransport;
struct AllTag;
struct GraveTag;

class DownstreamConnection final : public Serviced,
                                   public stream::ByteStreamEvents,
                                   public http::ServerEvents,
                                   public ListNode<AllTag>,
                                   public ListNode<GraveTag> {
 public:
  /// What waits between transport and codec at most.
  static constexpr std::size_t kInputBytes = 64 * 1024;

  /// `chain` ends in an HTTP connection manager.
  DownstreamConnection(Runtime& runtime, ListenerRuntime& listener, ChainVersion& chain, ReadyTransport transport, Instant now);

  [[nodiscard]] ListenerRuntime& listener() { return listener_; }
  /// That has accepted it.
  [[nodiscard]] const ChainVersion& chain() const { return chain_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const ClientAddresses& addresses() const { return addresses_; }
  /// Of its PROXY header, those that are kept.
  [[nodiscard]] const std::string& proxy_extensions() const { return proxy_extensions_; }
  /// Null: plain text.
  [[nodiscard]] const tls::SessionFacts* tls_session() const { return tls_session_.get(); }
  /// client_cert_element() of its certificate.
  [[nodiscard]] std::string_view client_cert_element() const { return client_cert_element_; }
  /// That the client asked for in TLS; empty: none.
  [[nodiscard]] const std::string& server_name() const { return server_name_; }
  [[nodiscard]] ConnectionBuckets& buckets() { return buckets_; }

  /// No request after those that have begun: the next response says so (Connection: close).
  void end_keep_alive() { note_drain(); }
  [[nodiscard]] bool is_draining() const { return draining_; }
  /// A response begins, of a connection whose chain may drain gradually: its turn to leave may have come.
  void maybe_leave(Instant now);
  /// No request after those that have begun. A connection without one closes now.
  void start_drain(Instant now);
  /// Memory that its requests pin: bodies on their way, and what is not decoded or sent yet. 0 without a request.
  [[nodiscard]] std::size_t held_bytes();
  /// Resets its requests, and so itself: they hold too much.
  void reset_in_overload(Instant now);
  /// Likewise, but a connection without a request stays for one more, which may be on its way.
  void announce_drain();
  /// What announce_drain() has left closes; in the middle of a request it is reset.
  void end_drain(Instant now);
  /// Resets it, whatever is on it.
  void abort(Instant now);

  // From its streams.
  template <typename Call>
  [[nodiscard]] bool send(Call&& call) {
    wake();
    return call(static_cast<http::ServerCodec&>(codec_));
  }
  [[nodiscard]] std::size_t send_credit(http::StreamId id) const { return codec_.send_credit(id); }
  void consumed(http::StreamId id, std::size_t bytes);
  /// `stream` gives up: HTTP/1 cannot go on without it. The connection ends: behind what was sent of a response that is told from
  /// a whole one, else by a reset.
  void reset_stream(ActiveStream& stream);
  /// `stream` is over.
  void release(ActiveStream& stream);

  void service(Instant now) override;

  // stream::ByteStreamEvents
  void on_connected(stream::ByteStream&, Instant) override {}
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

  // http::ServerEvents
  Arena* on_stream_begin(http::StreamId stream, Instant now) override;
  void on_request(http::StreamId stream, http::RequestHead& head, bool end_stream, Instant now) override;
  void on_request_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant now) override;
  void on_request_trailers(http::StreamId stream, http::HeaderMap& trailers, Instant now) override;
  void on_request_error(http::StreamId stream, http::ProtocolError error, Instant now) override;
  void on_stream_reset(http::StreamId stream, http::StreamReset reason, Instant now) override;
  void on_send_credit(http::StreamId stream, Instant now) override;
  void on_stream_complete(http::StreamId stream, Instant now) override;

 private:
  enum class State : std::uint8_t { kOpen, kFlushing, kLingering, kClosed };

  void leave();
  void wake();
  bool read_in(Instant now);
  bool decode(Instant now);
  bool write_out(Instant now);
  void after_pump(Instant now);
  void end_streams(bool by_peer, Instant now);
  void linger(Instant now);
  void discard_input(Instant now);
  void close(bool by_peer, Instant now);
  void finish(bool by_peer, bool with_requests, Instant now);
  void note_drain();
  void on_timer(Instant now);
  void on_lifetime(Instant now);
  [[nodiscard]] bool is_quiet() const;
  [[nodiscard]] bool awaits_service();  ///< a request has come in this turn and was not acted upon yet
  [[nodiscard]] bool has_switched();
  [[nodiscard]] ActiveStream* find(http::StreamId id);

  Runtime& runtime_;
  ListenerRuntime& listener_;
  ChainVersion& chain_;  // pinned
  ConnectionCount count_;
  http::http1::ServerCodec codec_;
  stream::Chain input_;
  stream::ByteStream* stream_;
  const std::uint64_t id_;
  const ClientAddresses addresses_;
  const std::string server_name_;
  const std::string proxy_extensions_;
  const std::shared_ptr<const tls::SessionFacts> tls_session_;
  const std::string client_cert_element_;
  ConnectionBuckets buckets_;
  IntrusiveList<ActiveStream, OnConnectionTag> streams_;
  Timer timer_;     // kOpen without streams: idle_timeout; kFlushing, kLingering: delayed_close_timeout
  Timer lifetime_;  // max_connection_duration
  State state_ = State::kOpen;
  std::uint32_t served_ = 0;   // requests
  bool peer_ended_ = false;    // everything that the peer sent was read
  bool input_ended_ = false;   // the codec knows
  bool output_ended_ = false;  // we have ended our side
  bool aborted_ = false;       // a stream was reset: what is not sent yet is of no use
  bool draining_ = false;
};

}  // namespace millrace::proxy
