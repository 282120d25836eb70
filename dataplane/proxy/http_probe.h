// A health check over HTTP: a request, and what its response has to be.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/proxy/health/expected_reader.h"
#include "dataplane/proxy/request_probe.h"

namespace millrace::proxy {

class HttpProbe final : public RequestProbe {
 public:
  /// `watch` checks by HTTP.
  HttpProbe(HealthWatch& watch, const config::Endpoint& endpoint);

  // http::ClientEvents
  void on_response(http::StreamId stream, http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_response_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant now) override;
  void on_response_trailers(http::StreamId stream, http::HeaderMap& trailers, Instant now) override;

 private:
  /// Of the response, while its body comes.
  struct Answer {
    std::uint16_t status = 0;
    bool goes = false;          ///< x-envoy-immediate-health-check-fail
    bool degraded = false;      ///< x-envoy-degraded
    bool right_service = true;  ///< x-envoy-upstream-healthchecked-cluster, where it is asked for
    std::uint64_t body_bytes = 0;
  };

  [[nodiscard]] bool ask(http::RequestHead& head, const StreamInfo& info) override;
  [[nodiscard]] std::string_view request_body() const override { return settings().body; }

  [[nodiscard]] const config::HttpHealthCheck& settings() const {
    return *std::get_if<config::HttpHealthCheck>(&watch().settings().check);
  }
  void judge();

  Answer answer_;
  ExpectedReader reader_;
};

}  // namespace millrace::proxy
