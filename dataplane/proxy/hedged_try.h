// A try of a request whose time has run out, and that goes on all the same while others follow it: the first good response of any
// of them is the client's. All of the request was sent; only the beginning of a response is awaited here.
// Envoy: HedgePolicy.hedge_on_per_try_timeout.
#pragma once

#include "dataplane/base/intrusive_list.h"
#include "dataplane/proxy/upstream_request.h"
#include "dataplane/proxy/upstream_request_owner.h"

namespace millrace::proxy {

class ActiveStream;
class ConnectionPool;
struct OfStreamTag;

class HedgedTry final : public ListNode<OfStreamTag>, private UpstreamRequestOwner {
 public:
  /// Takes `request` over from `stream`; it is open at `pool`. Both live as long as the stream, and so does this.
  HedgedTry(ActiveStream& stream, UpstreamRequest& request, ConnectionPool& pool, const UpstreamAddresses& addresses);
  ~HedgedTry();

  [[nodiscard]] UpstreamRequest& request() { return request_; }
  [[nodiscard]] ConnectionPool& pool() { return pool_; }
  /// Of its connection.
  [[nodiscard]] const UpstreamAddresses& addresses() const { return addresses_; }

 private:
  [[nodiscard]] Arena& arena() override;
  [[nodiscard]] bool request_was_sent() const override { return true; }
  [[nodiscard]] bool exchange_is_complete() const override { return false; }
  [[nodiscard]] bool is_switched() const override { return false; }
  void on_upstream_ready(const UpstreamAddresses&, Instant) override {}
  void on_upstream_informational(http::ResponseHead&, Instant) override {}
  [[nodiscard]] bool rejects_response(http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_upstream_response(http::ResponseHead&, bool, Instant) override {}  // the stream's, once it is not rejected
  void on_upstream_data(stream::Chain&, bool, Instant) override {}
  void on_upstream_trailers(http::HeaderMap&, Instant) override {}
  void on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) override;
  void on_upstream_credit(Instant) override {}

  ActiveStream& stream_;
  UpstreamRequest& request_;
  ConnectionPool& pool_;  // pinned
  const UpstreamAddresses addresses_;
};

}  // namespace millrace::proxy
