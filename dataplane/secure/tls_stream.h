// TLS over any byte stream, itself a byte stream. Events of the transport and calls of the user only take note; the work happens
// in service(), which the layer calls for all that were woken, so that records of many connections are sealed and opened
// together.
//
//   kTransport (being opened) --> kHandshake --> kOpen --> kEnding (what is left goes out) --> kClosed
//
//   transport -> cipher_in_ -> [open] -> plain_in_ -> user
//   user -> plain_out_ -> [seal] -> cipher_out_ -> transport
//
// Who stops whom: nothing is read from the transport while plain_in_ holds kPlainBytes; write_credit() is the transport's, less
// what waits here.
// RFC 8446, RFC 5246. A half-close is close_notify, in both versions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/base/timer_wheel.h"
#include "dataplane/secure/handshake_runner.h"
#include "dataplane/secure/record_io.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::secure {

class TlsLayer;
class SessionCache;
struct WokenTag;
struct StarvedTag;
struct QueuedTag;
struct AllTag;

class TlsStream final : public stream::ByteStream,
                        private stream::ByteStreamEvents,
                        public ListNode<WokenTag>,
                        public ListNode<StarvedTag>,
                        public ListNode<QueuedTag>,
                        public ListNode<AllTag> {
 public:
  /// That wait for the user; four times as many may be pinned by them.
  static constexpr std::size_t kPlainBytes = 64 * 1024;
  /// How long a stream whose user has gone may take to send what is left.
  static constexpr Duration kFlushTimeout = Duration::seconds(30);

  enum class Side : std::uint8_t { kServer, kClient };

  TlsStream(TlsLayer& layer, stream::ByteStreamEvents& events, Side side, SessionCache* sessions);
  ~TlsStream();

  /// For who opens the transport, before use().
  [[nodiscard]] stream::ByteStreamEvents& transport_events() { return *this; }
  /// The transport below, open (a server's) or being opened, and what was read off it already.
  void use(stream::ByteStream& transport, std::shared_ptr<const tls::Context> context, tls::HandshakeOptions options,
           stream::Chain received);

  // stream::ByteStream
  void set_events(stream::ByteStreamEvents& events) override { events_ = &events; }
  [[nodiscard]] std::size_t readable() const override { return plain_in_.size(); }
  std::size_t read(stream::Chain& to, std::size_t limit, Instant now) override;
  [[nodiscard]] bool read_ended() const override { return input_ended_ && plain_in_.empty(); }
  [[nodiscard]] std::size_t write_credit() const override;
  std::size_t write(stream::Chain& from, Instant now) override;
  void shutdown_write(Instant now) override;
  void close(Instant now) override;
  void reset(Instant now) override;
  void set_keep_alive(const KeepAlive& keep_alive, Instant now) override;
  [[nodiscard]] SocketAddress local_address() const override { return local_; }
  [[nodiscard]] SocketAddress peer_address() const override { return peer_; }
  [[nodiscard]] std::shared_ptr<const tls::SessionFacts> session_facts() const override { return facts_; }
  [[nodiscard]] const tls::HandshakeFailure* handshake_failure() const override { return handshake_failure_.get(); }

  // From the layer.
  void service(Instant now);
  /// The step that waits to be run.
  [[nodiscard]] std::unique_ptr<HandshakeStep> take_step();
  void on_handshake_step(std::unique_ptr<HandshakeStep> step, Instant now);
  void on_record_finished(PendingRecord& record, Instant now);
  /// Looks whether the transport has credit again. False: not yet.
  [[nodiscard]] bool try_unblock(Instant now);
  /// Nothing refers to it any more but the layer.
  [[nodiscard]] bool is_dead() const;

 private:
  enum class State : std::uint8_t { kTransport, kHandshake, kOpen, kEnding, kClosed };

  // stream::ByteStreamEvents, of the transport
  void on_replaced(stream::ByteStream& transport) override { transport_ = &transport; }
  void on_connected(stream::ByteStream&, Instant now) override;
  void on_readable(stream::ByteStream&, Instant now) override;
  void on_writable(stream::ByteStream&, Instant now) override;
  void on_closed(stream::ByteStream&, stream::CloseReason reason, Instant now) override;

  void wake();
  void starve(Instant now);
  [[nodiscard]] bool has_credit(Instant now) const;
  [[nodiscard]] bool is_full() const { return plain_in_.size() >= kPlainBytes || plain_in_.charge() >= 4 * kPlainBytes; }
  [[nodiscard]] std::size_t most_cipher_charge() const;
  [[nodiscard]] bool fetch(Instant now);
  void advance_handshake(Instant now);
  [[nodiscard]] bool lacks_hello();
  [[nodiscard]] bool compact_cipher();
  void establish(std::unique_ptr<HandshakeStep> step);
  void keep_sessions(std::vector<std::shared_ptr<tls::ClientSession>> sessions);

  void open_all(Instant now);
  [[nodiscard]] bool open_next(Instant now);
  void wait_for_rest(Instant now);
  void open_with_library(Instant now);
  void take_content(PendingRecord& record, Instant now);
  [[nodiscard]] bool take_text(stream::Chain& text, std::size_t size);
  void take_alert(std::uint8_t level, std::uint8_t number, Instant now);
  void take_handshake_messages(Instant now);
  void take_handshake_message(std::span<const std::uint8_t> message, bool last, Instant now);
  void on_key_update(bool requested, Instant now);

  void seal_all(Instant now);
  void seal_with_library();
  [[nodiscard]] bool change_send_keys(Instant now);
  [[nodiscard]] bool submit_seal(tls::ContentType type, stream::Chain& plain, std::size_t text, Instant now);
  [[nodiscard]] bool submit_control(tls::ContentType type, std::span<const std::uint8_t> text, Instant now);
  void send_alert(std::uint8_t level, tls::Alert alert);
  void collect_sealed();
  void write_out(Instant now);

  void on_truncated(Instant now);
  void on_no_memory(Instant now);
  void fail(tls::Alert alert, Instant now);
  void give_up(stream::CloseReason reason, Instant now);
  void end(stream::CloseReason reason);
  void on_timer(Instant now);
  void deliver(Instant now);
  void count_library_objects();

  TlsLayer& layer_;
  stream::ByteStreamEvents* events_;            // null: the user is gone
  stream::ByteStream* transport_ = nullptr;     // null: gone
  SessionCache* sessions_;                      // a client's; null: none, or the user is gone
  std::unique_ptr<HandshakeStep> step_;         // null: it runs, or is over
  HandshakeStep* running_ = nullptr;            // where it runs
  std::unique_ptr<HandshakeStep> for_tickets_;  // a client's, until the first data came
  std::unique_ptr<tls::LibrarySession> library_;
  std::optional<tls::RecordSealer> sealer_;
  std::optional<tls::RecordOpener> opener_;
  tls::Secret send_secret_;
  tls::Secret receive_secret_;
  std::shared_ptr<const tls::SessionFacts> facts_;
  std::unique_ptr<const tls::HandshakeFailure> handshake_failure_;
  SocketAddress local_;
  SocketAddress peer_;

  stream::Chain cipher_in_;
  stream::Chain plain_in_;
  stream::Chain plain_out_;
  stream::Chain cipher_out_;
  IntrusiveList<PendingRecord, OrderTag> sealing_;  // submitted, in the order of their numbers
  std::vector<std::uint8_t> message_;               // a handshake message that is not complete yet
  std::vector<std::uint8_t> raw_record_;            // that might be a ticket
  std::vector<std::uint8_t> alert_;                 // to be sent
  RecordSizer sizer_;
  Timer timer_;
  std::size_t most_credit_ = 0;    // that was seen
  std::size_t sealing_bytes_ = 0;  // in sealing_
  std::int64_t library_objects_ = 0;
  std::uint32_t idle_records_ = 0;  // that brought no data, in a row
  Instant starved_since_ = Instant::never();
  std::uint32_t renegotiations_ = 0;
  State state_ = State::kTransport;
  std::optional<stream::CloseReason> close_reason_;  // to be told
  std::optional<stream::CloseReason> lost_;          // how the transport ended, when not gracefully
  const bool client_;
  bool begun_ = false;            // a client's first flight is made
  bool transport_ended_ = false;  // it brings nothing more
  bool input_ended_ = false;      // close_notify has come
  bool output_ended_ = false;     // ours is wanted
  bool notify_sent_ = false;
  bool output_shut_ = false;    // the transport knows
  bool opening_ = false;        // a record is with the engine
  bool update_wanted_ = false;  // our keys are to change
  bool update_sent_ = false;    // the peer was told
  bool failed_ = false;         // nothing that the user wrote goes out any more
  bool blocked_ = false;        // the user waits for credit
  bool tell_connected_ = false;
  bool tell_readable_ = false;
};

}  // namespace millrace::secure
