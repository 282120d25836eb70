// TLS over the test pipe: a layer for both sides, a connector and listeners that speak it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "dataplane/base/timer_wheel.h"
#include "dataplane/secure/tls_layer.h"
#include "nic/heap_pool.h"
#include "tests/support/pipe_transport.h"
#include "tls/engines/ipsec_mb_engine.h"

namespace millrace::test {

/// Accepts on the pipe, and hands on what has shaken hands. Failures are kept.
class TlsAcceptor final : public stream::Acceptor {
 public:
  TlsAcceptor(secure::TlsLayer& layer, std::shared_ptr<const tls::Context> context, stream::Acceptor& acceptor)
      : layer_(layer), context_(std::move(context)), acceptor_(acceptor) {}

  void on_accept(stream::ByteStream& transport, Instant) override {
    pending_.push_back(std::make_unique<Pending>(*this));
    stream::Chain nothing(layer_.chains());
    ASSERT_NE(layer_.accept(transport, nothing, context_, *pending_.back()), nullptr);
  }

  std::vector<tls::HandshakeFailure> failures;
  std::vector<stream::CloseReason> ends;

 private:
  struct Pending final : stream::ByteStreamEvents {
    explicit Pending(TlsAcceptor& of) : owner(of) {}
    void on_connected(stream::ByteStream& stream, Instant now) override { owner.acceptor_.on_accept(stream, now); }
    void on_readable(stream::ByteStream&, Instant) override {}
    void on_writable(stream::ByteStream&, Instant) override {}
    void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant) override {
      owner.ends.push_back(reason);
      if (const auto* failure = stream.handshake_failure()) owner.failures.push_back(*failure);
    }
    TlsAcceptor& owner;
  };
  secure::TlsLayer& layer_;
  std::shared_ptr<const tls::Context> context_;
  stream::Acceptor& acceptor_;
  std::vector<std::unique_ptr<Pending>> pending_;
};

class TlsPipe final : public stream::Connector {
 public:
  TlsPipe(std::shared_ptr<const tls::Context> server, std::shared_ptr<const tls::Context> client,
          std::unique_ptr<tls::RecordEngine> records = tls::make_ipsec_mb_engine(), secure::HandshakeRunner* handshakes = nullptr)
      : engine(std::move(records)),
        layer(chains, timers, *engine, handshakes == nullptr ? runner : *handshakes, 10'000),
        server_(std::move(server)),
        client_(std::move(client)) {}
  ~TlsPipe() {
    layer.reset_all(now);
    net.run(now);
  }

  TlsAcceptor& listen(const SocketAddress& address, stream::Acceptor& acceptor) {
    acceptors_.push_back(std::make_unique<TlsAcceptor>(layer, server_, acceptor));
    net.listen(address, *acceptors_.back());
    return *acceptors_.back();
  }
  [[nodiscard]] stream::ByteStream* connect(const SocketAddress& peer, stream::ByteStreamEvents& events,
                                            stream::CloseReason& reason, Instant at) override {
    return layer.connect(net, peer, client_, options, sessions, events, reason, at);
  }
  /// Until nothing moves any more; then time passes.
  void run(Duration time = Duration::seconds(1)) {
    for (bool moved = true; moved;) {
      layer.service(now);
      moved = net.run(now) > 0 || layer.has_work();
    }
    now = now + time;
    timers.advance(now);
  }
  [[nodiscard]] std::size_t open_ends() const { return net.open_ends() + layer.streams(); }

  Instant now = Instant::from_nanoseconds(1'000'000'000);
  nic::HeapPool packets{40'000};
  stream::ChainPool chains{packets, 64, 200'000};
  TimerWheel timers{now};
  PipeNetwork net{chains};
  const std::unique_ptr<tls::RecordEngine> engine;
  secure::InlineHandshakeRunner runner;
  secure::TlsLayer layer;
  secure::SessionCache* sessions = nullptr;
  tls::HandshakeOptions options;

 private:
  std::shared_ptr<const tls::Context> server_;
  std::shared_ptr<const tls::Context> client_;
  std::vector<std::unique_ptr<TlsAcceptor>> acceptors_;
};

}  // namespace millrace::test
