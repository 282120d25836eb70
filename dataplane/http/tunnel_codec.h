// The client's side of a connection that carries the bytes of one tunnel and nothing else: the upstream of a CONNECT that ends at
// the gateway (RFC 9110 9.3.6). Nothing is said before the first byte of either side; that the connection stands is the answer,
// 200. Each direction ends by itself. The contract is that of http/codec.h.
#pragma once

#include "dataplane/http/codec.h"

namespace millrace::http {

class TunnelCodec final : public ClientCodec {
 public:
  struct Settings {
    std::size_t receive_window_bytes;  ///< delivered and not consumed(), at the most
    std::size_t output_limit_bytes;
    std::size_t max_header_count;  ///< what the user may add to the answer's fields
  };
  TunnelCodec(const Settings& settings, stream::ChainPool& pool, ClientEvents& events);

  void receive(stream::Chain& input, Instant now) override;
  void end_of_input(Instant now) override;
  [[nodiscard]] stream::Chain& output() override { return output_; }
  void output_drained(Instant now) override;

  /// One stream, once.
  [[nodiscard]] bool can_open_stream() const override { return state_ == State::kUnused && !draining_ && !input_ended_; }
  [[nodiscard]] StreamId open_stream(Arena& arena) override;
  [[nodiscard]] std::size_t send_credit(StreamId stream) const override;
  /// The head stays here: it is the gateway's.
  [[nodiscard]] bool send_request(StreamId stream, const RequestHead& head, bool end_stream) override;
  [[nodiscard]] bool send_data(StreamId stream, stream::Chain& data, bool end_stream) override;
  /// A tunnel has no trailers: they are dropped, as end_stream.
  [[nodiscard]] bool send_trailers(StreamId stream, const HeaderMap& trailers) override;
  void consumed(StreamId stream, std::size_t bytes) override;
  void reset_stream(StreamId stream) override;
  void start_drain() override { draining_ = true; }
  [[nodiscard]] bool wants_close() const override;
  [[nodiscard]] bool output_ended() const override { return sent_all_ || wants_close(); }

 private:
  //   kUnused --open_stream()--> kOpened --send_request()--> kAsked --output_drained(): 200--> kStands --> kOver
  enum class State : std::uint8_t { kUnused, kOpened, kAsked, kStands, kOver };
  static constexpr StreamId kStream = 1;

  void answer(Instant now);
  void fail(Instant now);
  void deliver(stream::Chain& data, bool end_stream, Instant now);
  void settle(Instant now);

  const Settings settings_;
  ClientEvents& events_;
  stream::Chain output_;
  Arena* arena_ = nullptr;
  State state_ = State::kUnused;
  std::size_t unconsumed_ = 0;
  bool draining_ = false;
  bool input_ended_ = false;
  bool leftover_ = false;  // the last receive() left input
  bool received_all_ = false;
  bool sent_all_ = false;
  bool starved_ = false;  // send_credit() was 0: the user waits for on_send_credit()
};

}  // namespace millrace::http
