// Which of the connections to an endpoint a request may use.
#pragma once

#include "config/model/circuit_breakers.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/local_reply.h"

namespace millrace::proxy {

class ConnectionPool;
struct ProxiedClient;

struct PoolRequest {
  config::RoutingPriority priority;
  const http::RequestHead& head;
  const ProxiedClient* client;  ///< whom an endpoint that wants to know is told of; null: nobody
  bool is_tunnel = false;       ///< a CONNECT that ends here
};

struct PoolChoice {
  ConnectionPool* pool;  ///< null: `refusal` says why
  LocalReplyReason refusal;
};

/// Those of its priority, and where the server's name follows the request (auto_sni), or the endpoint is told of clients, or each
/// carries one tunnel, those of that use; counted among the cluster's pools.
[[nodiscard]] PoolChoice choose_pool(ConnectionPool& endpoint, const PoolRequest& request, Instant now);

}  // namespace millrace::proxy
