// Handshakes on threads beside the worker, with real ones.
#include "dataplane/worker/handshake_threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/support/pipe_recorder.h"
#include "tests/support/test_certificates.h"
#include "tests/support/tls_pipe.h"

namespace millrace::worker {
namespace {

const SocketAddress kServer{IpAddress::v4(192, 0, 2, 80), 443};

std::shared_ptr<const tls::Context> context(tls::Role role) {
  tls::ContextConfig config;
  config.role = role;
  if (role == tls::Role::kServer) {
    const test::Issued leaf = test::Authority("threads").issue();
    config.certificates.push_back({.chain = leaf.certificate, .key = leaf.key, .password = {}, .ocsp_response = {}});
  }
  return *tls::Context::make(config);
}

struct Side {
  explicit Side(secure::HandshakeRunner& runner)
      : pipe(context(tls::Role::kServer), context(tls::Role::kClient), tls::make_ipsec_mb_engine(), &runner) {
    acceptor.on_stream = [this](stream::ByteStream& stream, Instant) {
      servers.push_back(std::make_unique<test::RecordingUser>(pipe.chains));
      servers.back()->use(stream);
    };
    pipe.listen(kServer, acceptor);
  }
  void connect(int count) {
    for (int i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<test::RecordingUser>(pipe.chains));
      stream::CloseReason reason{};
      clients.back()->stream = pipe.connect(kServer, *clients.back(), reason, pipe.now);
    }
  }
  // Until as many clients are connected as there are; virtual time does not pass.
  bool wait() {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (servers.size() < clients.size()) {
      pipe.run(Duration());
      if (std::chrono::steady_clock::now() > limit) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  test::RecordingAcceptor acceptor;
  std::vector<std::unique_ptr<test::RecordingUser>> clients, servers;
  test::TlsPipe pipe;
};

TEST(HandshakeThreads, RunWhatSeveralWorkersOrder) {
  HandshakeThreads threads(2, 2);
  const auto work = [&](std::size_t worker, bool& good) {
    Side side(threads.runner(worker));
    side.connect(20);
    good = side.wait();
    for (auto& client : side.clients) good = good && client->connected == 1;
  };
  bool first = false;
  bool second = false;
  std::thread beside([&] { work(1, second); });
  work(0, first);
  beside.join();
  EXPECT_TRUE(first);
  EXPECT_TRUE(second);
}

TEST(HandshakeThreads, StreamsAndThreadsMayGoWhileHandshakesRun) {
  auto threads = std::make_unique<HandshakeThreads>(1, 1);
  {
    Side side(threads->runner(0));
    side.connect(20);
    side.pipe.run(Duration());
    EXPECT_TRUE(side.pipe.layer.waits());
  }
  threads.reset();
}

}  // namespace
}  // namespace millrace::worker
