#include "dataplane/proxy/proxy.h"

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/connection_inspection.h"
#include "dataplane/proxy/connection_race.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/expensive_streams.h"
#include "dataplane/proxy/health_probe.h"
#include "dataplane/proxy/local_connection.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/shadow_request.h"
#include "dataplane/proxy/tcp_proxy.h"
#include "dataplane/proxy/tls_acceptance.h"
#include "dataplane/proxy/upstream_connection.h"

namespace millrace::proxy {

Runtime::Runtime(const ProxyContext& given)
    : context(given),
      chunks(std::min(given.limits.initial_objects, given.limits.small_chunks), given.limits.small_chunks,
             given.limits.large_chunks),
      coding_heap(given.limits.coding_bytes),
      inspection_pool(0, given.limits.downstream_connections),
      acceptance_pool(0, given.limits.downstream_connections),
      downstream_pool(std::min(given.limits.initial_objects, given.limits.downstream_connections),
                      given.limits.downstream_connections),
      tcp_proxy_pool(0, given.limits.downstream_connections),
      local_pool(0, given.limits.downstream_connections),
      connection_bucket_pool(0, ConnectionBuckets::kAverage * given.limits.downstream_connections),
      stream_pool(std::min(given.limits.initial_objects, given.limits.streams), given.limits.streams),
      shadow_pool(0, given.limits.streams),
      upstream_pool(std::min(given.limits.initial_objects, given.limits.upstream_connections), given.limits.upstream_connections),
      race_pool(0, given.limits.upstream_connections + given.limits.downstream_connections),
      listeners(*this),
      clusters(*this) {}

Runtime::~Runtime() { bury(); }

void Runtime::bury() {
  while (ConnectionInspection* inspection = dead_inspections.pop_front()) inspection_pool.destroy(inspection);
  while (TlsAcceptance* acceptance = dead_acceptances.pop_front()) acceptance_pool.destroy(acceptance);
  while (DownstreamConnection* connection = dead_downstreams.pop_front()) downstream_pool.destroy(connection);
  while (TcpProxyConnection* connection = dead_tcp_proxies.pop_front()) tcp_proxy_pool.destroy(connection);
  while (LocalConnection* connection = dead_locals.pop_front()) local_pool.destroy(connection);
  while (UpstreamConnection* connection = dead_upstreams.pop_front()) upstream_pool.destroy(connection);
  while (ActiveStream* stream = dead_streams.pop_front()) stream_pool.destroy(stream);
  while (ShadowRequest* shadow = dead_shadows.pop_front()) shadow_pool.destroy(shadow);
}

Proxy::Proxy(const ProxyContext& context) : runtime_(std::make_unique<Runtime>(context)) {}

Proxy::~Proxy() = default;

void Proxy::apply(std::shared_ptr<const config::Snapshot> snapshot, Instant now) {
  runtime_->bury();  // what died refers to the configuration
  runtime_->clusters.apply(runtime_->snapshot.get(), *snapshot, now);
  runtime_->listeners.apply(*snapshot, now);
  runtime_->snapshot = std::move(snapshot);
}

stream::Acceptor& Proxy::acceptor_for(const config::Listener& listener) {
  ListenerRuntime* runtime = runtime_->listeners.find(listener.name);
  MR_ASSERT(runtime != nullptr);
  return *runtime;
}

void Proxy::end_of_turn(Instant now) {
  if (const config::Overload* overload = runtime_->overload(); overload != nullptr && overload->least_account_power > 0)
    reset_expensive_streams(*runtime_, *overload, now);
  runtime_->ready.run(now);
  runtime_->bury();
}

void Proxy::start_drain(Instant now) {
  if (runtime_->draining) return;
  runtime_->draining = true;
  const auto drain = [now](auto& connection) { connection.start_drain(now); };
  for_each(runtime_->downstreams, drain);
  for_each(runtime_->inspections, drain);
}

void Proxy::set_fails_health_checks(bool fails) { runtime_->fails_health_checks = fails; }

void Proxy::force_close_all(Instant now) {
  while (!runtime_->inspections.empty()) runtime_->inspections.front().abort(now);
  while (!runtime_->acceptances.empty()) runtime_->acceptances.front().abort(now);
  while (!runtime_->downstreams.empty()) runtime_->downstreams.front().abort(now);
  while (!runtime_->tcp_proxies.empty()) runtime_->tcp_proxies.front().abort(now);
  while (!runtime_->locals.empty()) runtime_->locals.front().abort(now);
  while (!runtime_->upstreams.empty()) runtime_->upstreams.front().abort(now);
  for_each(runtime_->health_probes, [now](HealthProbe& probe) { probe.stop(now); });
  runtime_->ready.run(now);
  runtime_->bury();
}

bool Proxy::has_work() const { return !runtime_->ready.empty(); }

bool Proxy::idle() const {
  return runtime_->inspections.empty() && runtime_->acceptances.empty() && runtime_->downstreams.empty() &&
         runtime_->tcp_proxies.empty() && runtime_->locals.empty() && runtime_->stream_pool.in_use() == 0;
}

ProxyCounts Proxy::counts() const {
  return {.downstream_connections = runtime_->inspection_pool.in_use() + runtime_->acceptance_pool.in_use() +
                                    runtime_->downstream_pool.in_use() + runtime_->tcp_proxy_pool.in_use() +
                                    runtime_->local_pool.in_use(),
          .requests = runtime_->stream_pool.in_use(),
          .upstream_connections = runtime_->upstream_pool.in_use() + runtime_->passed_through_upstreams,
          .chunks = runtime_->chunks.chunks_in_use(),
          .coding_bytes = runtime_->coding_heap.in_use()};
}

void Proxy::set_wall_offset(std::int64_t nanoseconds) { runtime_->context.wall_offset_nanoseconds = nanoseconds; }

}  // namespace millrace::proxy
