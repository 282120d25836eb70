// One request and its response: the connection manager's and the router's part of a stream. It decides what becomes of the
// request (active_stream_request.cc), passes both bodies on as fast as the slower side takes them, and answers itself where
// nobody else can (active_stream_response.cc).
//
//   kHead --on_request--> kWaiting --response head--> kResponding --its end--> kComplete --codec done--> kOver
//      \------------------------- a local reply ------------------------------/
//
// Its arena holds all that the codecs of both sides and the policies allocate for it.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/http/codec.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/policy/local_reply.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/proxy/stream_info.h"
#include "dataplane/proxy/timeouts.h"
#include "dataplane/proxy/upstream_failure.h"
#include "dataplane/proxy/upstream_request.h"

namespace millrace::config {
struct HttpConnectionManager;
}  // namespace millrace::config

namespace millrace::report {
struct HttpStats;
}

namespace millrace::proxy {

class ClusterRuntime;
class ConnectionPool;
class DownstreamConnection;
class ChainVersion;
struct Runtime;
struct GraveTag;

class ActiveStream final : public Serviced, public ListNode<OnConnectionTag>, public ListNode<GraveTag> {
 public:
  ActiveStream(Runtime& runtime, DownstreamConnection& connection, ChainVersion& chain, http::StreamId id, Instant now);
  ~ActiveStream();

  [[nodiscard]] http::StreamId id() const { return id_; }
  [[nodiscard]] Arena& arena() { return arena_; }
  /// The protocol was switched: opaque bytes both ways, each direction ends by itself.
  [[nodiscard]] bool is_switched() const { return switched_; }
  /// All of the request is handed to the upstream connection.
  [[nodiscard]] bool request_was_sent() const { return request_sent_; }
  /// And all of the response has come.
  [[nodiscard]] bool exchange_is_complete() const { return request_sent_ && response_ended_; }

  // From the downstream connection.
  void on_request(http::RequestHead& head, bool end_stream, Instant now);
  void on_request_data(stream::Chain& data, bool end_stream, Instant now);
  void on_request_trailers(http::HeaderMap& trailers, Instant now);
  void on_request_error(http::ProtocolError error, Instant now);
  void on_codec_reset(http::StreamReset reason, Instant now);
  void on_send_credit(Instant now);
  void on_complete(Instant now);
  /// The connection is gone or will be; the codec has forgotten us.
  void on_connection_ended(bool by_peer, Instant now);

  // From the upstream request.
  void on_upstream_ready(const SocketAddress& local, Instant now);
  void on_upstream_informational(http::ResponseHead& head, Instant now);
  void on_upstream_response(http::ResponseHead& head, bool end_stream, Instant now);
  void on_upstream_data(stream::Chain& data, bool end_stream, Instant now);
  void on_upstream_trailers(http::HeaderMap& trailers, Instant now);
  void on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now);
  void on_upstream_credit(Instant now);

  void on_timeout(StreamTimeouts::Kind kind, Instant now);

  /// Acts upon the request's head.
  void service(Instant now) override;

 private:
  enum class Phase : std::uint8_t { kHead, kWaiting, kResponding, kComplete, kOver };

  // The request: what becomes of it. Each step returns false when it has answered.
  [[nodiscard]] bool prepare(Instant now);
  [[nodiscard]] bool find_route(Instant now);
  void act_on_route(Instant now);
  void forward(const config::ForwardAction& action, Instant now);
  [[nodiscard]] bool admit_upgrade(const config::ForwardAction& action, Instant now);
  [[nodiscard]] bool choose_server_name(Instant now);
  [[nodiscard]] bool choose_endpoint(const config::ForwardAction& action, Instant now);
  [[nodiscard]] bool answer_expectation(Instant now);
  void end_of_request(Instant now);
  void push_request(Instant now);

  // The response.
  void reply(LocalReply reply, Instant now);
  void reply(LocalReplyReason reason, Instant now) { reply(reply_of(reason), now); }
  void send_head(http::ResponseHead& head, bool end_stream, Instant now);
  void push_head(Instant now);
  void push_response(Instant now);
  void complete_response(Instant now);
  void reset_downstream(Instant now);
  /// The response is complete: nothing that happens now can change the outcome. A switched protocol is settled by both ends only.
  [[nodiscard]] bool is_settled() const { return phase_ == Phase::kOver || (phase_ == Phase::kComplete && !switched_); }
  [[nodiscard]] FormatEnvironment environment() const;

  // The end: everything is counted and logged exactly once.
  void finish(Instant now);
  void count_status(std::uint16_t status);
  [[nodiscard]] const config::HttpConnectionManager& http() const;
  [[nodiscard]] report::HttpStats& stats();

  Runtime& runtime_;
  DownstreamConnection& connection_;
  ChainVersion& chain_;  // pinned
  const http::StreamId id_;
  Arena arena_;
  StreamInfo info_;
  StreamTimeouts timeouts_;
  UpstreamRequest upstream_;
  ClusterRuntime* cluster_ = nullptr;  // pinned
  ConnectionPool* pool_ = nullptr;     // of cluster_; the chosen endpoint's

  Phase phase_ = Phase::kHead;
  http::RequestHead* request_ = nullptr;
  stream::Chain request_body_;  // received, not yet taken by the upstream; at most the listener's buffer limit
  http::HeaderMap* request_trailers_ = nullptr;
  const http::ResponseHead* waiting_head_ = nullptr;  // ready, not yet with the codec
  stream::Chain response_body_;                       // received, not yet taken by the client; at most the cluster's buffer limit
  http::HeaderMap* response_trailers_ = nullptr;
  MutationLevels levels_;
  Duration response_timeout_;
  bool request_ended_ = false;  // received completely
  bool request_sent_ = false;
  bool response_ended_ = false;  // received completely
  bool head_ends_response_ = false;
  bool switched_ = false;
  bool upgrading_ = false;  // a switch was asked for and admitted
  bool request_paused_ = false;
  bool response_paused_ = false;
};

}  // namespace millrace::proxy
