#include "dataplane/proxy/pool_choice.h"

#include <string_view>

#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/policy/server_name.h"

namespace millrace::proxy {

PoolChoice choose_pool(ConnectionPool& endpoint, config::RoutingPriority priority, const http::RequestHead& head,
                       const ProxiedClient* client, Instant now) {
  const auto refuse = [&](LocalReplyReason reason) {
    endpoint.cluster_stats().upstream_cx_pool_overflow.add();
    return PoolChoice{nullptr, reason};
  };
  ConnectionPool* pool = &endpoint.for_priority(priority);
  const bool named = pool->wants_server_name();
  if (pool->proxy_protocol() == nullptr) client = nullptr;
  if (named || client != nullptr) {
    const std::string_view name =
        named ? server_name_of(head, pool->tls()->sni_header, head.headers.arena()) : std::string_view();
    pool = named && name.empty() ? nullptr : pool->for_connections_of(name, client, now);
    if (pool == nullptr) return refuse(LocalReplyReason::kOverloaded);
  }
  if (!pool->take_place(now)) return refuse(LocalReplyReason::kNoHealthyUpstream);
  return {pool, LocalReplyReason::kNoHealthyUpstream};
}

}  // namespace millrace::proxy
