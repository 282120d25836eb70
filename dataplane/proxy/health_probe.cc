#include "dataplane/proxy/health_probe.h"

#include <utility>
#include <variant>

#include "dataplane/proxy/connection_pool.h"
#include "dataplane/proxy/grpc_probe.h"
#include "dataplane/proxy/http_probe.h"
#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/tcp_probe.h"
#include "dataplane/proxy/upstream_transport.h"
#include "dataplane/secure/tls_layer.h"
#include "tls/context_slot.h"

namespace millrace::proxy {
namespace {

bool same_target(const config::HealthTarget& a, const config::HealthTarget& b) {
  return a.address == b.address && a.host == b.host && same_tls(a.tls.get(), b.tls.get());
}

}  // namespace

std::unique_ptr<HealthProbe> make_health_probe(HealthWatch& watch, const config::Endpoint& endpoint) {
  if (std::holds_alternative<config::TcpHealthCheck>(watch.settings().check)) return std::make_unique<TcpProbe>(watch, endpoint);
  if (std::holds_alternative<config::GrpcHealthCheck>(watch.settings().check))
    return std::make_unique<GrpcProbe>(watch, endpoint);
  return std::make_unique<HttpProbe>(watch, endpoint);
}

HealthProbe::HealthProbe(HealthWatch& watch, const config::Endpoint& endpoint)
    : Serviced(Stage::kUpstream),
      watch_(watch),
      endpoint_(&endpoint),
      interval_(Timer::calling<&HealthProbe::on_interval>(*this)),
      timeout_(Timer::calling<&HealthProbe::on_timeout>(*this)),
      input_(watch.runtime().context.chains) {
  runtime().health_probes.push_back(*this);
}

HealthProbe::~HealthProbe() { MR_ASSERT(stream_ == nullptr); }

void HealthProbe::wake() { runtime().ready.wake(*this); }

void HealthProbe::start(Instant now) { runtime().context.timers.arm(interval_, now + watch_.checker().first_wait()); }

bool HealthProbe::follow(const config::Endpoint& endpoint) {
  if (!same_target(target(), *endpoint.extras().health_target)) return false;
  endpoint_ = &endpoint;
  return true;
}

void HealthProbe::stop(Instant now) {
  interval_.disarm();
  timeout_.disarm();
  checking_ = false;
  result_.reset();
  reset(now);
  static_cast<ListNode<ReadyTag>&>(*this).unlink();
}

void HealthProbe::on_interval(Instant now) {
  watch_.checker().count_attempt();
  checking_ = true;
  said_ = false;
  runtime().context.timers.arm(timeout_, now + watch_.settings().timeout);
  if (stream_ == nullptr) connect(now);
  wake();
}

void HealthProbe::on_timeout(Instant now) {
  reset(now);
  conclude({.failure = CheckFailure::kNetworkTimeout}, now);
}

void HealthProbe::connect(Instant now) {
  ProxyContext& context = runtime().context;
  stream::CloseReason reason{};
  if (target().tls == nullptr) {
    stream_ = context.connector.connect(target().address, *this, reason, now);
  } else {
    tls::HandshakeOptions options;
    options.protocols = watch_.settings().protocols;
    stream_ = context.tls.connect(context.connector, target().address, target().tls->slot->current(), std::move(options), nullptr,
                                  *this, reason, now);
  }
  lost_ = stream_ == nullptr;
}

void HealthProbe::service(Instant now) {
  if (checking_ && connected_ && !said_ && !lost_) {
    said_ = true;
    say(now);
  }
  if (connected_) exchange(now);
  if (peer_ended_ && input_.empty() && !end_heard_) {
    end_heard_ = true;
    hear_end(now);
    lost_ = true;
  }
  if (checking_ && result_) {
    conclude(*result_, now);
  } else if (lost_) {
    disconnect(now);
    if (checking_) conclude({.failure = CheckFailure::kNetwork}, now);
  }
}

// Until nothing moves any more.
void HealthProbe::exchange(Instant now) {
  for (bool moved = true; moved && !lost_;) {
    read_in(now);
    const std::size_t unread = input_.size();
    if (unread > 0 && !hear(input_, now)) lost_ = true;
    moved = input_.size() != unread;
    if (stream_ == nullptr) return;
    if (!output().empty() && stream_->write(output(), now) > 0) moved = true;
    on_sent(now);
  }
}

void HealthProbe::read_in(Instant now) {
  if (stream_ == nullptr) return;
  if (input_.charge() < kInputBytes && stream_->readable() > 0) stream_->read(input_, kInputBytes, now);
  if (stream_->read_ended()) peer_ended_ = true;
}

void HealthProbe::conclude(const CheckResult& result, Instant now) {
  const CheckResult concluded = result;  // it may be ours
  checking_ = false;
  timeout_.disarm();
  result_.reset();
  if (lost_ || !watch_.settings().reuse_connection || !can_go_on()) disconnect(now);
  runtime().context.timers.arm(interval_, now + watch_.conclude(*endpoint_, concluded, now));
}

void HealthProbe::reset(Instant now) {
  if (stream_ != nullptr) stream_->reset(now);
  stream_ = nullptr;
  disconnect(now);
}

void HealthProbe::disconnect(Instant now) {
  if (stream_ != nullptr) stream_->close(now);
  stream_ = nullptr;
  connected_ = lost_ = peer_ended_ = end_heard_ = false;
  input_.clear();
  forget();
}

void HealthProbe::on_connected(stream::ByteStream& stream, Instant now) {
  connected_ = true;
  const config::Cluster& cluster = watch_.cluster();
  note_upstream_connected(stream, cluster, cluster.cell->per_worker[runtime().worker()], now);
  wake();
}

void HealthProbe::on_readable(stream::ByteStream&, Instant now) {
  read_in(now);
  wake();
}

void HealthProbe::on_writable(stream::ByteStream&, Instant) { wake(); }

void HealthProbe::on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant) {
  (void)note_upstream_closed(stream, connected_, watch_.cluster().cell->per_worker[runtime().worker()]);
  stream_ = nullptr;
  if (reason == stream::CloseReason::kGraceful && connected_) {
    peer_ended_ = true;
  } else {
    lost_ = true;
  }
  wake();
}

}  // namespace millrace::proxy
