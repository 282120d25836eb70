#include "dataplane/proxy/listener_runtime.h"

#include <algorithm>
#include <utility>

#include "dataplane/proxy/access_log.h"
#include "dataplane/proxy/connection_inspection.h"
#include "dataplane/proxy/downstream_connection.h"
#include "dataplane/proxy/local_connection.h"
#include "dataplane/proxy/network_filters.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/tcp_proxy.h"
#include "dataplane/proxy/tls_acceptance.h"
#include "tls/context_slot.h"

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

// Their places are looked at first: mostly nothing has moved.
void ListenerVersion::hand_over(ListenerVersion& newest, Instant drain_end) {
  for (ChainVersion& chain : chains_) {
    if (chain.is_draining()) continue;
    const auto is_same = [&chain](const ChainVersion& other) {
      return other.config().content_hash == chain.config().content_hash;
    };
    auto& others = newest.chains_;
    const bool in_place = chain.index() < others.size() && is_same(others[chain.index()]);
    const auto same = in_place ? others.begin() + chain.index() : std::ranges::find_if(others, is_same);
    if (same != others.end()) {
      chain.set_successor(*same);
    } else {
      chain.set_successor(chain);
      chain.start_drain(drain_end);
    }
  }
}

void ListenerVersion::end(Instant drain_end) {
  start_drain(drain_end);
  for (ChainVersion& chain : chains_) {
    chain.set_successor(chain);
    chain.start_drain(drain_end);
  }
}

ListenerRuntime::ListenerRuntime(Runtime& runtime, std::shared_ptr<const config::Listener> listener)
    : runtime_(runtime), drain_timer_(Timer::calling<&ListenerRuntime::on_drain_end>(*this)) {
  versions_.push_back(std::make_unique<ListenerVersion>(std::move(listener), runtime.worker()));
}

void ListenerRuntime::update(std::shared_ptr<const config::Listener> listener, Instant now) {
  if (current().is(listener)) return;
  if (current().listener().content_hash != listener->content_hash) drain(now);
  auto newest = std::make_unique<ListenerVersion>(std::move(listener), runtime_.worker());
  for (const auto& version : versions_) version->hand_over(*newest, now + runtime_.context.drain_time);
  versions_.push_back(std::move(newest));
  announce_drain(now);
  sweep();
}

void ListenerRuntime::sweep() {
  const ListenerVersion* newest = &current();
  std::erase_if(versions_, [newest](const auto& version) { return version.get() != newest && !version->is_pinned(); });
}

void ListenerRuntime::retire(Instant now) {
  drain(now);
  for_each(runtime_.inspections, [&](ConnectionInspection& inspection) {
    if (&inspection.listener() == this) inspection.start_drain(now);
  });
}

bool ListenerRuntime::is_unused() const {
  for (const auto& version : versions_) {
    if (version->is_pinned()) return false;
  }
  return true;
}

// Handshakes go on, and what comes of them is served once, as is a connection without a request: closed now, it would fail the
// one that may be on its way. Connections that are passed through know no good moment to end: they go on under the old version
// until they end by themselves, or the drain does.
void ListenerRuntime::drain(Instant now) {
  for (const auto& version : versions_) version->end(now + runtime_.context.drain_time);
  announce_drain(now);
}

void ListenerRuntime::announce_drain(Instant now) {
  await_drain_end(now);
  for_each(runtime_.downstreams, [&](DownstreamConnection& connection) {
    if (&connection.listener() == this && connection.chain().is_draining()) connection.announce_drain();
  });
}

void ListenerRuntime::on_drain_end(Instant now) {
  const auto end = [now](auto& connection) {
    if (connection.chain().drain_end() <= now) connection.abort(now);
  };
  for_each(runtime_.inspections, [now](ConnectionInspection& inspection) {
    if (inspection.version().drain_end() <= now) inspection.abort(now);
  });
  for_each(runtime_.acceptances, end);
  for_each(runtime_.downstreams, [now](DownstreamConnection& connection) {
    if (connection.chain().drain_end() <= now) connection.end_drain(now);
  });
  for_each(runtime_.tcp_proxies, end);
  for_each(runtime_.locals, end);
  await_drain_end(now);
}

void ListenerRuntime::await_drain_end(Instant now) {
  Instant next = Instant::never();
  const auto see = [&](const Drainable& part) {
    if (part.drain_end() > now) next = std::min(next, part.drain_end());
  };
  for (const auto& version : versions_) {
    see(*version);
    std::ranges::for_each(version->chains(), see);
  }
  runtime_.context.timers.arm(drain_timer_, next);
}

void ListenerRuntime::on_accept(stream::ByteStream& stream, Instant now) {
  ListenerVersion& version = current();
  ConnectionCount count;
  if (!has_room_for(stream, count, now)) return;
  if (version.listener().inspection.is_needed()) {
    if (runtime_.inspection_pool.make(runtime_, *this, version, stream, std::move(count), now) != nullptr) return;
    version.listener_stats().downstream_cx_overflow.add();
    stream.reset(now);
    return;
  }
  serve({.stream = stream,
         .received = stream::Chain(runtime_.context.chains),
         .addresses = ClientAddresses::of(stream, version.listener().knows_original_dst),
         .count = std::move(count)},
        {}, now);
}

// In Envoy's order: the limit of the process, overload, the limit of the listener.
bool ListenerRuntime::has_room_for(stream::ByteStream& stream, ConnectionCount& count, Instant now) {
  const config::Listener& listener = current().listener();
  report::ListenerStats& stats = current().listener_stats();
  report::Counter* refused_by = nullptr;
  if (const config::Overload* overload = runtime_.snapshot->overload.get()) {
    const std::uint64_t most = listener.ignores_global_limit ? config::kUnlimitedConnections : overload->max_connections;
    if (!count.take_place(overload->cell->connections, most)) {
      refused_by = &stats.downstream_global_cx_overflow;
    } else if (runtime_.is_overloaded(report::OverloadAction::kRejectIncomingConnections, listener)) {
      refused_by = &stats.downstream_cx_overload_reject;
    }
  }
  if (refused_by == nullptr && listener.connection_limit != config::kUnlimitedConnections &&
      !count.take_place(listener.cell->connections, listener.connection_limit)) {
    refused_by = &stats.downstream_cx_overflow;
  }
  if (refused_by == nullptr) return true;
  refused_by->add();
  stream.reset(now);
  return false;
}

void ListenerRuntime::serve(ReadyTransport transport, ConnectionTraits traits, Instant now) {
  ListenerVersion& version = current();
  traits.local = ClientAddresses::for_matching(transport.addresses.local);
  traits.remote = ClientAddresses::for_matching(transport.addresses.remote);
  traits.direct_remote = ClientAddresses::for_matching(transport.addresses.direct_remote);
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
  if (chain.config().tls->current() == nullptr) {  // its secrets have not come
    chain.listener_stats().tls.connection_error.add();
    transport.stream.reset(now);
    return;
  }
  TlsAcceptance* acceptance = runtime_.acceptance_pool.make(runtime_, *this, chain);
  if (acceptance != nullptr && acceptance->start(transport, now)) return;
  if (acceptance != nullptr) runtime_.acceptance_pool.destroy(acceptance);
  chain.listener_stats().downstream_cx_overflow.add();
  transport.stream.reset(now);
}

Admission ListenerRuntime::ask_filters(ChainVersion& chain, ReadyTransport& transport, Instant now) {
  const std::shared_ptr<const tls::SessionFacts> session = transport.stream.session_facts();
  StreamInfo info;
  info.downstream_local = transport.addresses.local;
  info.downstream_remote = info.downstream_peer = transport.addresses.remote;
  info.downstream_direct_remote = transport.addresses.direct_remote;
  info.downstream_tls = session.get();
  info.server_name = transport.server_name;
  const Admission said = admit(chain.config().network_filters, info, runtime_.worker(), transport.count, now);
  if (said.kind == Admission::Kind::kClose) log_closed(chain, said, info, now);
  return said;
}

// As Envoy's TCP proxy does, which is there already when a filter before it closes the connection.
void ListenerRuntime::log_closed(ChainVersion& chain, const Admission& why, StreamInfo& info, Instant now) {
  if (chain.config().tcp() == nullptr) return;
  Arena arena(runtime_.chunks);
  info.start = info.response_sent = now;
  info.start_wall_nanoseconds = runtime_.wall_nanoseconds(now);
  info.downstream_pipe = chain.listener().pipe_path(info.downstream_direct_remote);
  info.connection_id = ++runtime_.next_connection_id;
  info.filter_chain = chain.config().name;
  if (why.verdict) info.connection_termination_details = access_denied_details(*why.verdict, arena);
  write_access_logs(chain.tcp().access_logs, info, runtime_.context);
}

void ListenerRuntime::start_filter(ChainVersion& chain, ReadyTransport transport, Instant now) {
  stream::ByteStream& stream = transport.stream;
  Admission admission;
  if (!chain.config().network_filters.empty()) admission = ask_filters(chain, transport, now);
  bool started = true;
  switch (admission.kind) {
    case Admission::Kind::kServe: started = start_serving(chain, std::move(transport), now); break;
    case Admission::Kind::kHold:
      started = runtime_.local_pool.make(runtime_, chain, std::move(transport), admission.delay, now) != nullptr;
      break;
    case Admission::Kind::kClose:
      transport.count.begin(chain.listener_stats());
      stream.close(now);
      break;
  }
  if (started) return;
  chain.listener_stats().downstream_cx_overflow.add();
  stream.reset(now);
}

// False: there are too many connections.
bool ListenerRuntime::start_serving(ChainVersion& chain, ReadyTransport transport, Instant now) {
  if (chain.config().http() != nullptr)
    return runtime_.downstream_pool.make(runtime_, *this, chain, std::move(transport), now) != nullptr;
  if (chain.config().tcp() != nullptr) return runtime_.tcp_proxy_pool.make(runtime_, chain, std::move(transport), now) != nullptr;
  return runtime_.local_pool.make(runtime_, chain, std::move(transport), Duration(), now) != nullptr;
}

}  // namespace millrace::proxy
