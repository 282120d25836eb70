// A health check over HTTP/1.1: a request, and what its response has to be.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/base/arena.h"
#include "dataplane/http/codec.h"
#include "dataplane/http/http1/client_codec.h"
#include "dataplane/proxy/health/expected_reader.h"
#include "dataplane/proxy/health_probe.h"

namespace millrace::proxy {

class HttpProbe final : public HealthProbe, public http::ClientEvents {
 public:
  HttpProbe(HealthWatch& watch, const config::Endpoint& endpoint);

  // http::ClientEvents
  void on_informational(http::StreamId stream, http::ResponseHead& head, Instant now) override;
  void on_response(http::StreamId stream, http::ResponseHead& head, bool end_stream, Instant now) override;
  void on_response_data(http::StreamId stream, stream::Chain& data, bool end_stream, Instant now) override;
  void on_response_trailers(http::StreamId stream, http::HeaderMap& trailers, Instant now) override;
  void on_stream_reset(http::StreamId stream, http::StreamReset reason, http::ProtocolError error, Instant now) override;
  void on_send_credit(http::StreamId stream, Instant now) override;
  void on_stream_complete(http::StreamId stream, Instant now) override;

 private:
  /// Of the response, while its body comes.
  struct Answer {
    std::uint16_t status = 0;
    bool goes = false;          ///< x-envoy-immediate-health-check-fail
    bool degraded = false;      ///< x-envoy-degraded
    bool right_service = true;  ///< x-envoy-upstream-healthchecked-cluster, where it is asked for
    std::uint64_t body_bytes = 0;
  };

  void say(Instant now) override;
  [[nodiscard]] bool hear(stream::Chain& input, Instant now) override;
  void hear_end(Instant now) override;
  [[nodiscard]] stream::Chain& output() override { return codec_->output(); }
  void on_sent(Instant now) override { codec_->output_drained(now); }
  [[nodiscard]] bool can_go_on() override;
  void forget() override;

  [[nodiscard]] const config::HttpHealthCheck& settings() const {
    return *std::get_if<config::HttpHealthCheck>(&watch().settings().check);
  }
  [[nodiscard]] bool send_request(Instant now);
  void judge();

  Arena arena_;                                    // of a check
  std::optional<http::http1::ClientCodec> codec_;  // while there is a connection
  http::StreamId stream_id_ = 0;                   // 0: none
  stream::Chain body_;                             // of the request, what is not sent yet
  Answer answer_;
  ExpectedReader reader_;
};

}  // namespace millrace::proxy
