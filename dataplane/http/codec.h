// The contract of HTTP codecs: bytes of one connection in, messages of its streams out, and back. Shaped for multiplexed
// streams; HTTP/1 satisfies it with one active stream after another. Sans-I/O: input is a Chain that the connection read from its
// ByteStream, output is a Chain that the connection writes to it. A codec never hears of routes.
// Every codec passes tests/unit/dataplane/http/codec_contract.h.
//
// Flow control, per stream and direction:
//  - receiving: a codec delivers at most `receive_window` body bytes that the user has not consumed(); then it leaves input where
//    it is (HTTP/1) or its peer without window (HTTP/2);
//  - sending: send_credit() says how much body send_data() takes; once it was 0, on_send_credit() tells when there is room.
// Memory: everything of a stream lives in the arena that its user provides and may free it when the stream is gone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/arena.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/stream/chain.h"

namespace millrace::http {

/// Unique within one connection; grows. 0 is no stream.
using StreamId = std::uint32_t;

/// What went wrong in what the peer sent: enum, answer status (server side), counter, text.
enum class ProtocolError : std::uint8_t {
  kNone,
#define MR_PROTOCOL_ERROR(name, status, counter, text) name,
#include "dataplane/http/protocol_error.def"
#undef MR_PROTOCOL_ERROR
};
[[nodiscard]] const char* to_text(ProtocolError error);
/// The status with which a server answers before it closes; 0: close without an answer.
[[nodiscard]] std::uint16_t status_of(ProtocolError error);

enum class StreamReset : std::uint8_t {
  kPeerReset,        ///< the peer reset this stream (HTTP/2), or half-closed before the message was complete
  kRefused,          ///< refused before any processing: safe to try again
  kConnectionEnded,  ///< the connection ended under it
  kProtocolError,    ///< the peer broke the protocol within this stream
  kOutOfMemory,      ///< our pools are exhausted
};

/// Implemented by the user of a server codec (the connection manager).
class ServerEvents {
 public:
  /// A request begins to arrive. Returns the arena for all that belongs to the stream, or null to refuse it: the codec then
  /// ends the connection (HTTP/1: 503) or refuses the stream (HTTP/2). Followed by on_request() or on_request_error().
  virtual Arena* on_stream_begin(StreamId stream, Instant now) = 0;
  /// The head is complete. `head` lives in the arena until the stream is gone; the user may change it.
  virtual void on_request(StreamId stream, RequestHead& head, bool end_stream, Instant now) = 0;
  /// Body bytes, at least one unless end_stream; the user moves them out of `data`. Valid during the call.
  virtual void on_request_data(StreamId stream, stream::Chain& data, bool end_stream, Instant now) = 0;
  /// The trailers; they end the request.
  virtual void on_request_trailers(StreamId stream, HeaderMap& trailers, Instant now) = 0;
  /// The request cannot be completed. If status_of(error) is not 0 and no response has begun, the user answers with it
  /// (the codec closes the connection behind that answer). May come before on_request().
  virtual void on_request_error(StreamId stream, ProtocolError error, Instant now) = 0;
  /// The stream is over before both directions were complete. Its id is dead after the call.
  virtual void on_stream_reset(StreamId stream, StreamReset reason, Instant now) = 0;
  virtual void on_send_credit(StreamId stream, Instant now) = 0;
  /// Both directions are complete and all output is in the output chain. Its id is dead after the call.
  virtual void on_stream_complete(StreamId stream, Instant now) = 0;

 protected:
  ~ServerEvents() = default;
};

/// Implemented by the user of a client codec (an upstream connection of a pool).
class ClientEvents {
 public:
  /// A 1xx other than 101, any number before on_response().
  virtual void on_informational(StreamId stream, ResponseHead& head, Instant now) = 0;
  virtual void on_response(StreamId stream, ResponseHead& head, bool end_stream, Instant now) = 0;
  virtual void on_response_data(StreamId stream, stream::Chain& data, bool end_stream, Instant now) = 0;
  virtual void on_response_trailers(StreamId stream, HeaderMap& trailers, Instant now) = 0;
  /// As for ServerEvents; `error` says more when reason is kProtocolError.
  virtual void on_stream_reset(StreamId stream, StreamReset reason, ProtocolError error, Instant now) = 0;
  virtual void on_send_credit(StreamId stream, Instant now) = 0;
  virtual void on_stream_complete(StreamId stream, Instant now) = 0;

 protected:
  ~ClientEvents() = default;
};

/// What both sides have in common. The owner calls receive() with what it read, then writes output() to the transport.
/// Events come out of receive(), end_of_input() and output_drained() only, never out of a send_ function, and are not nested.
/// From inside an event the user may call everything but these three; it must not destroy the codec. What a call outside of an
/// event makes due (on_stream_complete()) waits for the next output_drained(): call it after sending, whatever was taken.
class Codec {
 public:
  virtual ~Codec() = default;

  /// Consumes what it can of `input`. What it leaves (a stream's window is full; HTTP/1: a pipelined request behind an unfinished
  /// one) it wants to see again, with more behind it, after consumed(), output_drained() or the end of the stream before it;
  /// the owner calls receive() again then.
  virtual void receive(stream::Chain& input, Instant now) = 0;
  /// The peer has ended its side of the transport: completes a message that ends with the connection, resets all others.
  virtual void end_of_input(Instant now) = 0;
  /// What shall go out. The owner takes from the front.
  [[nodiscard]] virtual stream::Chain& output() = 0;
  /// The owner has taken some of output(): streams that ran out of send credit may get on_send_credit().
  virtual void output_drained(Instant now) = 0;

  /// How many body bytes send_data() takes now for this stream.
  [[nodiscard]] virtual std::size_t send_credit(StreamId stream) const = 0;
  /// Moves up to send_credit() bytes from the front of `data`; end_stream takes effect when all of `data` was taken.
  /// False when out of memory: the owner resets the connection.
  [[nodiscard]] virtual bool send_data(StreamId stream, stream::Chain& data, bool end_stream) = 0;
  [[nodiscard]] virtual bool send_trailers(StreamId stream, const HeaderMap& trailers) = 0;
  /// The user has forwarded or dropped that many body bytes of the stream.
  virtual void consumed(StreamId stream, std::size_t bytes) = 0;
  /// We give the stream up. HTTP/1: the connection cannot go on. No more events for the stream, on_stream_complete() included.
  virtual void reset_stream(StreamId stream) = 0;

  /// No new streams: HTTP/1 says Connection: close in its next response, HTTP/2 sends GOAWAY. Idempotent.
  virtual void start_drain() = 0;
  /// The connection is of no use any more: the owner sends what is in output(), then closes the transport.
  [[nodiscard]] virtual bool wants_close() const = 0;
  /// Our side has said all that it will ever say: once output() is sent the owner may end its side of the transport and go on
  /// reading. Differs from wants_close() when an opaque stream is ended by us and not yet by the peer.
  [[nodiscard]] virtual bool output_ended() const { return wants_close(); }
};

class ServerCodec : public Codec {
 public:
  /// `head.version` is ignored. A status of 1xx (not 101) leaves the response open. After 101, or 2xx to CONNECT, the stream
  /// carries opaque bytes both ways until each side ends. A body-less final status or a HEAD request ends with end_stream.
  [[nodiscard]] virtual bool send_response(StreamId stream, const ResponseHead& head, bool end_stream) = 0;
  /// A response has begun, and a peer that saw the transport end before it would know: it has a length, or chunks.
  [[nodiscard]] virtual bool shows_truncation(StreamId stream) const = 0;
};

class ClientCodec : public Codec {
 public:
  /// Whether open_stream() would succeed now. HTTP/1: no stream is open and the connection persists.
  [[nodiscard]] virtual bool can_open_stream() const = 0;
  /// Begins a request. What arrives for it (its ResponseHead) lives in `arena`. 0 when can_open_stream() is false.
  [[nodiscard]] virtual StreamId open_stream(Arena& arena) = 0;
  [[nodiscard]] virtual bool send_request(StreamId stream, const RequestHead& head, bool end_stream) = 0;
};

}  // namespace millrace::http
