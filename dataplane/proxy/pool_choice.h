// Which of the connections to an endpoint a request may use.
#pragma once

#include "config/model/circuit_breakers.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/local_reply.h"

namespace millrace::proxy {

class ConnectionPool;
struct ProxiedClient;

struct PoolChoice {
  ConnectionPool* pool;  ///< null: `refusal` says why
  LocalReplyReason refusal;
};

/// Those of its priority, and where the server's name follows the request (auto_sni), those of its name, and where the endpoint
/// is told of clients, those of `client` (null: nobody's); counted among the cluster's pools.
[[nodiscard]] PoolChoice choose_pool(ConnectionPool& endpoint, config::RoutingPriority priority, const http::RequestHead& head,
                                     const ProxiedClient* client, Instant now);

}  // namespace millrace::proxy
