#include "dataplane/proxy/pool_choice.h"

#include <string_view>

#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/policy/server_name.h"

namespace millrace::proxy {

PoolChoice choose_pool(ConnectionPool& endpoint, const PoolRequest& request, Instant now) {
  const auto refuse = [&](LocalReplyReason reason) {
    endpoint.cluster_stats().upstream_cx_pool_overflow.add();
    return PoolChoice{nullptr, reason};
  };
  ConnectionPool* pool = &endpoint.for_priority(request.priority);
  const bool named = pool->wants_server_name();
  ConnectionUse use{.client = pool->proxy_protocol() == nullptr ? nullptr : request.client, .is_tunnel = request.is_tunnel};
  if (named || use.client != nullptr || use.is_tunnel) {
    if (named) use.server_name = server_name_of(request.head, pool->tls()->sni_header, request.head.headers.arena());
    pool = named && use.server_name.empty() ? nullptr : pool->for_use(use, now);
    if (pool == nullptr) return refuse(LocalReplyReason::kOverloaded);
  }
  if (!pool->take_place(now)) return refuse(LocalReplyReason::kNoHealthyUpstream);
  return {pool, LocalReplyReason::kNoHealthyUpstream};
}

}  // namespace millrace::proxy
