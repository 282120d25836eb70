#include "dataplane/proxy/pool_choice.h"

#include <string_view>

#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/policy/server_name.h"

namespace millrace::proxy {

PoolChoice choose_pool(ConnectionPool& endpoint, config::RoutingPriority priority, const http::RequestHead& head, Instant now) {
  const auto refuse = [&](LocalReplyReason reason) {
    endpoint.cluster_stats().upstream_cx_pool_overflow.add();
    return PoolChoice{nullptr, reason};
  };
  ConnectionPool* pool = &endpoint.for_priority(priority);
  if (pool->wants_server_name()) {
    const std::string_view name = server_name_of(head, pool->tls()->sni_header, head.headers.arena());
    pool = name.empty() ? nullptr : pool->for_server_name(name, now);
    if (pool == nullptr) return refuse(LocalReplyReason::kOverloaded);
  }
  if (!pool->take_place(now)) return refuse(LocalReplyReason::kNoHealthyUpstream);
  return {pool, LocalReplyReason::kNoHealthyUpstream};
}

}  // namespace millrace::proxy
