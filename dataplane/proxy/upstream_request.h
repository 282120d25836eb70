// One try of a request at an upstream: the join between its owner, mostly an ActiveStream, and an UpstreamConnection of a pool.
// It waits in the pool's queue, then owns one stream of a connection, and tells the owner what comes back. A retry starts it
// anew.
//
//   kNone --start()--> kPending --on_connection()--> kOpen --> kNone (complete, failed, cancelled or tried again)
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/time.h"
#include "dataplane/http/codec.h"
#include "dataplane/proxy/upstream_failure.h"

namespace millrace::proxy {

class ConnectionPool;
class UpstreamConnection;
class UpstreamRequestOwner;

struct PendingTag;
struct OnConnectionTag;

class UpstreamRequest : public ListNode<PendingTag>, public ListNode<OnConnectionTag> {
 public:
  explicit UpstreamRequest(UpstreamRequestOwner& owner) : owner_(&owner) {}
  ~UpstreamRequest();

  /// From now on `owner` hears what becomes of it.
  void hand_over(UpstreamRequestOwner& owner) { owner_ = &owner; }

  /// Asks `pool` for a connection. The owner hears on_upstream_ready() or on_upstream_failure(), maybe before this returns.
  void start(ConnectionPool& pool, Instant now);
  /// Gives the request up; an exchange that is not complete takes its connection along. No event follows. No effect in kNone.
  void cancel(Instant now);

  [[nodiscard]] bool is_active() const { return state_ != State::kNone; }
  [[nodiscard]] bool is_open() const { return state_ == State::kOpen; }

  // While open. False when our pools are exhausted; the caller then cancels.
  [[nodiscard]] bool send_head(const http::RequestHead& head, bool end_stream, Instant now);
  /// Sends what the connection has credit for; what is left stays in `data`.
  [[nodiscard]] bool send_data(stream::Chain& data, bool end_stream, Instant now);
  [[nodiscard]] bool send_trailers(const http::HeaderMap& trailers, Instant now);
  /// The response does not come in time. To be told before cancel().
  void note_timeout(Instant now);
  /// The owner has passed on that many response bytes.
  void consumed(std::size_t bytes);

  // From the pool.
  void on_connection(UpstreamConnection& connection, http::StreamId id, Instant now);
  void on_pool_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now);

  // From the connection.
  [[nodiscard]] http::StreamId id() const { return id_; }
  [[nodiscard]] Arena& arena();
  void on_informational(http::ResponseHead& head, Instant now);
  void on_response(http::ResponseHead& head, bool end_stream, Instant now);
  void on_data(stream::Chain& data, bool end_stream, Instant now);
  void on_trailers(http::HeaderMap& trailers, Instant now);
  void on_credit(Instant now);
  /// Both directions are complete; the connection has let go of us.
  void on_complete(Instant now);
  /// The exchange ended early; the connection has let go of us.
  void on_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now);

 private:
  enum class State : std::uint8_t { kNone, kPending, kOpen };

  // Ends the account of this try and returns to kNone.
  void leave();
  void end_of_response(Instant now);
  void record_time(Instant now);

  UpstreamRequestOwner* owner_;
  State state_ = State::kNone;
  ConnectionPool* pool_ = nullptr;
  UpstreamConnection* connection_ = nullptr;
  http::StreamId id_ = 0;
  Instant started_;
  bool response_started_ = false;
  bool backed_up_ = false;  // the upstream does not take the request as fast as it comes
};

}  // namespace millrace::proxy
