#include "dataplane/proxy/tcp_proxy.h"

#include <limits>
#include <utility>

#include "dataplane/proxy/access_log.h"
#include "dataplane/proxy/cluster_runtime.h"
#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/connection_race.h"
#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/policy/hash_policy.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/upstream_transport.h"

namespace millrace::proxy {
namespace {

// Null: the weights leave none.
const config::WeightedTcpCluster* pick_cluster(const config::TcpProxy& proxy, Rng& rng) {
  if (proxy.clusters.size() == 1) return &proxy.clusters.front();
  std::uint32_t at = rng.below(proxy.total_weight);  // at least 1: the agent checks
  for (const config::WeightedTcpCluster& cluster : proxy.clusters) {
    if (at < cluster.weight) return &cluster;
    at -= cluster.weight;
  }
  return nullptr;
}

CircuitBreakers& breakers_of(ConnectionPool& endpoint) { return endpoint.cluster().breakers(config::RoutingPriority::kDefault); }

// Everything that was sent has come. TLS that ends without close_notify has ended all the same, as in Envoy: what the bytes stand
// for knows best whether something is missing.
bool is_end(stream::CloseReason reason) {
  return reason == stream::CloseReason::kGraceful || reason == stream::CloseReason::kTruncated;
}

bool is_broken(const stream::ByteStream* stream, stream::CloseReason reason) { return stream == nullptr && !is_end(reason); }

// The end was passed on to the receiver, or that has gone in order before.
bool is_over(const ByteRelay& relay, const stream::ByteStream* receiver, stream::CloseReason reason) {
  return relay.is_complete() || (receiver == nullptr && is_end(reason));
}

}  // namespace

TcpProxyConnection::TcpProxyConnection(Runtime& runtime, ChainVersion& chain, ReadyTransport transport, Instant now)
    : Serviced(Stage::kDownstream),
      runtime_(runtime),
      chain_(chain),
      count_(std::move(transport.count)),
      downstream_(&transport.stream),
      server_name_(std::move(transport.server_name)),
      proxy_extensions_(std::move(transport.proxy_extensions)),
      to_upstream_(std::move(transport.received), runtime.buffer_limit(chain.listener().buffer_limit_bytes)),
      to_downstream_(runtime.context.chains, std::numeric_limits<std::size_t>::max()),
      proxy_header_(runtime.context.chains),
      timer_(Timer::calling<&TcpProxyConnection::on_timer>(*this)),
      lifetime_(Timer::calling<&TcpProxyConnection::on_lifetime>(*this)),
      log_timer_(Timer::calling<&TcpProxyConnection::on_log_timer>(*this)) {
  chain_.pin();
  runtime_.tcp_proxies.push_back(*this);
  downstream_->set_events(*this);
  info_.start = now;
  info_.start_wall_nanoseconds = runtime_.wall_nanoseconds(now);
  info_.downstream_local = transport.addresses.local;
  info_.downstream_local_is_original = transport.addresses.local_is_original;
  info_.downstream_remote = info_.downstream_peer = transport.addresses.remote;
  info_.downstream_direct_remote = transport.addresses.direct_remote;
  info_.downstream_pipe = chain_.listener().pipe_path(transport.addresses.direct_remote);
  info_.connection_id = ++runtime_.next_connection_id;
  info_.filter_chain = chain_.config().name;
  info_.server_name = server_name_;
  info_.bytes_received = to_upstream_.waiting();
  count_.begin(chain_.listener_stats());
  chain_.tcp_stats().downstream_cx_total.add();
  chain_.tcp_stats().downstream_cx_rx_bytes_total.add(to_upstream_.waiting());
  chain_.tcp_stats().downstream_cx_rx_bytes_buffered.add(static_cast<std::int64_t>(to_upstream_.waiting()));
  runtime_.arm_after(lifetime_, now, chain_.tcp().max_connection_duration);
  runtime_.arm_after(log_timer_, now, chain_.tcp().log_interval);
  wake();
}

TcpProxyConnection::~TcpProxyConnection() {
  if (endpoint_ != nullptr) endpoint_->unpin();
  if (cluster_ != nullptr) cluster_->unpin();
  chain_.unpin();
}

void TcpProxyConnection::wake() { runtime_.ready.wake(*this); }

void TcpProxyConnection::service(Instant now) {
  if (state_ == State::kClosed) return;
  if (state_ == State::kChoosing && downstream_ != nullptr && !timer_.is_armed()) connect(now);
  if (state_ == State::kConnecting && upstream_ == nullptr && downstream_ != nullptr) {
    connect_failed(true, why_upstream_ended(), now);
  }
  if (state_ == State::kConnecting && connected_ && downstream_ != nullptr) established(now);
  if (state_ == State::kOpen) pump(now);
  if (state_ != State::kClosed && is_lost()) lost(now);
}

bool TcpProxyConnection::choose_cluster(Instant now) {
  if (cluster_ != nullptr) return true;  // chosen by an earlier attempt, which keeps to it
  const config::TcpProxy& proxy = chain_.tcp();
  const config::WeightedTcpCluster* target = pick_cluster(proxy, runtime_.context.rng);
  std::string_view name = target == nullptr ? std::string_view() : target->name;
  if (proxy.cluster_from_server_name && !server_name_.empty()) name = server_name_;
  if (target != nullptr) metadata_match_ = target->metadata_match.get();
  cluster_ = runtime_.clusters.find(*runtime_.snapshot, name, now);
  if (cluster_ == nullptr) {
    chain_.tcp_stats().downstream_cx_no_route.add();
    info_.flags.set(ResponseFlag::kNoClusterFound);
    return false;
  }
  cluster_->pin();
  info_.cluster = cluster_->name();
  return true;
}

bool TcpProxyConnection::choose_endpoint(Instant now) {
  report::ClusterStats& stats = cluster_->stats();
  if (info_.attempts >= chain_.tcp().max_connect_attempts) {
    stats.upstream_cx_connect_attempts_exceeded.add();
    info_.flags.set(ResponseFlag::kUpstreamRetryLimitExceeded);
    return false;
  }
  ChoiceContext context{.metadata = metadata_match_};
  context.info = &info_;
  if (chain_.tcp().hash_source_ip) context.hash = source_ip_hash(info_.downstream_remote);
  ConnectionPool* chosen = cluster_->choose(context, now);
  if (chosen == nullptr) {
    stats.upstream_cx_none_healthy.add();
    info_.flags.set(ResponseFlag::kNoHealthyUpstream);
    return false;
  }
  if (!admit(*chosen)) {
    info_.flags.set(ResponseFlag::kUpstreamOverflow);
    return false;
  }
  chosen->pin();
  if (endpoint_ != nullptr) endpoint_->unpin();
  endpoint_ = chosen;
  to_downstream_ = ByteRelay(runtime_.context.chains, runtime_.buffer_limit(endpoint_->config().buffer_limit_bytes));
  return true;
}

// As in Envoy it is a connection of its cluster, and while it is on its way a waiting request, too.
bool TcpProxyConnection::admit(ConnectionPool& endpoint) {
  if (!endpoint.take_connection()) {
    endpoint.cluster_stats().upstream_cx_overflow.add();
    return false;
  }
  if (!breakers_of(endpoint).take(BreakerResource::kPendingRequests)) {
    endpoint.cluster_stats().upstream_rq_pending_overflow.add();
    endpoint.release_connection();
    return false;
  }
  return true;
}

CircuitBreakers& TcpProxyConnection::breakers() { return breakers_of(*endpoint_); }

void TcpProxyConnection::connect(Instant now) {
  if (!choose_cluster(now) || !choose_endpoint(now)) return give_up(now);
  state_ = State::kConnecting;
  connected_ = false;
  connect_started_ = now;
  ++info_.attempts;
  info_.upstream_host = info_.upstream_remote = endpoint_->address();
  info_.upstream_pipe = endpoint_->pipe();
  has_upstream_ = true;
  ++runtime_.passed_through_upstreams;
  endpoint_->cluster_stats().upstream_cx_total.add();
  endpoint_->cluster_stats().upstream_cx_active.add();
  endpoint_->endpoint_stats().cx_total.add();
  endpoint_->endpoint_stats().cx_active.add();
  info_.upstream_transport_failure = {};  // of the attempt before, if there was one
  upstream_failure_.clear();
  upstream_end_ = stream::CloseReason::kGraceful;
  upstream_ = open(now);
  if (upstream_ != nullptr) runtime_.arm_after(timer_, now, endpoint_->config().connect_timeout);
}

stream::ByteStream* TcpProxyConnection::open(Instant now) {
  const ProxiedClient client{info_.downstream_remote, info_.downstream_local, proxy_extensions_};
  EndpointConnector to_endpoint(runtime_, *endpoint_);
  stream::Connector* connector = &to_endpoint;
  if (const config::ProxyProtocolOut* header = endpoint_->proxy_protocol()) {
    if (!proxy_header_.prepare(*header, &client, to_endpoint)) {
      upstream_end_ = stream::CloseReason::kNoMemory;
      return nullptr;
    }
    connector = &proxy_header_;
  }
  return connect_upstream(runtime_, *connector, endpoint_->address(), endpoint_->tls(), {}, &endpoint_->sessions(), *this,
                          upstream_end_, now);
}

std::string_view TcpProxyConnection::why_upstream_ended() const {
  return upstream_failure_.empty() ? stream::to_text(upstream_end_) : std::string_view(upstream_failure_);
}

// The next attempt is made in a later turn: those that fail on the spot must not keep this one from ending.
void TcpProxyConnection::connect_failed(bool by_peer, std::string_view why, Instant now) {
  info_.flags.set(ResponseFlag::kUpstreamConnectionFailure);
  info_.upstream_transport_failure = why;
  endpoint_->cluster_stats().upstream_cx_connect_fail.add();
  endpoint_->endpoint_stats().cx_connect_fail.add();
  endpoint_->on_failure(by_peer ? LocalFailure::kConnection : LocalFailure::kTimeout, now);
  count_upstream_end(by_peer);
  state_ = State::kChoosing;
  timer_.disarm();
  if (info_.attempts >= chain_.tcp().max_connect_attempts) return connect(now);  // which says so
  runtime_.context.timers.arm(timer_, now);
}

void TcpProxyConnection::established(Instant now) {
  state_ = State::kOpen;
  breakers().release(BreakerResource::kPendingRequests);
  endpoint_->on_passed_through(now);
  info_.upstream_local = upstream_->local_address();
  info_.upstream_remote = upstream_->peer_address();
  // What failed before has not become the connection's fate.
  info_.flags = {};
  info_.upstream_transport_failure = {};
  endpoint_->cluster_stats().upstream_cx_connect_ms.record(
      static_cast<std::uint64_t>((now - connect_started_).to_milliseconds()));
  endpoint_->cluster_stats().upstream_rq_total.add();
  endpoint_->cluster_stats().upstream_rq_active.add();
  endpoint_->endpoint_stats().rq_total.add();
  endpoint_->endpoint_stats().rq_active.add();
  last_progress_ = now;
  runtime_.arm_after(timer_, now, chain_.tcp().idle_timeout);
  if (chain_.tcp().log_when_connected) write_access_logs(chain_.tcp().access_logs, info_, runtime_.context);
}

void TcpProxyConnection::count_upstream_end(bool by_peer) {
  if (!std::exchange(has_upstream_, false)) return;
  report::ClusterStats& stats = endpoint_->cluster_stats();
  stats.upstream_cx_destroy.add();
  (by_peer ? stats.upstream_cx_destroy_remote : stats.upstream_cx_destroy_local).add();
  stats.upstream_cx_active.subtract();
  endpoint_->endpoint_stats().cx_active.subtract();
  if (state_ == State::kOpen) {
    stats.upstream_rq_active.subtract();
    endpoint_->endpoint_stats().rq_active.subtract();
  }
  if (state_ != State::kOpen) breakers().release(BreakerResource::kPendingRequests);
  endpoint_->release_connection();
  --runtime_.passed_through_upstreams;
}

std::size_t TcpProxyConnection::pump_to_upstream(Instant now) {
  report::TcpStats& stats = chain_.tcp_stats();
  const std::size_t read = downstream_ == nullptr ? 0 : to_upstream_.read(*downstream_, now);
  info_.bytes_received += read;
  stats.downstream_cx_rx_bytes_total.add(read);
  const std::size_t written = upstream_ == nullptr || state_ != State::kOpen ? 0 : to_upstream_.write(*upstream_, now);
  stats.downstream_cx_rx_bytes_buffered.add(static_cast<std::int64_t>(read) - static_cast<std::int64_t>(written));
  endpoint_->cluster_stats().upstream_cx_tx_bytes_total.add(written);
  return read + written;
}

std::size_t TcpProxyConnection::pump_to_downstream(Instant now) {
  report::TcpStats& stats = chain_.tcp_stats();
  const std::size_t read = upstream_ == nullptr ? 0 : to_downstream_.read(*upstream_, now);
  endpoint_->cluster_stats().upstream_cx_rx_bytes_total.add(read);
  const std::size_t written = downstream_ == nullptr ? 0 : to_downstream_.write(*downstream_, now);
  info_.bytes_sent += written;
  stats.downstream_cx_tx_bytes_total.add(written);
  stats.downstream_cx_tx_bytes_buffered.add(static_cast<std::int64_t>(read) - static_cast<std::int64_t>(written));
  return read + written;
}

void TcpProxyConnection::pump(Instant now) {
  std::size_t moved = 0;
  do {
    moved = pump_to_upstream(now);
    moved += pump_to_downstream(now);
    if (moved > 0) last_progress_ = now;
  } while (moved > 0);
  note_pauses();
  if (is_over(to_upstream_, upstream_, upstream_end_) && is_over(to_downstream_, downstream_, downstream_end_)) complete(now);
}

void TcpProxyConnection::note_pauses() {
  if (to_upstream_.is_full() != downstream_paused_) {
    downstream_paused_ = !downstream_paused_;
    auto& stats = chain_.tcp_stats();
    (downstream_paused_ ? stats.downstream_flow_control_paused_reading_total
                        : stats.downstream_flow_control_resumed_reading_total)
        .add();
  }
  if (to_downstream_.is_full() != upstream_paused_) {
    upstream_paused_ = !upstream_paused_;
    auto& stats = endpoint_->cluster_stats();
    (upstream_paused_ ? stats.upstream_flow_control_paused_reading_total : stats.upstream_flow_control_resumed_reading_total)
        .add();
  }
}

// A graceful end is none as long as there is something to pass on to the other side.
bool TcpProxyConnection::is_lost() const {
  if (is_broken(downstream_, downstream_end_)) return true;
  return state_ == State::kOpen ? is_broken(upstream_, upstream_end_) : downstream_ == nullptr;
}

void TcpProxyConnection::lost(Instant now) {
  const bool by_upstream = state_ == State::kOpen && !is_broken(downstream_, downstream_end_);
  if (!by_upstream) {
    info_.flags.set(ResponseFlag::kDownstreamConnectionTermination);
  } else if (upstream_end_ == stream::CloseReason::kPeerReset) {
    info_.flags.set(ResponseFlag::kUpstreamRemoteReset);
  } else {
    info_.flags.set(ResponseFlag::kUpstreamConnectionTermination);
    info_.upstream_transport_failure = why_upstream_ended();
  }
  if (downstream_ != nullptr) downstream_->reset(now);
  if (upstream_ != nullptr) upstream_->reset(now);
  finish(by_upstream, now);
}

// Both directions are over. What a side that has gone can no longer take is lost, and flagged.
void TcpProxyConnection::complete(Instant now) {
  if (to_downstream_.waiting() > 0) info_.flags.set(ResponseFlag::kDownstreamConnectionTermination);
  if (to_upstream_.waiting() > 0) info_.flags.set(ResponseFlag::kUpstreamConnectionTermination);
  end_sides(now);
  finish(upstream_end_ == stream::CloseReason::kTruncated, now);
}

// There is no endpoint for this client. As with a kernel's socket, what it has sent in vain turns the end into a reset.
void TcpProxyConnection::give_up(Instant now) {
  if (to_upstream_.waiting() > 0 || downstream_->readable() > 0) {
    downstream_->reset(now);
  } else {
    downstream_->close(now);
  }
  finish(false, now);
}

// In an orderly way, unless a side would first have to take what it has not taken so far.
void TcpProxyConnection::end_sides(Instant now) {
  if (downstream_ != nullptr) to_downstream_.waiting() == 0 ? downstream_->close(now) : downstream_->reset(now);
  if (upstream_ != nullptr) to_upstream_.waiting() == 0 ? upstream_->close(now) : upstream_->reset(now);
}

void TcpProxyConnection::abort(Instant now) {
  if (state_ == State::kClosed) return;
  if (downstream_ != nullptr) downstream_->reset(now);
  if (upstream_ != nullptr) upstream_->reset(now);
  info_.flags.set(ResponseFlag::kLocalReset);
  finish(false, now);
}

// Everything is counted and logged exactly once.
void TcpProxyConnection::finish(bool by_upstream, Instant now) {
  count_upstream_end(by_upstream);
  state_ = State::kClosed;
  downstream_ = upstream_ = nullptr;
  timer_.disarm();
  lifetime_.disarm();
  log_timer_.disarm();
  auto& stats = chain_.tcp_stats();
  stats.downstream_cx_rx_bytes_buffered.subtract(static_cast<std::int64_t>(to_upstream_.waiting()));
  stats.downstream_cx_tx_bytes_buffered.subtract(static_cast<std::int64_t>(to_downstream_.waiting()));
  to_upstream_.clear();
  to_downstream_.clear();
  count_.end();
  info_.response_sent = now;  // where %DURATION% ends
  write_access_logs(chain_.tcp().access_logs, info_, runtime_.context);
  runtime_.lay_to_rest(*this, runtime_.dead_tcp_proxies);
}

void TcpProxyConnection::on_timer(Instant now) {
  switch (state_) {
    case State::kChoosing: return wake();
    case State::kConnecting:
      if (connected_ || upstream_ == nullptr || downstream_ == nullptr) return;  // decided in this very turn
      upstream_->reset(now);
      upstream_ = nullptr;
      endpoint_->cluster_stats().upstream_cx_connect_timeout.add();
      return connect_failed(false, {}, now);
    case State::kOpen:
      if (const Instant due = last_progress_ + chain_.tcp().idle_timeout; due > now) {
        runtime_.context.timers.arm(timer_, due);
        return;
      }
      chain_.tcp_stats().idle_timeout.add();
      end_sides(now);
      return finish(false, now);
    case State::kClosed: return;
  }
}

// What has become of the connection so far.
void TcpProxyConnection::on_log_timer(Instant now) {
  write_access_logs(chain_.tcp().access_logs, info_, runtime_.context);
  runtime_.arm_after(log_timer_, now, chain_.tcp().log_interval);
}

void TcpProxyConnection::on_lifetime(Instant now) {
  if (state_ == State::kClosed) return;
  chain_.tcp_stats().max_downstream_connection_duration.add();
  info_.flags.set(ResponseFlag::kDurationTimeout);
  end_sides(now);
  finish(false, now);
}

void TcpProxyConnection::on_connected(stream::ByteStream& stream, Instant now) {
  connected_ = true;
  note_upstream_connected(stream, endpoint_->config(), endpoint_->cluster_stats(), now);
  wake();
}

void TcpProxyConnection::on_readable(stream::ByteStream& stream, Instant now) {
  if (state_ == State::kOpen) {
    if (&stream == downstream_) {
      if (pump_to_upstream(now) > 0) last_progress_ = now;
    } else if (pump_to_downstream(now) > 0) {
      last_progress_ = now;
    }
  }
  wake();
}

void TcpProxyConnection::on_writable(stream::ByteStream&, Instant) { wake(); }

void TcpProxyConnection::on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant) {
  const bool is_downstream = &stream == downstream_;
  if (!is_downstream) upstream_failure_ = note_upstream_closed(stream, connected_, endpoint_->cluster_stats());
  (is_downstream ? downstream_ : upstream_) = nullptr;
  (is_downstream ? downstream_end_ : upstream_end_) = reason;
  if (!is_end(reason)) return wake();
  if (is_downstream) to_upstream_.note_end();
  if (!is_downstream && state_ == State::kOpen) to_downstream_.note_end();  // before, it is an attempt's end
  wake();
}

}  // namespace millrace::proxy
