// The server's side of one HTTP/1 connection (RFC 9112): requests in, one active at a time, responses out.
//
//  reading:  idle -> head -> body -> trailers -> complete      writing:  head -> body -> ended
//                      \-> await switch -> opaque or complete
//                      \-> failed (a protocol error; all further input is discarded)
//
// A stream is complete when both halves are; then the next pipelined request is taken from the input. What ends the connection:
// Connection: close, HTTP/1.0 without keep-alive, a response to HTTP/1.0 of unknown length, a protocol error, a reset, a response
// that is complete before its request was (the owner may go on reading for a bounded while, so that the answer is not lost to a
// TCP reset), a body that breaks its promised length, a CONNECT that was refused.
//
// Events (http/codec.h says more):
//  - From inside an event the user may call any send_ function, consumed(), reset_stream() and start_drain(); not receive(),
//    end_of_input() or output_drained(), and it must not destroy the codec. What such a call makes due (on_stream_complete(), the
//    next request) follows after the event has returned. What is due outside of an event waits for the next output_drained(),
//    which the owner therefore calls after sending even if nothing could be written.
//  - on_request_error() is followed by on_stream_reset(kProtocolError) at once when the error has no status or a response has
//    begun; else the user answers, and the stream ends with on_stream_complete().
//  - An Upgrade request (not h2c, no body) arrives with end_stream false. If the user clears head.upgrade inside on_request(), or
//    answers with a final status other than 101, the request's end follows as empty on_request_data().
//  - When the peer ends its side after a complete request, the stream goes on: it may be a half-close.
#pragma once

#include "dataplane/http/codec.h"
#include "dataplane/http/http1/body_decoder.h"
#include "dataplane/http/http1/body_writer.h"
#include "dataplane/http/http1/field_section.h"
#include "dataplane/http/http1/line_reader.h"
#include "dataplane/http/http1/settings.h"

namespace millrace::http::http1 {

class ServerCodec final : public http::ServerCodec {
 public:
  ServerCodec(const Settings& settings, stream::ChainPool& pool, ServerEvents& events);

  void receive(stream::Chain& input, Instant now) override;
  void end_of_input(Instant now) override;
  [[nodiscard]] stream::Chain& output() override { return output_; }
  void output_drained(Instant now) override;

  [[nodiscard]] std::size_t send_credit(StreamId stream) const override;
  [[nodiscard]] bool send_response(StreamId stream, const ResponseHead& head, bool end_stream) override;
  [[nodiscard]] bool send_data(StreamId stream, stream::Chain& data, bool end_stream) override;
  [[nodiscard]] bool send_trailers(StreamId stream, const HeaderMap& trailers) override;
  [[nodiscard]] bool shows_truncation(StreamId stream) const override;
  void consumed(StreamId stream, std::size_t bytes) override;
  void reset_stream(StreamId stream) override;
  void start_drain() override { draining_ = true; }
  [[nodiscard]] bool wants_close() const override;
  [[nodiscard]] bool output_ended() const override;

  /// Fields of the user that could not be sent (head_writer.h), since the beginning.
  [[nodiscard]] std::uint64_t refused_fields() const { return refused_fields_; }

 private:
  enum class Reading : std::uint8_t { kIdle, kRequestLine, kFields, kBody, kTrailers, kAwaitSwitch, kOpaque, kComplete, kFailed };
  enum class Writing : std::uint8_t { kHead, kBody, kEnded };

  // One step of receive(); false when nothing more can be done with this input.
  bool step(stream::Chain& input, Instant now);
  bool skip_empty_lines(stream::Chain& input, Instant now);
  bool begin_stream(Instant now);
  bool read_request_line(stream::Chain& input, Instant now);
  bool read_fields(stream::Chain& input, Instant now);
  bool read_body(stream::Chain& input, Instant now);
  bool read_trailers(stream::Chain& input, Instant now);
  ProtocolError accept_request_line();
  ProtocolError accept_head();
  bool deliver_request(Instant now);

  bool fail(ProtocolError error, Instant now);
  void reset(StreamReset reason, Instant now);
  void forget_stream();
  void conclude_input(Instant now);
  // Delivers what earlier calls have made due.
  void settle(Instant now);
  void end_writing();
  void note_credit();

  const Settings settings_;
  ServerEvents& events_;
  stream::Chain output_;
  LineReader lines_;
  FieldSection section_;
  BodyDecoder decoder_;
  BodyWriter writer_;

  // The stream; 0 between requests.
  StreamId stream_ = 0;
  StreamId last_stream_ = 0;
  Arena* arena_ = nullptr;
  RequestHead* head_ = nullptr;
  HeaderMap* trailers_ = nullptr;
  Reading reading_ = Reading::kIdle;
  Writing writing_ = Writing::kHead;
  RequestTraits request_;
  std::size_t unconsumed_ = 0;   // body bytes delivered and not consumed(), at most the receive window
  std::size_t empty_lines_ = 0;  // before this request line
  bool after_cr_ = false;        // a CR of such a line was taken, its LF was not
  bool declined_ = false;        // the switch that the request asked for does not happen
  bool starved_ = false;         // send_credit() was 0: the user waits for on_send_credit()
  bool close_after_response_ = false;

  // The connection.
  bool draining_ = false;
  bool closing_ = false;  // no further request is read
  bool input_ended_ = false;
  bool leftover_ = false;  // the last receive() left input
  bool busy_ = false;      // inside receive(), end_of_input() or output_drained()
  std::uint64_t refused_fields_ = 0;
};

}  // namespace millrace::http::http1
