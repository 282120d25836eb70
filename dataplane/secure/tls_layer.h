// The TLS of one worker: its streams, the engine that seals and opens their records, the runner of their handshakes. The worker
// calls service() after events of transports were delivered and again after the proxy has written. One core only.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>

#include "dataplane/base/pool.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/secure/handshake_runner.h"
#include "dataplane/secure/record_io.h"
#include "dataplane/secure/tls_stream.h"
#include "dataplane/stream/byte_stream.h"
#include "tls/handshake.h"
#include "tls/record_engine.h"

namespace millrace::secure {

struct TlsCounters {
#define MR_TLS_COUNTER(name) std::uint64_t name = 0;
#include "dataplane/secure/tls_counter.def"
#undef MR_TLS_COUNTER
  std::array<std::uint64_t, 256> alerts_sent{};  ///< by number
  std::array<std::uint64_t, 256> alerts_received{};
};

/// Sessions with one server, to resume: the newest first; those of TLS 1.3 are offered once. Kept by who connects there.
class SessionCache {
 public:
  explicit SessionCache(std::size_t most = 4) : most_(most) {}

  void put(std::shared_ptr<tls::ClientSession> session) {
    if (sessions_.size() == most_) sessions_.pop_front();
    sessions_.push_back(std::move(session));
  }
  /// Null: none.
  [[nodiscard]] std::shared_ptr<tls::ClientSession> take() {
    if (sessions_.empty()) return nullptr;
    auto session = sessions_.back();
    if (tls::single_use(*session)) sessions_.pop_back();
    return session;
  }

 private:
  const std::size_t most_;
  std::deque<std::shared_ptr<tls::ClientSession>> sessions_;
};

class TlsLayer {
 public:
  /// Steps of handshakes that the runner has at a time, those included that are to be cleared. Those beyond wait with their
  /// streams, and go with them: a client that says hello and leaves costs nothing more.
  static constexpr std::size_t kMostSteps = 64;

  /// All outlive the layer. At most `limit` streams.
  TlsLayer(stream::ChainPool& chains, TimerWheel& timers, tls::RecordEngine& engine, HandshakeRunner& runner, std::size_t limit);
  /// All streams must be gone: reset_all().
  ~TlsLayer();
  TlsLayer(const TlsLayer&) = delete;
  TlsLayer& operator=(const TlsLayer&) = delete;

  /// A server's side over an open transport, whose events pass to the stream; `received` was read off it already and is taken.
  /// `events` hear on_connected() once the handshake is complete, or on_closed(). Null: no memory; nothing was touched.
  [[nodiscard]] TlsStream* accept(stream::ByteStream& transport, stream::Chain& received,
                                  std::shared_ptr<const tls::Context> context, stream::ByteStreamEvents& events);
  /// A client's side: opens the transport, then shakes hands. As stream::Connector::connect(). `sessions` outlives the stream's
  /// user; null: nothing is resumed.
  [[nodiscard]] TlsStream* connect(stream::Connector& connector, const SocketAddress& peer,
                                   std::shared_ptr<const tls::Context> context, tls::HandshakeOptions options,
                                   SessionCache* sessions, stream::ByteStreamEvents& events, stream::CloseReason& reason,
                                   Instant now);

  /// Everything that there is to do now.
  void service(Instant now) {
    if (submitted_ > 0 || steps_running_ > 0 || !woken_.empty() || !starved_.empty()) serve(now);
  }
  /// Ends every stream at once: the worker stops. Their users hear nothing.
  void reset_all(Instant now);
  /// There is more to do now: service() should be called again, whatever arrives.
  [[nodiscard]] bool has_work() const { return submitted_ > 0 || !woken_.empty() || (steps_running_ > 0 && runner_.runs_here()); }
  /// Something is on its way that nothing will tell of: handshakes elsewhere, credit, memory. service() should look soon.
  [[nodiscard]] bool waits() const { return !starved_.empty() || steps_running_ > 0; }

  [[nodiscard]] stream::ChainPool& chains() { return chains_; }
  [[nodiscard]] const TlsCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t streams() const { return streams_.in_use(); }
  /// Objects of OpenSSL that are alive for handshakes, tickets to come, and records that stay there.
  [[nodiscard]] std::int64_t library_objects() const { return library_objects_; }

 private:
  friend class TlsStream;
  void serve(Instant now);
  /// `first`: of its handshake.
  void start(TlsStream& stream, bool first);
  /// What a step has made goes where it came from. Null: nothing.
  void discard(std::unique_ptr<HandshakeStep> step);
  void start_queued();
  void submit(PendingRecord& record, Instant now);
  void collect(Instant now);
  void serve_starved(Instant now);

  stream::ChainPool& chains_;
  TimerWheel& timers_;
  tls::RecordEngine& engine_;
  HandshakeRunner& runner_;
  Pool<TlsStream> streams_;
  Pool<PendingRecord> records_;
  IntrusiveList<TlsStream, AllTag> all_;
  IntrusiveList<TlsStream, WokenTag> woken_;
  IntrusiveList<TlsStream, WokenTag> dead_;
  IntrusiveList<TlsStream, QueuedTag> begun_;             // their handshakes' next steps wait for others'
  IntrusiveList<TlsStream, QueuedTag> queued_;            // the first ones: behind those, so that few have an object of OpenSSL's
  std::deque<std::unique_ptr<HandshakeStep>> discarded_;  // likewise: before those, they cost little
  IntrusiveList<TlsStream, StarvedTag> starved_;          // wait for credit, and the transport will not tell
  std::deque<PendingRecord*> backlog_;                    // that the engine had no room for
  std::size_t steps_running_ = 0;                         // of handshakes, and discarded ones
  const bool works_at_once_;                              // the engine
  std::size_t submitted_ = 0;                             // records with the engine, or waiting for it
  std::int64_t library_objects_ = 0;
  TlsCounters counters_;
};

}  // namespace millrace::secure
