// Whose an UpstreamRequest is, and hears what becomes of it: the stream of a client (ActiveStream), a try of it that another one
// has overtaken (HedgedTry), or a copy of its request (ShadowRequest).
#pragma once

#include <string_view>

#include "dataplane/base/addresses.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/upstream_failure.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

/// The two ends of a connection to an endpoint.
struct UpstreamAddresses {
  SocketAddress local;
  SocketAddress remote;  ///< one of the endpoint's
};

class UpstreamRequestOwner {
 public:
  /// What arrives for the request lives in there.
  [[nodiscard]] virtual Arena& arena() = 0;
  /// All of the request is handed to the upstream connection.
  [[nodiscard]] virtual bool request_was_sent() const = 0;
  /// And all of the response has come.
  [[nodiscard]] virtual bool exchange_is_complete() const = 0;
  /// The protocol was switched: opaque bytes both ways, each direction ends by itself.
  [[nodiscard]] virtual bool is_switched() const = 0;

  /// There is a connection for it: the request may be sent.
  virtual void on_upstream_ready(const UpstreamAddresses& addresses, Instant now) = 0;
  virtual void on_upstream_informational(http::ResponseHead& head, Instant now) = 0;
  /// Asked before on_upstream_response(): true when the response is not wanted, and its request was cancelled.
  [[nodiscard]] virtual bool rejects_response(http::ResponseHead& head, bool end_stream, Instant now) = 0;
  virtual void on_upstream_response(http::ResponseHead& head, bool end_stream, Instant now) = 0;
  virtual void on_upstream_data(stream::Chain& data, bool end_stream, Instant now) = 0;
  virtual void on_upstream_trailers(http::HeaderMap& trailers, Instant now) = 0;
  virtual void on_upstream_failure(UpstreamFailure failure, std::string_view transport_failure, Instant now) = 0;
  /// The connection takes more of the request.
  virtual void on_upstream_credit(Instant now) = 0;

 protected:
  ~UpstreamRequestOwner() = default;
};

}  // namespace millrace::proxy
