// The client's side of one HTTP/2 connection (RFC 9113) with one stream open at a time: for those who ask rarely, such as health
// checks. Frames and HPACK (RFC 7541) are nghttp2's, whose session is a state machine of bytes too; nobody else sees that
// library.
//
// What the peer can make us hold is bounded: fields by Settings, body by the window, answers to PING and SETTINGS by nghttp2
// (1,000), which allocates from the heap; so this is no codec for connections by the thousand. A peer that breaks the protocol
// gets a GOAWAY, or an RST_STREAM where only its stream is concerned; pushes are declined.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/base/limits.h"
#include "dataplane/http/codec.h"

struct nghttp2_session;

namespace millrace::http::http2 {

struct Settings {
  /// Of one head, as SETTINGS_MAX_HEADER_LIST_SIZE counts: 32 bytes for each field besides its own. Trailers have as much again.
  std::size_t max_headers_bytes = limits::kDefaultRequestHeadersBytes;
  /// Fields of one head; trailers have as many again. At most limits::kMaxHeaderCount.
  std::size_t max_header_count = limits::kDefaultHeaderCount;
  /// Body bytes of one stream that are delivered and not yet consumed(). At most 65,535, the window of a connection.
  std::size_t receive_window_bytes = 65'535;
  /// send_credit() is this less what waits to be sent.
  std::size_t output_limit_bytes = 64 * 1024;
};

class SequentialClient final : public ClientCodec {
 public:
  SequentialClient(const Settings& settings, stream::ChainPool& pool, ClientEvents& events);
  ~SequentialClient() override;

  void receive(stream::Chain& input, Instant now) override;
  void end_of_input(Instant now) override;
  [[nodiscard]] stream::Chain& output() override { return output_; }
  void output_drained(Instant now) override;

  [[nodiscard]] bool can_open_stream() const override;
  [[nodiscard]] StreamId open_stream(Arena& arena) override;
  [[nodiscard]] std::size_t send_credit(StreamId stream) const override;
  /// False also when the head cannot be sent as it is. Fields that no HTTP/2 message has (RFC 9113 8.2.2) are left out.
  [[nodiscard]] bool send_request(StreamId stream, const RequestHead& head, bool end_stream) override;
  [[nodiscard]] bool send_data(StreamId stream, stream::Chain& data, bool end_stream) override;
  [[nodiscard]] bool send_trailers(StreamId stream, const HeaderMap& trailers) override;
  void consumed(StreamId stream, std::size_t bytes) override;
  void reset_stream(StreamId stream) override;
  void start_drain() override;
  [[nodiscard]] bool wants_close() const override;

 private:
  struct Library;  // what speaks to nghttp2
  struct FreeSession {
    void operator()(nghttp2_session* session) const;
  };
  /// How a stream has ended that was not completed.
  struct Failure {
    StreamReset reason = StreamReset::kProtocolError;
    ProtocolError error = ProtocolError::kNone;
  };

  [[nodiscard]] bool is_live(StreamId stream) const { return stream != 0 && stream == stream_; }
  void begin_section();
  void take_field(std::string_view name, std::string_view value);
  void end_section(bool end_stream);
  void take_data(std::span<const std::uint8_t> bytes);
  void end_data();
  void note_goaway(std::uint32_t error_code);
  void fail(Failure failure);

  void go_on_sending();
  void pump_unless_busy();
  void pump();
  void settle(Instant now);
  [[nodiscard]] bool settle_once(Instant now);
  [[nodiscard]] Failure failure_of(std::uint32_t error_code) const;
  void forget_stream();
  void lose();

  const Settings settings_;
  ClientEvents& events_;
  std::unique_ptr<nghttp2_session, FreeSession> session_;
  stream::Chain output_;

  // The stream; 0 between requests.
  StreamId stream_ = 0;
  StreamId last_stream_ = 0;
  std::int32_t wire_stream_ = 0;  // its number in frames; 0: the request is not sent yet
  Arena* arena_ = nullptr;
  ResponseHead* head_ = nullptr;             // being received
  HeaderMap* trailers_ = nullptr;            // being received
  std::size_t section_bytes_ = 0;            // of either
  stream::Chain body_;                       // to be sent
  const HeaderMap* own_trailers_ = nullptr;  // to be sent behind it
  bool body_complete_ = false;               // body_ is all that is left
  bool response_begun_ = false;              // its final head was delivered
  bool response_complete_ = false;
  bool reset_by_peer_ = false;
  bool starved_ = false;  // send_credit() was 0: the user waits for on_send_credit()
  std::size_t unconsumed_ = 0;
  std::size_t informational_ = 0;
  std::optional<std::uint32_t> closed_;  // both sides are over, by this error code; the user does not know yet
  std::optional<Failure> failure_;       // neither does it know of this

  // The connection.
  Instant now_;
  std::size_t continuations_ = 0;  // frames of the present head behind its first
  bool busy_ = false;              // inside receive(), end_of_input() or output_drained()
  bool draining_ = false;          // takes no further request
  bool dead_ = false;              // nothing can be received any more
};

}  // namespace millrace::http::http2
