#include "dataplane/proxy/listener_runtime.h"

#include <utility>

#include "dataplane/proxy/connection_inspection.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/tcp_proxy.h"
#include "dataplane/proxy/tls_acceptance.h"

namespace millrace::proxy {

ChainVersion::ChainVersion(ListenerVersion& version, const config::FilterChain& config, std::uint32_t index, std::uint32_t worker)
    : version_(version), config_(config), index_(index) {
  if (const auto* http = config.http()) http_stats_ = &http->cell->per_worker[worker];
  if (const auto* tcp = config.tcp()) tcp_stats_ = &tcp->cell->per_worker[worker];
}

ListenerVersion::ListenerVersion(std::shared_ptr<const config::Listener> listener, std::uint32_t worker)
    : listener_(std::move(listener)), listener_stats_(listener_->cell->per_worker[worker]) {
  if (const auto& cell = listener_->inspection.cell) inspector_stats_ = &cell->per_worker[worker];
  chains_.reserve(listener_->chains.size());
  for (const config::FilterChain& chain : listener_->chains) {
    chains_.emplace_back(*this, chain, static_cast<std::uint32_t>(chains_.size()), worker);
  }
}

ListenerRuntime::ListenerRuntime(Runtime& runtime, std::shared_ptr<const config::Listener> listener) : runtime_(runtime) {
  versions_.push_back(std::make_unique<ListenerVersion>(std::move(listener), runtime.worker()));
}

void ListenerRuntime::update(std::shared_ptr<const config::Listener> listener, Instant now) {
  if (current().is(listener)) return;
  if (current().listener().content_hash != listener->content_hash) drain_connections(now);
  versions_.push_back(std::make_unique<ListenerVersion>(std::move(listener), runtime_.worker()));
  sweep();
}

void ListenerRuntime::sweep() {
  const ListenerVersion* newest = &current();
  std::erase_if(versions_, [newest](const auto& version) { return version.get() != newest && !version->is_pinned(); });
}

void ListenerRuntime::retire(Instant now) {
  drain_connections(now);
  for (auto at = runtime_.inspections.begin(); at != runtime_.inspections.end();) {
    ConnectionInspection& inspection = *at;
    ++at;
    if (&inspection.listener() == this) inspection.close(now);
  }
}

bool ListenerRuntime::is_unused() const {
  for (const auto& version : versions_) {
    if (version->is_pinned()) return false;
  }
  return true;
}

// Connections that are passed through know no good moment to end: they go on under the old version until they end by themselves.
void ListenerRuntime::drain_connections(Instant now) {
  for (auto at = runtime_.downstreams.begin(); at != runtime_.downstreams.end();) {
    DownstreamConnection& connection = *at;
    ++at;  // draining an idle connection takes it out of the list
    if (&connection.listener() == this) connection.start_drain(now);
  }
}

// Equal content means the same chains in the same order.
ChainVersion& ListenerRuntime::successor(ChainVersion& accepted) {
  ListenerVersion& newest = current();
  if (&newest == &accepted.version() || newest.listener().content_hash != accepted.listener().content_hash) return accepted;
  return newest.chain(accepted.index());
}

void ListenerRuntime::on_accept(stream::ByteStream& stream, Instant now) {
  ListenerVersion& version = current();
  if (version.listener().inspection.is_needed()) {
    if (runtime_.inspection_pool.make(runtime_, *this, version, stream, now) != nullptr) return;
    version.listener_stats().downstream_cx_overflow.add();
    stream.reset(now);
    return;
  }
  serve({.stream = stream, .received = stream::Chain(runtime_.context.chains), .server_name = {}},
        {.local = stream.local_address(), .peer = stream.peer_address()}, now);
}

void ListenerRuntime::serve(ReadyTransport transport, ConnectionTraits traits, Instant now) {
  ListenerVersion& version = current();
  traits.server_name = transport.server_name;
  const std::optional<std::uint32_t> chosen = find_filter_chain(version.listener().table, traits);
  if (!chosen) {
    version.listener_stats().no_filter_chain_match.add();
    transport.stream.close(now);
    return;
  }
  ChainVersion& chain = version.chain(*chosen);
  if (chain.config().tls != nullptr) {
    start_transport_socket(chain, std::move(transport), now);
  } else {
    start_filter(chain, std::move(transport), now);
  }
}

void ListenerRuntime::start_transport_socket(ChainVersion& chain, ReadyTransport transport, Instant now) {
  TlsAcceptance* acceptance = runtime_.acceptance_pool.make(runtime_, *this, chain);
  if (acceptance != nullptr && acceptance->start(transport, now)) return;
  if (acceptance != nullptr) runtime_.acceptance_pool.destroy(acceptance);
  chain.listener_stats().downstream_cx_overflow.add();
  transport.stream.reset(now);
}

void ListenerRuntime::start_filter(ChainVersion& chain, ReadyTransport transport, Instant now) {
  stream::ByteStream& stream = transport.stream;
  const bool admitted = chain.config().http() != nullptr
                            ? runtime_.downstream_pool.make(runtime_, *this, chain, std::move(transport), now) != nullptr
                            : runtime_.tcp_proxy_pool.make(runtime_, chain, std::move(transport), now) != nullptr;
  if (admitted) return;
  chain.listener_stats().downstream_cx_overflow.add();
  stream.reset(now);
}

}  // namespace millrace::proxy
