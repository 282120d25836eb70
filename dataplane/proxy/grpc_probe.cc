#include "dataplane/proxy/grpc_probe.h"

#include "dataplane/proxy/policy/grpc_timeout.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {
namespace {

constexpr CheckResult kFailed{.failure = CheckFailure::kActive};
constexpr std::string_view kGrpc = "application/grpc";

// application/grpc-web is another protocol.
bool is_grpc(std::string_view content_type) {
  return content_type == kGrpc || (content_type.starts_with(kGrpc) && content_type[kGrpc.size()] == '+');
}

}  // namespace

GrpcProbe::GrpcProbe(HealthWatch& watch, const config::Endpoint& endpoint)
    : RequestProbe(watch, endpoint, http::Version::kHttp2) {}

bool GrpcProbe::ask(http::RequestHead& head, const StreamInfo& info) {
  reader_ = {};
  head.method = "POST";
  head.path = "/grpc.health.v1.Health/Check";
  return head.headers.add_reference(http::HeaderId::kContentType, kGrpc) &&
         head.headers.add_reference(http::HeaderId::kTe, "trailers") &&
         head.headers.add_reference(http::HeaderId::kUserAgent, "Envoy/HC") &&
         apply_mutations(settings().metadata, head.headers, info, {.hostname = runtime().context.hostname, .missing = ""}) &&
         set_grpc_timeout(head.headers, watch().settings().timeout);
}

void GrpcProbe::on_response(http::StreamId, http::ResponseHead& head, bool end_stream, Instant) {
  if (end_stream) return finish(kFailed);  // whatever grpc-status says, there is no message
  if (head.status != 200 || !is_grpc(head.headers.value(http::HeaderId::kContentType))) give_up(kFailed);
}

void GrpcProbe::on_response_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant) {
  bool fits = true;
  data.for_each([&](std::span<const std::uint8_t> part) { fits = fits && reader_.read(part); });
  drop(stream, data);
  if (end_stream) return finish(kFailed);  // trailers were to end it
  if (!fits) give_up(kFailed);
}

void GrpcProbe::on_response_trailers(http::StreamId, http::HeaderMap& trailers, Instant) {
  const bool serves = trailers.value(http::HeaderId::kGrpcStatus) == "0" && reader_.is_serving();
  finish(serves ? CheckResult{.success = true} : kFailed);
}

}  // namespace millrace::proxy
