#include "dataplane/proxy/request_probe.h"

#include <algorithm>

#include "dataplane/http/http1/client_codec.h"
#include "dataplane/http/http2/sequential_client.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

constexpr CheckResult kFailed{.failure = CheckFailure::kNetwork};

struct HeadLimits {
  explicit HeadLimits(const config::Cluster& cluster)
      : bytes(std::min<std::size_t>(cluster.http.max_response_headers_bytes, limits::kMaxRequestHeadersBytes)),
        fields(std::min<std::size_t>(cluster.http.max_headers_count, limits::kMaxHeaderCount)) {}
  std::size_t bytes;
  std::size_t fields;
};

http::http1::Settings http1_settings(const HeadLimits& head) {
  http::http1::Settings settings;
  settings.max_headers_bytes = head.bytes;
  settings.max_header_count = head.fields;
  settings.accept_http_10 = true;
  settings.enable_trailers = true;
  return settings;
}

http::http2::Settings http2_settings(const HeadLimits& head) {
  http::http2::Settings settings;
  settings.max_headers_bytes = head.bytes;
  settings.max_header_count = head.fields;
  return settings;
}

}  // namespace

RequestProbe::RequestProbe(HealthWatch& watch, const config::Endpoint& endpoint, http::Version version)
    : HealthProbe(watch, endpoint), version_(version), arena_(watch.runtime().chunks), body_(watch.runtime().context.chains) {}

std::unique_ptr<http::ClientCodec> RequestProbe::make_codec() {
  const HeadLimits head(watch().cluster());
  stream::ChainPool& chains = runtime().context.chains;
  if (version_ == http::Version::kHttp2)
    return std::make_unique<http::http2::SequentialClient>(http2_settings(head), chains, *this);
  return std::make_unique<http::http1::ClientCodec>(http1_settings(head), chains, *this);
}

void RequestProbe::say(Instant now) {
  if (!codec_) codec_ = make_codec();
  body_.clear();
  if (!codec_->can_open_stream() || !send_request(now)) finish(kFailed);
}

bool RequestProbe::send_request(Instant now) {
  http::RequestHead head(arena_, limits::kMaxHeaderCount);
  head.scheme = target().tls == nullptr ? "http" : "https";
  head.authority = target().host;
  StreamInfo info;
  info.start = now;
  info.start_wall_nanoseconds = runtime().wall_nanoseconds(now);
  info.upstream_host = info.upstream_remote = target().address;
  info.upstream_pipe = target().pipe;
  info.upstream_local = stream() == nullptr ? SocketAddress{} : stream()->local_address();
  info.request = &head;
  info.cluster = watch().cluster().name;
  if (!ask(head, info)) return false;
  const std::string_view body = request_body();
  stream_id_ = codec_->open_stream(arena_);
  if (!codec_->send_request(stream_id_, head, body.empty())) return false;
  if (body.empty()) return true;
  return body_.append_copy(body) && codec_->send_data(stream_id_, body_, true);
}

bool RequestProbe::hear(stream::Chain& input, Instant now) {
  if (!codec_) return false;
  codec_->receive(input, now);
  return stream_id_ != 0 || !codec_->wants_close();
}

void RequestProbe::hear_end(Instant now) {
  if (stream_id_ != 0) codec_->end_of_input(now);
}

bool RequestProbe::can_go_on() {
  const bool possible = codec_ && stream_id_ == 0 && codec_->can_open_stream() && codec_->output().empty();
  if (possible) arena_.clear();
  return possible;
}

void RequestProbe::forget() {
  codec_.reset();
  stream_id_ = 0;
  body_.clear();
  arena_.clear();
}

void RequestProbe::drop(http::StreamId stream, stream::Chain& data) {
  codec_->consumed(stream, data.size());
  data.clear();
}

void RequestProbe::give_up(const CheckResult& result) {
  finish(result);
  codec_->reset_stream(stream_id_);
  stream_id_ = 0;
}

void RequestProbe::on_stream_reset(http::StreamId, http::StreamReset, http::ProtocolError, Instant) {
  stream_id_ = 0;
  finish(kFailed);
}

void RequestProbe::on_send_credit(http::StreamId stream, Instant) {
  if (!body_.empty() && !codec_->send_data(stream, body_, true)) finish(kFailed);
}

void RequestProbe::on_stream_complete(http::StreamId, Instant) { stream_id_ = 0; }

}  // namespace millrace::proxy
