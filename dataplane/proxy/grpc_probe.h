// A health check over gRPC: grpc.health.v1.Health/Check, whose answer has to be SERVING. As in Envoy every other answer fails at
// once, whatever its grpc-status; only what is no response at all is a failure of the network.
#pragma once

#include <string_view>

#include "dataplane/proxy/health/grpc_answer.h"
#include "dataplane/proxy/request_probe.h"

namespace millrace::proxy {

class GrpcProbe final : public RequestProbe {
 public:
  /// `watch` checks by gRPC.
  GrpcProbe(HealthWatch& watch, const config::Endpoint& endpoint);

  // http::ClientEvents
  void on_response(http::StreamId stream, http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_response_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant now) override;
  void on_response_trailers(http::StreamId stream, http::HeaderMap& trailers, Instant now) override;

 private:
  [[nodiscard]] bool ask(http::RequestHead& head, const StreamInfo& info) override;
  [[nodiscard]] std::string_view request_body() const override { return settings().request; }

  [[nodiscard]] const config::GrpcHealthCheck& settings() const {
    return *std::get_if<config::GrpcHealthCheck>(&watch().settings().check);
  }

  GrpcAnswerReader reader_;
};

}  // namespace millrace::proxy
