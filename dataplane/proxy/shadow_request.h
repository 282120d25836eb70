// A copy of a request that goes to another cluster beside it: request mirroring. Nobody waits for its answer, and what becomes
// of it never touches the request. While that one arrives, its stream owns the copy and hands it the body; then it ends alone.
// Envoy: RouteAction.request_mirror_policies ("shadowing").
#pragma once

#include <cstddef>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/upstream_request.h"
#include "dataplane/proxy/upstream_request_owner.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

class ClusterRuntime;
class ConnectionPool;
struct GraveTag;
struct Runtime;
struct OfStreamTag;

class ShadowRequest final : public ListNode<OfStreamTag>, public ListNode<GraveTag>, private UpstreamRequestOwner {
 public:
  ShadowRequest(Runtime& runtime, ClusterRuntime& cluster);
  ~ShadowRequest();

  /// The same head for another host; `host_suffix`: "-shadow" is appended to its name. False: out of memory.
  [[nodiscard]] bool copy_head(const http::RequestHead& head, bool host_suffix);
  /// Chooses an endpoint and begins. Call it once, after copy_head().
  void start(Instant now);
  /// Adds references to all of `data`. False: more than `limit` bytes, or than the packet pool affords, would wait here.
  [[nodiscard]] bool add_body(const stream::Chain& data, std::size_t limit, Instant now);
  /// The request is complete; null: without trailers. `timeout`: of the response, from now; zero: none.
  void end(const http::HeaderMap* trailers, Duration timeout, Instant now);
  /// It ends here. No effect on one that is over.
  void abandon(Instant now);

 private:
  [[nodiscard]] Arena& arena() override { return arena_; }
  [[nodiscard]] bool request_was_sent() const override { return sent_; }
  [[nodiscard]] bool exchange_is_complete() const override { return sent_ && answered_; }
  [[nodiscard]] bool is_switched() const override { return false; }
  void on_upstream_ready(const UpstreamAddresses& addresses, Instant now) override;
  void on_upstream_informational(http::ResponseHead& head, Instant now) override;
  [[nodiscard]] bool rejects_response(http::ResponseHead&, bool, Instant) override { return false; }
  void on_upstream_response(http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_upstream_data(stream::Chain& data, bool end_stream, Instant now) override;
  void on_upstream_trailers(http::HeaderMap& trailers, Instant now) override;
  void on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) override;
  void on_upstream_credit(Instant now) override;

  void push(Instant now);
  void on_answered(Instant now);
  void on_timeout(Instant now);

  Runtime& runtime_;
  ClusterRuntime& cluster_;         // pinned
  ConnectionPool* pool_ = nullptr;  // pinned
  Arena arena_;
  UpstreamRequest upstream_;
  http::RequestHead* head_ = nullptr;  // in arena_
  stream::Chain body_;                 // not yet taken by the upstream
  http::HeaderMap* trailers_ = nullptr;
  Timer timeout_;
  bool ended_ = false;     // all of the request is here
  bool sent_ = false;      // and with the upstream connection
  bool answered_ = false;  // the response is complete
  bool over_ = false;
};

}  // namespace millrace::proxy
