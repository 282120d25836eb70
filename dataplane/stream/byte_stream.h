// The contract between a transport (TCP over packets, a TLS session, kernel sockets, a test pipe) and its user (an HTTP codec,
// a TCP proxy): two directions of bytes with credit, half-close each way, an abrupt end with a reason, addresses.
// Every transport passes tests/unit/dataplane/stream/byte_stream_contract.h.
//
// Life: connecting -> open -> (read side ended | write side ended, in any order) -> closed. on_closed() is the last event;
// after it the stream must not be touched. A user that loses interest calls close() or reset(): then no event comes any more
// and the transport finishes by itself (sends what is queued, FIN, TIME-WAIT).
// Events are not nested: a call made from inside an event never calls back before that event has returned, but for reset()
// and close(), after which there are no events at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "dataplane/base/addresses.h"
#include "dataplane/base/keep_alive.h"
#include "dataplane/base/time.h"
#include "dataplane/stream/chain.h"

namespace millrace::tls {
struct HandshakeFailure;
struct SessionFacts;
}  // namespace millrace::tls

namespace millrace::stream {

/// Why a stream ended. Texts and counters: dataplane/stream/close_reason.def.
enum class CloseReason : std::uint8_t {
#define MR_CLOSE_REASON(name, text) name,
#include "dataplane/stream/close_reason.def"
#undef MR_CLOSE_REASON
};
[[nodiscard]] const char* to_text(CloseReason reason);

class ByteStream;

/// Implemented by the user of a stream.
class ByteStreamEvents {
 public:
  /// `stream` takes the place of the one that connect() has returned, which is dead: of several addresses that were tried this
  /// one has answered. on_connected() or on_closed() follows. Only for who connects by way of such a connector.
  virtual void on_replaced(ByteStream&) {}
  /// The handshake of a stream that we opened is complete. Not called for accepted streams.
  virtual void on_connected(ByteStream& stream, Instant now) = 0;
  /// There are new bytes to read, or the peer has ended its side (read_ended() may now be true).
  virtual void on_readable(ByteStream& stream, Instant now) = 0;
  /// write_credit() was too small for what the user last wanted and is at least half the send buffer again.
  virtual void on_writable(ByteStream& stream, Instant now) = 0;
  /// The stream is gone: both sides ended (kGraceful), or reset, timed out, refused. Bytes not read yet are lost except for
  /// kGraceful and kTruncated, which are only reported once everything was read.
  virtual void on_closed(ByteStream& stream, CloseReason reason, Instant now) = 0;

 protected:
  ~ByteStreamEvents() = default;
};

class ByteStream {
 public:
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  /// Who is told. May change at any time (an upgrade hands the stream on).
  virtual void set_events(ByteStreamEvents& events) = 0;

  /// Bytes that can be read now.
  [[nodiscard]] virtual std::size_t readable() const = 0;
  /// Moves up to `limit` bytes to the end of `to` and returns how many; opens the receive window for as much as was pinned.
  /// What is not read stays and holds the peer back: this is the backpressure.
  virtual std::size_t read(Chain& to, std::size_t limit, Instant now) = 0;
  /// The peer has ended its side and everything before that was read.
  [[nodiscard]] virtual bool read_ended() const = 0;

  /// Bytes that write() takes now. 0 until connected, and after shutdown_write().
  [[nodiscard]] virtual std::size_t write_credit() const = 0;
  /// Takes up to write_credit() bytes off the front of `from`, returns how many. If some were left, on_writable() follows.
  virtual std::size_t write(Chain& from, Instant now) = 0;
  /// Ends our side once all that was written is delivered. Reading goes on. Idempotent.
  virtual void shutdown_write(Instant now) = 0;

  /// The user is done: delivers what was written, ends our side, discards what arrives; no more events, the reference is dead.
  virtual void close(Instant now) = 0;
  /// Ends both sides at once (TCP: RST); what is queued is lost; no more events, the reference is dead.
  virtual void reset(Instant now) = 0;

  /// From now on a silent peer is asked whether it is still there, by these numbers instead of the transport's own. A transport
  /// that cannot ask does nothing.
  virtual void set_keep_alive(const KeepAlive&, Instant) {}

  [[nodiscard]] virtual SocketAddress local_address() const = 0;
  [[nodiscard]] virtual SocketAddress peer_address() const = 0;

  /// What TLS has agreed on, and with whom; null: the stream is not protected.
  [[nodiscard]] virtual std::shared_ptr<const tls::SessionFacts> session_facts() const { return nullptr; }
  /// Within on_closed(): why TLS could not be agreed on; null: it was, or nobody tried.
  [[nodiscard]] virtual const tls::HandshakeFailure* handshake_failure() const { return nullptr; }

 protected:
  ByteStream() = default;
  ~ByteStream() = default;
};

/// Told of accepted streams; sets their events before it returns, or closes or resets them.
class Acceptor {
 public:
  virtual void on_accept(ByteStream& stream, Instant now) = 0;

 protected:
  ~Acceptor() = default;
};

/// Opens streams.
class Connector {
 public:
  /// Starts to connect. on_connected() or on_closed() follows, never before connect() has returned. Null, with `reason` set,
  /// when it cannot even start: no route, no free port, out of memory.
  [[nodiscard]] virtual ByteStream* connect(const SocketAddress& peer, ByteStreamEvents& events, CloseReason& reason,
                                            Instant now) = 0;

 protected:
  ~Connector() = default;
};

}  // namespace millrace::stream
