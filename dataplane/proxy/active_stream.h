// One request and its response: the connection manager's and the router's part of a stream. It decides what becomes of the
// request (active_stream_request.cc), lets it and its response pass the HTTP filters (active_stream_filters.cc), passes both
// bodies on as fast as the slower side takes them, and answers itself where nobody else can (active_stream_response.cc).
//
//   kHead --on_request--> kWaiting --response head--> kResponding --its end--> kComplete --codec done--> kOver
//      \------------------------- a local reply ------------------------------/
//
// While it is kWaiting a try may fail and another one follow (active_stream_retry.cc).
// Its arena holds all that the codecs of both sides and the policies allocate for it.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/http/codec.h"
#include "dataplane/proxy/filters/filter_chain.h"
#include "dataplane/proxy/policy/hash_policy.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/policy/local_reply.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/proxy/shadow_request.h"
#include "dataplane/proxy/stream_info.h"
#include "dataplane/proxy/timeouts.h"
#include "dataplane/proxy/upstream_failure.h"
#include "dataplane/proxy/upstream_request.h"
#include "dataplane/proxy/upstream_request_owner.h"

namespace millrace::config {
enum class RoutingPriority : std::uint8_t;
struct HttpConnectionManager;
struct InternalRedirectPolicy;
}  // namespace millrace::config

namespace millrace::report {
struct HttpStats;
}

namespace millrace::proxy {

class ClusterRuntime;
class ConnectionPool;
class DownstreamConnection;
class ChainVersion;
class HedgedTry;
class StreamRetries;
struct FollowedRedirect;
struct Runtime;
struct GraveTag;

class ActiveStream final : public Serviced,
                           public UpstreamRequestOwner,
                           public ListNode<OnConnectionTag>,
                           public ListNode<GraveTag>,
                           private FilterActions {
 public:
  ActiveStream(Runtime& runtime, DownstreamConnection& connection, ChainVersion& chain, http::StreamId id, Instant now);
  ~ActiveStream();

  [[nodiscard]] http::StreamId id() const { return id_; }
  [[nodiscard]] Arena& arena() override { return arena_; }
  [[nodiscard]] bool is_switched() const override { return switched_; }
  [[nodiscard]] bool request_was_sent() const override { return request_sent_; }
  [[nodiscard]] bool exchange_is_complete() const override { return request_sent_ && response_ended_; }

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
  void on_upstream_ready(const UpstreamAddresses& addresses, Instant now) override;
  /// The request is tried again instead, or follows a redirect.
  [[nodiscard]] bool rejects_response(http::ResponseHead& head, bool end_stream, Instant now) override {
    return retries_ != nullptr && (retry_response(head, end_stream, now) || follow_redirect(head, end_stream, now));
  }
  void on_upstream_informational(http::ResponseHead& head, Instant now) override;
  void on_upstream_response(http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_upstream_data(stream::Chain& data, bool end_stream, Instant now) override;
  void on_upstream_trailers(http::HeaderMap& trailers, Instant now) override;
  void on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) override;
  void on_upstream_credit(Instant now) override;

  // From a try whose time has run out, and that was left to go on.
  /// Its response has come. True: it is not wanted, and the try was given up. False: it is the response.
  [[nodiscard]] bool rejects_hedge(HedgedTry& hedge, const http::ResponseHead& head, bool end_stream, Instant now);
  void on_hedge_failure(HedgedTry& hedge, UpstreamFailure failure, std::string_view transport_failure, Instant now);

  void on_timeout(StreamTimeouts::Kind kind, Instant now);

  // From its retries.
  void try_again(Instant now);
  void on_try_timeout(Instant now);
  void on_try_idle_timeout(Instant now);
  [[nodiscard]] Instant last_progress() const { return timeouts_.last_progress(); }

  /// Memory that its bodies pin on their way.
  [[nodiscard]] std::size_t held_bytes() const { return request_body_.charge() + response_body_.charge(); }
  /// It holds too much.
  void reset_in_overload(Instant now);

  /// Acts upon the request's head.
  void service(Instant now) override;

 private:
  enum class Phase : std::uint8_t { kHead, kWaiting, kResponding, kComplete, kOver };

  // The request: what becomes of it. Each step returns false when it has answered.
  void refuse_in_overload(Instant now);
  [[nodiscard]] bool is_dropped();
  void refuse_for_cluster(Instant now);
  [[nodiscard]] bool prepare(Instant now);
  void find_route();
  void act_on_route(Instant now);
  void redirect_to_tls(Instant now);
  void forward(const config::ForwardAction& action, Instant now);
  [[nodiscard]] bool limit_duration(const config::ForwardAction& action, Instant now);
  void arm_duration(Duration duration, Instant now);
  [[nodiscard]] bool admit_upgrade(const config::ForwardAction& action, Instant now);
  [[nodiscard]] bool choose_pool(Instant now);
  [[nodiscard]] config::RoutingPriority priority() const;
  [[nodiscard]] bool choose_endpoint(const config::ForwardAction& action, Instant now);
  [[nodiscard]] bool answer_expectation(Instant now);
  [[nodiscard]] bool add_made_cookies(http::HeaderMap& headers) const;
  void take(ClusterRuntime& cluster);
  void take(ConnectionPool& pool);
  void end_of_request(Instant now);
  void push_request(Instant now);
  void send_request_body(Instant now);
  [[nodiscard]] bool add_request_body(stream::Chain&& data, Instant now);
  void consume_request(std::size_t taken, std::size_t held);
  void drop_request_body();
  /// All that there will be of it is in request_body_.
  [[nodiscard]] bool request_is_whole() const {
    return request_ended_ && (!request_is_filtered() || filters_->request_body().is_done());
  }

  // The filters, where there are any.
  [[nodiscard]] bool make_filters();
  void filter_request(Instant now);
  void go_on_with(FilterChain::Verdict verdict, Instant now);
  void take_awaited_body(Instant now);
  /// Its body passes filters; not before its head has passed all of them.
  [[nodiscard]] bool request_is_filtered() const { return passed_filters_ && filters_->request_body().is_active(); }
  [[nodiscard]] bool response_is_filtered() const { return filters_ != nullptr && filters_->response_body().is_active(); }
  [[nodiscard]] bool filter_request_body(Instant now);
  [[nodiscard]] bool filter_response_body(Instant now);
  void resume_request(Instant now) override;
  void resume_bodies(Instant now) override;
  void answer(const LocalReply& answer, Instant now) override { reply(answer, now); }
  void choose_route_again() override { find_route(); }
  [[nodiscard]] SharedTokenBucket* connection_bucket(std::uint32_t id) override;
  [[nodiscard]] std::optional<ClusterHealth> cluster_health(std::string_view cluster) const override;
  [[nodiscard]] bool fails_health_checks() const override;

  // Another try, if this one fails.
  [[nodiscard]] bool prepare_retries(const config::ForwardAction& action, Duration try_timeout, Instant now);
  [[nodiscard]] bool keep_for_retries(const stream::Chain& data);
  [[nodiscard]] bool retry_response(const http::ResponseHead& head, bool end_stream, Instant now);
  [[nodiscard]] bool retry_failure(UpstreamFailure failure, Instant now);
  [[nodiscard]] bool wait_for_retry(bool wanted, const http::ResponseHead* head, Instant now);
  [[nodiscard]] bool take_retry();
  [[nodiscard]] std::size_t kept_body_limit(const config::ForwardAction& action) const;
  [[nodiscard]] bool choose_another_endpoint(Instant now);
  [[nodiscard]] bool restore_request_body();
  void end_try(LocalReplyReason reason, Instant now);
  void end_try_by_duration(Instant now);
  void stop_retries(Instant now);

  [[nodiscard]] bool hedge(Instant now);
  void end_hedge(HedgedTry& hedge);
  void end_hedges(Instant now);

  // A redirect that is followed here.
  [[nodiscard]] bool follow_redirect(const http::ResponseHead& head, bool end_stream, Instant now);
  [[nodiscard]] bool turn_to_redirect(const config::InternalRedirectPolicy& policy, const http::ResponseHead& head);
  [[nodiscard]] bool go_to_redirect(Instant now);

  // Copies of the request for other clusters.
  void start_shadows(const config::ForwardAction& action, Instant now);
  void share_with_shadows(const stream::Chain& data, Instant now);
  void end_shadows(Instant now);
  void abandon_shadows(Instant now);

  // The response.
  [[nodiscard]] bool switches_protocol(const http::ResponseHead& head) const;
  void reply(LocalReply reply, Instant now);
  void reply(LocalReplyReason reason, Instant now) { reply(reply_of(reason), now); }
  void send_head(http::ResponseHead& head, bool end_stream, Instant now);
  void push_head(Instant now);
  void push_response(Instant now);
  [[nodiscard]] bool send_response_body();
  void complete_response(Instant now);
  /// All that there will be of it is in response_body_.
  [[nodiscard]] bool response_is_whole() const {
    return response_ended_ && (!response_is_filtered() || filters_->response_body().is_done());
  }
  void reset_downstream(Instant now);
  /// The response is complete: nothing that happens now can change the outcome. A switched protocol is settled by both ends only.
  [[nodiscard]] bool is_settled() const { return phase_ == Phase::kOver || (phase_ == Phase::kComplete && !switched_); }
  [[nodiscard]] FormatEnvironment environment() const;

  void end_by_duration(Instant now);
  void reply_timeout(LocalReplyReason reason, Instant now);

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
  UpstreamRequest first_try_;
  UpstreamRequest* upstream_ = &first_try_;  // the latest try, or the one that has won
  ClusterRuntime* cluster_ = nullptr;        // pinned
  ConnectionPool* pool_ = nullptr;           // of cluster_ or a member of it; the chosen endpoint's
  FilterChain* filters_ = nullptr;           // in arena_; null: the connection manager has none, or their turn has not come
  StreamRetries* retries_ = nullptr;         // in arena_; null: there is one try, without a timeout of its own

  Phase phase_ = Phase::kHead;
  http::RequestHead* request_ = nullptr;
  stream::Chain request_body_;        // through the filters, not yet taken by the upstream; see unconsumed_bytes_
  std::size_t unconsumed_bytes_ = 0;  // received and not yet consumed(): the last of what waits; the client's window bounds them
  http::HeaderMap* request_trailers_ = nullptr;
  IntrusiveList<ShadowRequest, OfStreamTag> shadows_;  // as long as the request is arriving
  const http::ResponseHead* waiting_head_ = nullptr;   // ready, not yet with the codec
  stream::Chain response_body_;  // received, not yet taken by the client; at most the cluster's buffer limit
  http::HeaderMap* response_trailers_ = nullptr;
  MutationLevels levels_;
  Duration response_timeout_;
  Duration upstream_duration_;                   // of each try; zero: without end
  const FollowedRedirect* redirects_ = nullptr;  // in arena_
  RequestHash hash_;                             // the same for all tries
  bool redirected_ = false;                      // it is to be routed again, to where an upstream has sent it
  bool passed_filters_ = false;                  // the request's head has passed all filters, of which there are some
  bool awaits_body_ = false;                     // a filter wants all of the request before it goes on
  bool follows_grpc_timeout_ = false;  // response_timeout_ comes from the request's grpc-timeout, which tells it upstream
  bool wants_no_timeout_error_ = false;
  bool try_timed_out_ = false;  // the last try ended by its timeout
  bool request_ended_ = false;  // received completely
  bool request_sent_ = false;
  bool request_started_ = false;  // something of it was handed to an upstream connection, in whichever try
  bool response_ended_ = false;   // received completely
  bool head_ends_response_ = false;
  bool switched_ = false;
  bool upgrading_ = false;  // a switch was asked for and admitted
  bool request_paused_ = false;
  bool response_paused_ = false;
};

}  // namespace millrace::proxy
