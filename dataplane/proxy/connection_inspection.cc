#include "dataplane/proxy/connection_inspection.h"

#include <utility>

#include "dataplane/proxy/listener_runtime.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

ConnectionInspection::ConnectionInspection(Runtime& runtime, ListenerRuntime& listener, ListenerVersion& version,
                                           stream::ByteStream& stream, ConnectionCount count, Instant now)
    : Serviced(Stage::kDownstream),
      runtime_(runtime),
      listener_(listener),
      version_(version),
      stream_(&stream),
      count_(std::move(count)),
      addresses_(ClientAddresses::of(stream, version.listener().knows_original_dst)),
      received_(runtime.context.chains),
      timer_(Timer::calling<&ConnectionInspection::on_timeout>(*this)) {
  const config::Inspection& wanted = version.listener().inspection;
  if (wanted.proxy_protocol) proxy_.emplace(*wanted.proxy_protocol);
  if (wanted.tls) tls_.emplace(wanted.max_client_hello_bytes);
  if (wanted.http) http_.emplace();
  version_.pin();
  version_.listener_stats().downstream_pre_cx_active.add();
  runtime_.inspections.push_back(*this);
  stream.set_events(*this);
  runtime_.arm_after(timer_, now, wanted.timeout);
}

// The records around a message cost something, a request line behind what was no message some more.
std::size_t ConnectionInspection::most_bytes() const {
  return 2 * std::size_t{version_.listener().inspection.max_client_hello_bytes} + HttpInspector::kMaxLineBytes;
}

void ConnectionInspection::on_readable(stream::ByteStream&, Instant now) {
  take(now);
  runtime_.ready.wake(*this);
}

void ConnectionInspection::on_closed(stream::ByteStream&, stream::CloseReason, Instant) {
  stream_ = nullptr;
  runtime_.ready.wake(*this);
}

void ConnectionInspection::take(Instant now) {
  while (state_ == State::kLooking && stream_->readable() > 0) {
    if (received_.size() >= most_bytes()) {  // records that hold next to nothing
      version_.inspector_stats()->client_hello_too_large.add();
      state_ = State::kRefused;
      return;
    }
    stream::Chain part(runtime_.context.chains);
    if (stream_->read(part, most_bytes() - received_.size(), now) == 0) return;  // out of memory for now
    if (proxy_ && !take_proxy_header(part)) continue;
    look(part);
    if (!keep(part)) state_ = State::kRefused;
  }
}

// True: there was one, or none was needed, and `part` is what comes behind it. False: more has to come, or it is refused.
bool ConnectionInspection::take_proxy_header(stream::Chain& part) {
  using Status = ProxyProtocolReader::Status;
  while (!part.empty() && proxy_->status() == Status::kNeedMore) {
    const std::size_t taken = proxy_->feed(part.front());
    part.remove_prefix(taken);
    if (taken == 0) break;
  }
  if (proxy_->status() == Status::kNeedMore) return false;
  if (proxy_->status() == Status::kAbsent) {  // what it holds comes first
    stream::Chain whole(runtime_.context.chains);
    if (!whole.append_copy(proxy_->held())) {
      state_ = State::kRefused;
      return false;
    }
    whole.append(std::move(part));
    part = std::move(whole);
  }
  settle_proxy_header();
  proxy_.reset();
  return state_ == State::kLooking;
}

void ConnectionInspection::settle_proxy_header() {
  using Status = ProxyProtocolReader::Status;
  const config::ProxyProtocolIn& wanted = *version_.listener().inspection.proxy_protocol;
  report::ProxyProtocolStats& stats = wanted.cell->per_worker[runtime_.worker()];
  report::ProxyVersionStats& version = proxy_->version() == ProxyProtocolReader::Version::kV2 ? stats.v2 : stats.v1;
  switch (proxy_->status()) {
    case Status::kDone:
      version.found.add();
      if (const auto& found = proxy_->addresses()) {
        addresses_.remote = found->source;
        addresses_.local = found->destination;
        addresses_.local_is_original = true;
      }
      proxy_extensions_ = std::move(proxy_->extensions());
      return;
    case Status::kAbsent:
      (wanted.optional ? stats.not_found_allowed : stats.not_found_disallowed).add();
      if (!wanted.optional) state_ = State::kRefused;
      return;
    case Status::kDisallowed: version.disallowed.add(); break;
    case Status::kMalformed: version.error.add(); break;
    case Status::kNeedMore: return;
  }
  state_ = State::kRefused;
}

// Slice by slice, so that small ones are copied together: segments of one byte must not pin a buffer each. False: out of memory.
bool ConnectionInspection::keep(stream::Chain& part) {
  for (auto at = part.cursor(0); at.contiguous() > 0;) {
    if (!received_.append(at.take(at.contiguous()))) return false;
  }
  return true;
}

void ConnectionInspection::look(const stream::Chain& part) {
  if (tls_) {
    part.for_each([this](std::span<const std::uint8_t> bytes) { tls_->feed(bytes); });
    if (tls_->status() == tls::ClientHelloInspector::Status::kNeedMore) return;
    settle_tls();
    // What is not TLS may be HTTP; from the beginning, since nobody has asked that yet.
    if (state_ == State::kLooking && http_) look_for_http(received_);
  }
  if (state_ == State::kLooking) look_for_http(part);
}

void ConnectionInspection::look_for_http(const stream::Chain& part) {
  if (http_) part.for_each([this](std::span<const std::uint8_t> bytes) { http_->feed(bytes); });
  if (!http_ || http_->status() != HttpInspector::Status::kNeedMore) settle_http();
}

void ConnectionInspection::settle_tls() {
  using Status = tls::ClientHelloInspector::Status;
  report::InspectorStats& stats = *version_.inspector_stats();
  const tls::ClientHello& hello = tls_->hello();
  switch (tls_->status()) {
    case Status::kDone:
      is_tls_ = true;
      server_name_ = hello.server_name;
      protocols_ = hello.protocols;
      stats.tls_found.add();
      (server_name_.empty() ? stats.sni_not_found : stats.sni_found).add();
      (protocols_.empty() ? stats.alpn_not_found : stats.alpn_found).add();
      state_ = State::kReady;
      break;
    case Status::kTooLong:
      stats.client_hello_too_large.add();
      state_ = State::kRefused;
      break;
    case Status::kNotTls:
    case Status::kMalformed:  // Envoy, too, passes on as raw bytes what it cannot parse
      stats.tls_not_found.add();
      break;
    case Status::kNeedMore: break;
  }
  tls_.reset();
}

void ConnectionInspection::settle_http() {
  state_ = State::kReady;
  if (!http_) return;
  using Status = HttpInspector::Status;
  report::InspectorStats& stats = *version_.inspector_stats();
  (http_->status() == Status::kHttp10   ? stats.http10_found
   : http_->status() == Status::kHttp11 ? stats.http11_found
   : http_->status() == Status::kHttp2  ? stats.http2_found
                                        : stats.http_not_found)
      .add();
  if (!http_->protocol().empty()) protocols_.emplace_back(http_->protocol());
  http_.reset();
}

void ConnectionInspection::service(Instant now) {
  if (state_ == State::kOver) return;
  if (stream_ == nullptr) return finish();
  if (state_ == State::kReady) return hand_over(now);
  if (state_ == State::kRefused || stream_->read_ended()) close(now);
}

void ConnectionInspection::hand_over(Instant now) {
  stream::ByteStream& stream = *stream_;
  ConnectionCount count = std::move(count_);
  finish();
  listener_.serve({.stream = stream,
                   .received = std::move(received_),
                   .addresses = addresses_,
                   .server_name = std::move(server_name_),
                   .proxy_extensions = std::move(proxy_extensions_),
                   .count = std::move(count)},
                  {.transport_protocol = is_tls_ ? "tls" : "raw_buffer", .application_protocols = protocols_}, now);
}

void ConnectionInspection::on_timeout(Instant) {
  if (state_ != State::kLooking) return;  // decided in this very turn
  version_.listener_stats().downstream_pre_cx_timeout.add();
  state_ = version_.listener().inspection.continue_on_timeout ? State::kReady : State::kRefused;
  if (state_ == State::kReady && proxy_ && !keep_half_a_header()) state_ = State::kRefused;
  runtime_.ready.wake(*this);
}

// What may have been the beginning of a header is the client's, as long as it was not known to be one. False: it was, or no
// memory.
bool ConnectionInspection::keep_half_a_header() {
  return proxy_->version() == ProxyProtocolReader::Version::kNone && received_.append_copy(proxy_->held());
}

void ConnectionInspection::start_drain(Instant now) {
  if (received_.empty() && (!proxy_ || proxy_->held().empty())) close(now);
}

void ConnectionInspection::close(Instant now) {
  if (state_ == State::kOver) return;
  if (stream_ != nullptr) stream_->close(now);
  received_.clear();
  finish();
}

void ConnectionInspection::abort(Instant now) {
  if (state_ == State::kOver) return;
  if (stream_ != nullptr) stream_->reset(now);
  received_.clear();
  finish();
}

void ConnectionInspection::finish() {
  state_ = State::kOver;
  stream_ = nullptr;
  timer_.disarm();
  count_.end();
  version_.listener_stats().downstream_pre_cx_active.subtract();
  version_.unpin();
  runtime_.lay_to_rest(*this, runtime_.dead_inspections);
}

}  // namespace millrace::proxy
