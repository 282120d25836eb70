#include "dataplane/proxy/http_probe.h"

#include <algorithm>
#include <array>

#include "dataplane/proxy/policy/field_tools.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/policy/route_matcher.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

http::Version version_of(const config::HealthCheck& settings) {
  return std::get_if<config::HttpHealthCheck>(&settings.check)->http2 ? http::Version::kHttp2 : http::Version::kHttp11;
}

bool in_any(const std::vector<config::StatusRange>& ranges, std::uint16_t status) {
  return std::ranges::any_of(ranges,
                             [&](const config::StatusRange& range) { return range.start <= status && status < range.end; });
}

}  // namespace

HttpProbe::HttpProbe(HealthWatch& watch, const config::Endpoint& endpoint)
    : RequestProbe(watch, endpoint, version_of(watch.settings())) {}

bool HttpProbe::ask(http::RequestHead& head, const StreamInfo& info) {
  const config::HttpHealthCheck& request = settings();
  answer_ = {};
  reader_.start(request.receive);
  head.method = request.method;
  head.path = request.path;
  std::array<char, kMaxDecimalBytes> length;
  if (!head.headers.add_reference(http::HeaderId::kUserAgent, "Envoy/HC")) return false;
  for (const std::string& name : request.headers_to_remove) head.headers.remove(name);
  if (!apply_mutations(request.headers_to_add, head.headers, info, {.hostname = runtime().context.hostname, .missing = ""}))
    return false;
  return request.body.empty() ||
         head.headers.set_copy(http::HeaderId::kContentLength, write_decimal(request.body.size(), length));
}

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
  drop(stream, data);
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

}  // namespace millrace::proxy
