// A connection of a pool to an endpoint: the transport, its client codec, and the requests on it.
//
//   kConnecting --> kOpen (idle <-> busy) --> kClosed
//
// Bytes: transport -> input_ (at most kInputBytes) -> codec -> events -> stream; and codec output -> transport. Transport events
// read into input_ at once, so that what came before a reset is not lost with it; everything else waits for service().
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/tunnel_codec.h"
#include "dataplane/proxy/proxy_header_sender.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/proxy/upstream_request.h"
#include "dataplane/proxy/upstream_request_owner.h"
#include "dataplane/report/cells.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::config {
struct Cluster;
}

namespace millrace::proxy {

struct Runtime;
class ConnectionPool;
struct AllTag;
struct GraveTag;
struct IdleTag;

class UpstreamConnection final : public Serviced,
                                 public stream::ByteStreamEvents,
                                 public http::ClientEvents,
                                 public ListNode<AllTag>,
                                 public ListNode<GraveTag>,
                                 public ListNode<IdleTag> {
 public:
  /// What waits between transport and codec at most.
  static constexpr std::size_t kInputBytes = 64 * 1024;
  /// How long a connection that is done may take to send what is left.
  static constexpr Duration kFlushTimeout = Duration::seconds(5);

  UpstreamConnection(Runtime& runtime, ConnectionPool& pool);

  // From the pool.
  void connect(Instant now);
  /// Open, with room for a stream, and with nothing to tell that would say otherwise.
  [[nodiscard]] bool can_take_request() const;
  void attach(UpstreamRequest& request, Instant now);
  void become_idle(Instant now);
  /// Ends a connection without requests.
  void close(Instant now);
  /// Ends it at once, whatever is on it.
  void abort(Instant now);

  // From its requests.
  template <typename Call>
  [[nodiscard]] bool send(Call&& call) {
    wake();
    return call(codec_);
  }
  void consumed(http::StreamId id, std::size_t bytes);
  /// `request` is complete and does not wait until the codec says so.
  void release(UpstreamRequest& request);
  /// `request` was cancelled.
  void abandon(UpstreamRequest& request, Instant now);
  [[nodiscard]] const UpstreamAddresses& addresses() const { return addresses_; }

  void service(Instant now) override;

  // stream::ByteStreamEvents
  void on_replaced(stream::ByteStream& stream) override { stream_ = &stream; }
  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

  // http::ClientEvents
  void on_informational(http::StreamId stream, http::ResponseHead& head, Instant now) override;
  void on_response(http::StreamId stream, http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_response_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant now) override;
  void on_response_trailers(http::StreamId stream, http::HeaderMap& trailers, Instant now) override;
  void on_stream_reset(http::StreamId stream, http::StreamReset reason, http::ProtocolError error, Instant now) override;
  void on_send_credit(http::StreamId stream, Instant now) override;
  void on_stream_complete(http::StreamId stream, Instant now) override;

 private:
  enum class State : std::uint8_t { kConnecting, kOpen, kClosed };

  [[nodiscard]] http::ClientCodec& make_codec();
  void wake();
  [[nodiscard]] stream::ByteStream* open(Instant now);
  bool read_in(Instant now);
  bool decode(Instant now);
  bool write_out(Instant now);
  void fail_connect(UpstreamFailure failure, std::string_view transport_failure, Instant now);
  void transport_lost(Instant now);
  void after_requests(Instant now);
  void on_timer(Instant now);
  void on_lifetime(Instant now);
  // Leaves the pool and waits for burial. The transport is gone or ended already.
  void finish(bool by_peer, Instant now);
  [[nodiscard]] UpstreamRequest* find(http::StreamId id);

  Runtime& runtime_;
  ConnectionPool& pool_;
  std::variant<std::monostate, http::http1::ClientCodec, http::TunnelCodec> codecs_;
  http::ClientCodec& codec_;  // in codecs_: what the pool's requests speak
  stream::Chain input_;
  stream::ByteStream* stream_ = nullptr;
  ProxyHeaderSender proxy_header_;
  UpstreamAddresses addresses_;
  IntrusiveList<UpstreamRequest, OnConnectionTag> requests_;
  Timer timer_;     // while connecting: connect_timeout; while idle: idle_timeout
  Timer lifetime_;  // max_connection_duration
  Instant created_;
  State state_ = State::kConnecting;
  stream::CloseReason close_reason_ = stream::CloseReason::kGraceful;
  std::string failure_text_;   // why the transport could not be made, where there is more to say than the reason
  std::uint32_t served_ = 0;   // requests
  bool connected_ = false;     // the handshake is complete
  bool peer_ended_ = false;    // everything that the peer sent was read
  bool input_ended_ = false;   // the codec knows
  bool output_ended_ = false;  // we have ended our side
  bool busy_ = false;          // not yet back in the pool
  bool abandoned_ = false;     // a request was cut off: the transport is reset, not closed
  bool expired_ = false;       // takes no further request
};

}  // namespace millrace::proxy
