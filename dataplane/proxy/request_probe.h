// What health checks that are an HTTP request have in common: the codec of the connection, and the way of request and response
// through it. http_probe.h and grpc_probe.h know what is asked, and what to think of the answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/codec.h"
#include "dataplane/proxy/health_probe.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

class RequestProbe : public HealthProbe, public http::ClientEvents {
 public:
  // http::ClientEvents
  void on_informational(http::StreamId, http::ResponseHead&, Instant) override {}
  void on_stream_reset(http::StreamId stream, http::StreamReset reason, http::ProtocolError error, Instant now) override;
  void on_send_credit(http::StreamId stream, Instant now) override;
  void on_stream_complete(http::StreamId stream, Instant now) override;

 protected:
  RequestProbe(HealthWatch& watch, const config::Endpoint& endpoint, http::Version version);

  /// A check begins: forgets the last one's answer, and fills in `head`, which has authority and scheme already. False: no
  /// memory.
  [[nodiscard]] virtual bool ask(http::RequestHead& head, const StreamInfo& info) = 0;
  /// Behind the head; empty: nothing.
  [[nodiscard]] virtual std::string_view request_body() const = 0;

  /// `data`, of the stream's answer, was looked at.
  void drop(http::StreamId stream, stream::Chain& data);
  /// The check is over, and its answer is not waited for any longer.
  void give_up(const CheckResult& result);

 private:
  void say(Instant now) final;
  [[nodiscard]] bool hear(stream::Chain& input, Instant now) final;
  void hear_end(Instant now) final;
  [[nodiscard]] stream::Chain& output() final { return codec_->output(); }
  void on_sent(Instant now) final { codec_->output_drained(now); }
  [[nodiscard]] bool can_go_on() final;
  void forget() final;
  [[nodiscard]] std::unique_ptr<http::ClientCodec> make_codec();
  [[nodiscard]] bool send_request(Instant now);

  const http::Version version_;
  Arena arena_;                               // of a check
  std::unique_ptr<http::ClientCodec> codec_;  // while there is a connection
  http::StreamId stream_id_ = 0;              // 0: none
  stream::Chain body_;                        // of the request, what is not sent yet
};

}  // namespace millrace::proxy
