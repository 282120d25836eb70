// A client's connection that is passed through as bytes: Envoy's envoy.filters.network.tcp_proxy. Each has a connection of its
// own to an endpoint, which nobody else ever gets.
//
//   kChoosing <--connect fails, attempts left--> kConnecting --> kOpen --> kClosed
//
// Nothing is read from the client until the endpoint answers, as in Envoy. Each direction ends by itself (half-close); a reset of
// one side resets the other. A side whose TLS ends without close_notify has ended, and takes nothing more: what it has sent is
// passed on, then the other side ends in order. Transport events read at once what there is room for, so that what came before a
// reset is counted; everything else waits for service().
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/model/subsets.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/byte_relay.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/proxy_header_sender.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/proxy/stream_info.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct Runtime;
struct ReadyTransport;
class ChainVersion;
class CircuitBreakers;
class ClusterRuntime;
class ConnectionPool;
struct AllTag;
struct GraveTag;

class TcpProxyConnection final : public Serviced,
                                 public stream::ByteStreamEvents,
                                 public ListNode<AllTag>,
                                 public ListNode<GraveTag> {
 public:
  /// `chain` ends in a TCP proxy.
  TcpProxyConnection(Runtime& runtime, ChainVersion& chain, ReadyTransport transport, Instant now);
  ~TcpProxyConnection();

  /// Resets both sides.
  void abort(Instant now);
  /// That has accepted it.
  [[nodiscard]] const ChainVersion& chain() const { return chain_; }

  void service(Instant now) override;

  // stream::ByteStreamEvents, of both sides
  void on_replaced(stream::ByteStream& stream) override { upstream_ = &stream; }
  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 private:
  enum class State : std::uint8_t { kChoosing, kConnecting, kOpen, kClosed };

  void wake();

  // To an endpoint.
  [[nodiscard]] bool choose_cluster(Instant now);
  [[nodiscard]] bool choose_endpoint(Instant now);
  [[nodiscard]] bool admit(ConnectionPool& endpoint);
  [[nodiscard]] CircuitBreakers& breakers();
  void connect(Instant now);
  [[nodiscard]] stream::ByteStream* open(Instant now);
  void connect_failed(bool by_peer, std::string_view why, Instant now);
  void established(Instant now);
  void count_upstream_end(bool by_peer);
  [[nodiscard]] std::string_view why_upstream_ended() const;

  // Bytes.
  void pump(Instant now);
  std::size_t pump_to_upstream(Instant now);
  std::size_t pump_to_downstream(Instant now);
  void note_pauses();

  // The end.
  [[nodiscard]] bool is_lost() const;
  void lost(Instant now);
  void complete(Instant now);
  void give_up(Instant now);
  void end_sides(Instant now);
  void finish(bool by_upstream, Instant now);
  void on_timer(Instant now);
  void on_lifetime(Instant now);
  void on_log_timer(Instant now);

  Runtime& runtime_;
  ChainVersion& chain_;  // pinned
  ConnectionCount count_;
  stream::ByteStream* downstream_;
  stream::ByteStream* upstream_ = nullptr;
  const std::string server_name_;
  const std::string proxy_extensions_;  // of the client's PROXY header, those that are kept
  StreamInfo info_;
  ClusterRuntime* cluster_ = nullptr;  // pinned
  ConnectionPool* endpoint_ =
      nullptr;  // pinned; of cluster_, or a member of it. Its address and counters: no connection of it is used
  ByteRelay to_upstream_;
  ByteRelay to_downstream_;
  ProxyHeaderSender proxy_header_;
  Timer timer_;     // kChoosing: the next attempt; kConnecting: connect_timeout; kOpen: idle_timeout
  Timer lifetime_;  // max_downstream_connection_duration
  Timer log_timer_;
  const config::MetadataMatch* metadata_match_ = nullptr;  // of the chosen cluster's endpoints; the chain's
  Instant connect_started_;
  Instant last_progress_;
  std::string upstream_failure_;  // of the last attempt: why TLS was refused; empty: it was not
  State state_ = State::kChoosing;
  stream::CloseReason downstream_end_ = stream::CloseReason::kGraceful;
  stream::CloseReason upstream_end_ = stream::CloseReason::kGraceful;
  bool connected_ = false;     // the handshake with the endpoint is complete
  bool has_upstream_ = false;  // counted as a connection of the cluster
  bool downstream_paused_ = false;
  bool upstream_paused_ = false;
};

}  // namespace millrace::proxy
