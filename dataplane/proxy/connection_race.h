// One connection to whichever of several addresses answers first: RFC 8305 ("Happy Eyeballs") as Envoy does it. Attempts begin
// one after another, kBetweenAttempts apart, or as soon as the one before has failed; none gives up because another has begun.
// The first that is connected is the connection, the others are reset. What stands above, TLS and all, hears of that one alone.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct Runtime;
class ConnectionPool;

/// As a stream it stands for the connection until there is one. Frees itself.
class ConnectionRace final : public stream::ByteStream, private stream::ByteStreamEvents {
 public:
  static constexpr Duration kBetweenAttempts = Duration::milliseconds(300);

  /// `addresses`: some, in the order in which they are tried. Further attempts count as connections of `endpoint`.
  ConnectionRace(Runtime& runtime, const ConnectionPool& endpoint, std::shared_ptr<const std::vector<SocketAddress>> addresses,
                 stream::ByteStreamEvents& events);

  /// Begins. False: no address can even be tried; `reason` is why.
  [[nodiscard]] bool start(stream::CloseReason& reason, Instant now) { return try_next(reason, now); }

  // stream::ByteStream
  void set_events(stream::ByteStreamEvents& events) override { user_ = &events; }
  [[nodiscard]] std::size_t readable() const override { return 0; }
  std::size_t read(stream::Chain&, std::size_t, Instant) override { return 0; }
  [[nodiscard]] bool read_ended() const override { return false; }
  [[nodiscard]] std::size_t write_credit() const override { return 0; }
  std::size_t write(stream::Chain&, Instant) override { return 0; }
  void shutdown_write(Instant) override { shut_ = true; }
  void close(Instant now) override { reset(now); }
  void reset(Instant now) override;
  [[nodiscard]] SocketAddress local_address() const override { return {}; }
  [[nodiscard]] SocketAddress peer_address() const override { return addresses_->front(); }

 private:
  // stream::ByteStreamEvents, of the attempts
  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream&, Instant) override {}
  void on_writable(stream::ByteStream&, Instant) override {}
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

  [[nodiscard]] bool try_next(stream::CloseReason& reason, Instant now);
  void on_timer(Instant now);
  void fail(stream::CloseReason reason, Instant now);
  void reset_all_but(const stream::ByteStream* winner, Instant now);
  void forget(const stream::ByteStream& attempt);

  Runtime& runtime_;
  const ConnectionPool& endpoint_;
  const std::shared_ptr<const std::vector<SocketAddress>> addresses_;
  stream::ByteStreamEvents* user_;
  std::array<stream::ByteStream*, config::kMostAddresses> attempts_{};  // those that go on are the first running_
  std::size_t running_ = 0;
  std::size_t next_ = 0;  // of addresses_
  bool shut_ = false;     // the user has ended its side already
  Timer timer_;           // the next attempt
};

/// Opens connections to an endpoint, wherever it is found.
class EndpointConnector final : public stream::Connector {
 public:
  EndpointConnector(Runtime& runtime, const ConnectionPool& endpoint) : runtime_(runtime), endpoint_(endpoint) {}

  /// `peer`: where an endpoint without further addresses is.
  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant now) override;

 private:
  Runtime& runtime_;
  const ConnectionPool& endpoint_;
};

}  // namespace millrace::proxy
