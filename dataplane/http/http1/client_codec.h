// The client's side of one HTTP/1 connection (RFC 9112): one request at a time out, its responses in.
//
//  writing:  head -> body -> ended                             reading:  status line -> fields -> body -> trailers -> complete
//              \-> await switch -> body (opaque) or ended                     ^  1xx  |   \-> opaque
//
// A stream is complete when both halves are. The connection can then take the next request unless: the response said so
// (Connection: close, HTTP/1.0 without keep-alive) or ended with the connection; it was complete before the request was; bytes
// followed that belong to no response; start_drain(); a request that broke its promised length, or was reset.
//
// Events (http/codec.h and server_codec.h say more; the rules of re-entrancy are the same):
//  - A response that is complete before the request leaves the stream open until the user has ended or reset the request;
//    wants_close() is true from then on.
//  - open_stream() may be called from inside on_stream_complete(), if can_open_stream() says so.
//  - on_stream_reset(kConnectionEnded): no byte of the response had arrived. kPeerReset: the connection ended inside it.
//  - A request with head.upgrade (or CONNECT) and end_stream false has no send credit until the peer has switched;
//    on_send_credit() says so. If the peer answers otherwise, the request is over.
#pragma once

#include "dataplane/http/codec.h"
#include "dataplane/http/http1/body_decoder.h"
#include "dataplane/http/http1/body_writer.h"
#include "dataplane/http/http1/field_section.h"
#include "dataplane/http/http1/line_reader.h"
#include "dataplane/http/http1/settings.h"

namespace millrace::http::http1 {

class ClientCodec final : public http::ClientCodec {
 public:
  ClientCodec(const Settings& settings, stream::ChainPool& pool, ClientEvents& events);

  void receive(stream::Chain& input, Instant now) override;
  void end_of_input(Instant now) override;
  [[nodiscard]] stream::Chain& output() override { return output_; }
  void output_drained(Instant now) override;

  [[nodiscard]] bool can_open_stream() const override;
  [[nodiscard]] StreamId open_stream(Arena& arena) override;
  [[nodiscard]] std::size_t send_credit(StreamId stream) const override;
  /// False also when method or authority cannot be sent as they are (head_writer.h).
  [[nodiscard]] bool send_request(StreamId stream, const RequestHead& head, bool end_stream) override;
  [[nodiscard]] bool send_data(StreamId stream, stream::Chain& data, bool end_stream) override;
  [[nodiscard]] bool send_trailers(StreamId stream, const HeaderMap& trailers) override;
  void consumed(StreamId stream, std::size_t bytes) override;
  void reset_stream(StreamId stream) override;
  void start_drain() override { draining_ = true; }
  [[nodiscard]] bool wants_close() const override;
  [[nodiscard]] bool output_ended() const override;

  /// Fields of the user that could not be sent (head_writer.h), since the beginning.
  [[nodiscard]] std::uint64_t refused_fields() const { return refused_fields_; }

 private:
  enum class Reading : std::uint8_t { kStatusLine, kFields, kBody, kTrailers, kOpaque, kComplete };
  enum class Writing : std::uint8_t { kHead, kBody, kAwaitSwitch, kEnded };

  bool step(stream::Chain& input, Instant now);
  bool read_status_line(stream::Chain& input, Instant now);
  bool read_fields(stream::Chain& input, Instant now);
  bool accept_head(const stream::Chain& input, Instant now);
  bool deliver_informational(Instant now);
  bool read_body(stream::Chain& input, Instant now);
  bool read_trailers(stream::Chain& input, Instant now);
  bool begin_trailers();
  // The response is complete but for its event; `input` is what lies behind it.
  void complete_reading(const stream::Chain& input);

  bool fail(ProtocolError error, Instant now);
  bool reset(StreamReset reason, ProtocolError error, Instant now);
  void forget_stream();
  void conclude_input(Instant now);
  void settle(Instant now);
  void end_writing();
  void note_credit();

  const Settings settings_;
  ClientEvents& events_;
  stream::Chain output_;
  LineReader lines_;
  FieldSection section_;
  BodyDecoder decoder_;
  BodyWriter writer_;

  // The stream; 0 between requests.
  StreamId stream_ = 0;
  StreamId last_stream_ = 0;
  Arena* arena_ = nullptr;
  ResponseHead* head_ = nullptr;
  HeaderMap* trailers_ = nullptr;
  Reading reading_ = Reading::kStatusLine;
  Writing writing_ = Writing::kHead;
  RequestTraits request_;
  bool asked_to_switch_ = false;  // the request carried Upgrade
  bool close_after_response_ = false;
  bool response_begun_ = false;  // at least one byte of it has arrived
  bool starved_ = false;         // send_credit() was 0: the user waits for on_send_credit()
  std::size_t unconsumed_ = 0;   // body bytes delivered and not consumed(), at most the receive window
  std::size_t informational_ = 0;

  // The connection.
  bool draining_ = false;
  bool closing_ = false;  // takes no further request
  bool input_ended_ = false;
  bool leftover_ = false;  // the last receive() left input
  bool busy_ = false;      // inside receive(), end_of_input() or output_drained()
  std::uint64_t refused_fields_ = 0;
};

}  // namespace millrace::http::http1
