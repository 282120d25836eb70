// A whole proxy over pipes, in virtual time: scripted clients and origins that speak raw HTTP/1 text.
//
//   ProxyHarness proxy;                       // one listener, one cluster "origin" with one endpoint, prefix "/" -> "origin"
//   Origin& origin = proxy.origin();          // what the endpoint does
//   Client& client = proxy.connect();
//   client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
//   proxy.run();                              // until nothing moves; proxy.advance(duration) for timeouts
//   EXPECT_THAT(client.received(), StartsWith("HTTP/1.1 200 OK\r\n"));
//   EXPECT_EQ(proxy.log(), "...");            // "code flags details bytes_received bytes_sent" of each request
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/snapshot.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/secure/tls_layer.h"
#include "nic/heap_pool.h"
#include "tests/support/pipe_transport.h"
#include "tests/unit/dataplane/proxy/core/allocation_trap.h"
#include "tls/engines/openssl_engine.h"

namespace millrace::proxy::test {

/// One end of a pipe in the hands of a test.
class Peer : public stream::ByteStreamEvents {
 public:
  Peer(stream::ChainPool& chains, const Instant& now) : out_(chains), in_(chains), now_(now) { received_.reserve(64 * 1024); }
  virtual ~Peer() = default;

  void attach(stream::ByteStream& stream) {
    stream_ = &stream;
    stream.set_events(*this);
  }
  void send(std::string_view text) {
    EXPECT_TRUE(out_.append_copy(text));
    flush();
  }
  void end() {
    ending_ = true;
    flush();
  }
  void reset() {
    if (stream_ != nullptr) stream_->reset(now_);
    stream_ = nullptr;
  }
  void close() {
    if (stream_ != nullptr) stream_->close(now_);
    stream_ = nullptr;
  }
  /// Stops or goes on taking what arrives.
  void set_reading(bool reading) {
    reading_ = reading;
    if (reading && stream_ != nullptr) take();
  }
  /// Everything so far; bodies are counted, not kept, once keep() is off.
  [[nodiscard]] const std::string& received() const { return received_; }
  [[nodiscard]] std::string take_received() { return std::exchange(received_, {}); }
  void clear_received() { received_.clear(); }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool was_reset() const { return reason_ && *reason_ != stream::CloseReason::kGraceful; }
  [[nodiscard]] bool gone() const { return reason_.has_value(); }
  /// Nothing: it is not gone, or the test has ended it itself.
  [[nodiscard]] std::optional<stream::CloseReason> reason() const { return reason_; }
  [[nodiscard]] std::size_t unsent() const { return out_.size(); }
  [[nodiscard]] stream::ByteStream* stream() { return stream_; }

  void on_connected(stream::ByteStream&, Instant) override { flush(); }
  void on_readable(stream::ByteStream&, Instant) override { take(); }
  void on_writable(stream::ByteStream&, Instant) override { flush(); }
  void on_closed(stream::ByteStream&, stream::CloseReason reason, Instant) override {
    stream_ = nullptr;
    reason_ = reason;
  }

 protected:
  virtual void on_bytes() {}

 private:
  void take() {
    if (!reading_ || stream_ == nullptr) return;
    while (stream_->readable() > 0) {
      stream_->read(in_, 1 << 20, now_);
      in_.for_each(
          [&](std::span<const std::uint8_t> part) { received_.append(reinterpret_cast<const char*>(part.data()), part.size()); });
      in_.clear();
    }
    ended_ |= stream_->read_ended();
    on_bytes();
  }
  void flush() {
    if (stream_ == nullptr) return;
    if (!out_.empty()) stream_->write(out_, now_);
    if (ending_ && out_.empty()) stream_->shutdown_write(now_);
  }

  stream::Chain out_;
  stream::Chain in_;
  const Instant& now_;
  stream::ByteStream* stream_ = nullptr;
  std::string received_;
  std::optional<stream::CloseReason> reason_;
  bool reading_ = true;
  bool ended_ = false;
  bool ending_ = false;
};

using Client = Peer;

class Origin;

/// A connection that the gateway opened.
class OriginConnection final : public Peer {
 public:
  OriginConnection(stream::ChainPool& chains, const Instant& now, Origin& origin) : Peer(chains, now), origin_(origin) {}

 private:
  void on_bytes() override;
  Origin& origin_;
};

class Origin final : public stream::Acceptor {
 public:
  Origin(stream::ChainPool& chains, const Instant& now) : chains_(chains), now_(now) {}

  void on_accept(stream::ByteStream& stream, Instant) override {
    connections_.push_back(std::make_unique<OriginConnection>(chains_, now_, *this));
    connections_.back()->attach(stream);
    if (pause_reading_) connections_.back()->set_reading(false);
  }
  /// Answers every complete body-less request with `response`, at once.
  void answer(std::string response) {
    on_bytes_ = [response = std::move(response)](OriginConnection& connection) {
      while (true) {
        const std::size_t end = connection.received().find("\r\n\r\n");
        if (end == std::string::npos) return;
        std::string rest = connection.take_received().substr(end + 4);
        connection.send(response);
        (void)rest;
      }
    };
  }
  void on_bytes(std::function<void(OriginConnection&)> act) { on_bytes_ = std::move(act); }
  void pause_reading() { pause_reading_ = true; }

  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  OriginConnection& connection(std::size_t index = 0) { return *connections_.at(index); }

 private:
  friend class OriginConnection;
  stream::ChainPool& chains_;
  const Instant& now_;
  std::vector<std::unique_ptr<OriginConnection>> connections_;
  std::function<void(OriginConnection&)> on_bytes_;
  bool pause_reading_ = false;
};

inline void OriginConnection::on_bytes() {
  if (origin_.on_bytes_) origin_.on_bytes_(*this);
}

class ProxyHarness {
 public:
  using Change = std::function<void(config::Listener&, config::Cluster&, config::Route&)>;

  /// Cells have room for so many.
  static constexpr std::size_t kWorkers = 2;

  /// `change` edits the configuration before it is applied. `worker`: which of the gateway's it is; those that share anything
  /// share its cells.
  explicit ProxyHarness(const Change& change = {}, ProxyLimits limits = small_limits(), std::uint32_t worker = 0,
                        bool drain_gradually = false);
  ~ProxyHarness();

  static ProxyLimits small_limits() {
    ProxyLimits limits;
    limits.downstream_connections = limits.upstream_connections = limits.streams = 256;
    limits.initial_objects = 16;
    return limits;
  }

  Client& connect();
  Origin& origin() { return *origin_; }
  /// Sends `request` on a new connection, runs, and returns what came back.
  std::string exchange(std::string_view request);

  /// Until nothing moves.
  void run();
  /// Time passes, timers fire in order.
  void advance(Duration duration);
  /// Builds the next snapshot from the present one.
  void reconfigure(const Change& change);
  /// The next snapshots have the present cluster, changed, beside it: it waits for its first health checks.
  void check_first(const Change& change);
  /// It serves in place of the present one, or goes without having served.
  void end_first_checks(bool serve);
  /// The next snapshot has no listener; nobody can connect any more.
  void remove_listener();
  /// The next snapshots have this.
  void set_overload(std::shared_ptr<const config::Overload> overload);
  /// The next snapshots have this cluster, too, as the local one of a gateway in zone `own`.
  void set_local_cluster(std::shared_ptr<config::Cluster> cluster, std::string own);
  /// The next snapshot has one more cluster, with one endpoint.
  report::ClusterStats& add_cluster(std::string name, SocketAddress endpoint);
  /// The next snapshot has one more, whose endpoints are those of `members`.
  report::ClusterStats& add_aggregate(std::string name, std::vector<std::string> members);
  /// The next snapshot does not have what was added last.
  void remove_last_cluster();
  /// From now on upstreams get x-envoy-attempt-count.
  void count_attempts();

  /// The access log since the last call: "code flags details received/sent|" for each request.
  std::string log();

  const config::Cluster& current_cluster() { return *cluster_; }
  report::HttpStats& http() { return http_cell_->per_worker[worker_]; }
  report::ListenerStats& listener_stats() { return listener_->cell->per_worker[worker_]; }
  report::ClusterStats& cluster() { return cluster_->cell->per_worker[worker_]; }
  report::EndpointStats& endpoint() { return cluster_->endpoints[0].cell->per_worker[worker_]; }

  static constexpr SocketAddress kListen{IpAddress::v4(198, 18, 0, 2), 80};
  static constexpr SocketAddress kOrigin{IpAddress::v4(198, 18, 1, 1), 8080};

  Instant now = Instant::from_nanoseconds(1'000'000'000);
  nic::HeapPool packets{20'000};
  stream::ChainPool chains{packets, 1024, 100'000};
  TimerWheel timers{now};
  Rng rng{42};
  ::millrace::test::PipeNetwork net{chains};
  std::unique_ptr<tls::RecordEngine> records = tls::make_openssl_engine();
  secure::InlineHandshakeRunner handshakes;
  secure::TlsLayer tls{chains, timers, *records, handshakes, 1'000};
  report::WorkerReport report{0, 1 << 20};
  std::unique_ptr<Proxy> proxy;

 private:
  [[nodiscard]] static std::shared_ptr<config::Cluster> make_cluster(std::uint32_t id, std::string name, SocketAddress endpoint);
  void publish(bool with_listener = true);

  const std::uint32_t worker_;
  std::shared_ptr<report::HttpCell> http_cell_ = std::make_shared<report::HttpCell>(0, "ingress", kWorkers);
  std::shared_ptr<config::Listener> listener_;
  std::shared_ptr<config::Cluster> checking_;
  std::shared_ptr<config::Cluster> cluster_;
  std::vector<std::shared_ptr<config::Cluster>> more_clusters_;
  std::shared_ptr<config::RouteTable> routes_;
  std::shared_ptr<const config::Overload> overload_;
  std::shared_ptr<config::Cluster> local_cluster_;
  config::LocalityName locality_;
  std::unique_ptr<Origin> origin_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::uint64_t version_ = 0;
};

/// Of a route that forwards.
[[nodiscard]] inline config::ForwardAction& action_of(config::Route& route) {
  return std::get<config::ForwardAction>(route.action);
}
/// "GET path" with Host.
[[nodiscard]] std::string get(std::string_view path = "/", std::string_view fields = "");
/// A response of Content-Length.
[[nodiscard]] std::string ok(std::string_view body, std::string_view fields = "");
/// What follows the head.
[[nodiscard]] std::string body_of(std::string_view message);
/// `size` bytes that tell their place.
[[nodiscard]] std::string pattern(std::size_t size);

}  // namespace millrace::proxy::test
