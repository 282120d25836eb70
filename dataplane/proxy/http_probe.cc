#include "dataplane/proxy/http_probe.h"

#include <algorithm>
#include <array>

#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

constexpr CheckResult kFailed{.failure = CheckFailure::kNetwork};

http::http1::Settings codec_settings(const config::Cluster& cluster) {
  http::http1::Settings settings;
  settings.max_headers_bytes = std::min<std::size_t>(cluster.http.max_response_headers_bytes, limits::kMaxRequestHeadersBytes);
  settings.max_header_count = std::min<std::size_t>(cluster.http.max_headers_count, limits::kMaxHeaderCount);
  settings.accept_http_10 = true;
  settings.enable_trailers = true;
  return settings;
}

bool in_any(const std::vector<config::StatusRange>& ranges, std::uint16_t status) {
  return std::ranges::any_of(ranges,
                             [&](const config::StatusRange& range) { return range.start <= status && status < range.end; });
}

}  // namespace

HttpProbe::HttpProbe(HealthWatch& watch, const config::Endpoint& endpoint)
    : HealthProbe(watch, endpoint), arena_(watch.runtime().chunks), body_(watch.runtime().context.chains) {}

void HttpProbe::say(Instant now) {
  if (!codec_) codec_.emplace(codec_settings(watch().cluster()), runtime().context.chains, *this);
  answer_ = {};
  reader_.start(settings().receive);
  body_.clear();
  if (!codec_->can_open_stream() || !send_request(now)) finish(kFailed);
}

bool HttpProbe::send_request(Instant now) {
  const config::HttpHealthCheck& request = settings();
  http::RequestHead head(arena_, limits::kMaxHeaderCount);
  head.method = request.method;
  head.scheme = target().tls == nullptr ? "http" : "https";
  head.authority = target().host;
  head.path = request.path;
  StreamInfo info;
  info.start = now;
  info.start_wall_nanoseconds = runtime().wall_nanoseconds(now);
  info.upstream_host = info.upstream_remote = target().address;
  info.upstream_local = stream() == nullptr ? SocketAddress{} : stream()->local_address();
  info.request = &head;
  info.cluster = watch().cluster().name;
  std::array<char, kMaxDecimalBytes> length;
  if (!head.headers.add_reference(http::HeaderId::kUserAgent, "Envoy/HC")) return false;
  for (const std::string& name : request.headers_to_remove) head.headers.remove(name);
  if (!apply_mutations(request.headers_to_add, head.headers, info, {.hostname = runtime().context.hostname, .missing = ""}))
    return false;
  if (!request.body.empty() && !head.headers.set_copy(http::HeaderId::kContentLength, write_decimal(request.body.size(), length)))
    return false;
  stream_id_ = codec_->open_stream(arena_);
  if (!codec_->send_request(stream_id_, head, request.body.empty())) return false;
  if (request.body.empty()) return true;
  return body_.append_copy(request.body) && codec_->send_data(stream_id_, body_, true);
}

bool HttpProbe::hear(stream::Chain& input, Instant now) {
  if (stream_id_ == 0) return false;
  codec_->receive(input, now);
  return true;
}

void HttpProbe::hear_end(Instant now) {
  if (stream_id_ != 0) codec_->end_of_input(now);
}

bool HttpProbe::can_go_on() {
  const bool possible = codec_ && stream_id_ == 0 && codec_->can_open_stream() && codec_->output().empty();
  if (possible) arena_.clear();
  return possible;
}

void HttpProbe::forget() {
  codec_.reset();
  stream_id_ = 0;
  body_.clear();
  arena_.clear();
}

void HttpProbe::on_informational(http::StreamId, http::ResponseHead&, Instant) {}

void HttpProbe::on_response(http::StreamId, http::ResponseHead& head, bool end_stream, Instant) {
  answer_.status = head.status;
  answer_.goes = head.headers.find("x-envoy-immediate-health-check-fail") != nullptr;
  answer_.degraded = head.headers.find("x-envoy-degraded") != nullptr;
  if (const auto& wanted = settings().service_name) {
    const std::string_view name = head.headers.value("x-envoy-upstream-healthchecked-cluster");
    answer_.right_service = matches(*wanted, name, runtime().worker());
  }
  if (end_stream) judge();
}

void HttpProbe::on_response_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant) {
  const std::uint64_t most = settings().most_response_bytes;
  data.for_each([&](std::span<const std::uint8_t> part) {
    const std::uint64_t room = most == 0 ? part.size() : most - std::min(answer_.body_bytes, most);
    reader_.read(part.first(std::min<std::uint64_t>(part.size(), room)));
    answer_.body_bytes += part.size();
  });
  codec_->consumed(stream, data.size());
  data.clear();
  if (end_stream) judge();
}

void HttpProbe::on_response_trailers(http::StreamId, http::HeaderMap&, Instant) { judge(); }

void HttpProbe::judge() {
  if (!reader_.has_all()) return finish({.failure = CheckFailure::kActive, .excludes = answer_.goes});
  if (!in_any(settings().expected, answer_.status)) {
    return finish(
        {.failure = CheckFailure::kActive, .retriable = in_any(settings().retriable, answer_.status), .excludes = answer_.goes});
  }
  if (settings().service_name) watch().checker().count_verification();
  if (!answer_.right_service) return finish({.failure = CheckFailure::kActive});
  finish({.success = true, .degraded = answer_.degraded});
}

void HttpProbe::on_stream_reset(http::StreamId, http::StreamReset, http::ProtocolError, Instant) {
  stream_id_ = 0;
  finish(kFailed);
}

void HttpProbe::on_send_credit(http::StreamId stream, Instant) {
  if (!body_.empty() && !codec_->send_data(stream, body_, true)) finish(kFailed);
}

void HttpProbe::on_stream_complete(http::StreamId, Instant) { stream_id_ = 0; }

}  // namespace millrace::proxy
