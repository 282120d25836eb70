// A host on a simulated link: our own IP and TCP without the proxy, with a scripted HTTP client and origin on top.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/ip/ip_layer.h"
#include "dataplane/tcp/stack.h"
#include "tests/support/sim_port.h"

namespace millrace::test {

class SimHost {
 public:
  SimHost(SimPort& port, nic::PacketPool& pool, IpPrefix address, Instant now)
      : port_(port),
        timers_(now),
        chains_(pool, 1024, 65'536),
        interface_{.mac = port.info().mac, .mtu = 1500, .addresses = {address}},
        ip_(std::span(&interface_, 1), {}, timers_, pool, rng_, now),
        tcp_(ip_, timers_, chains_, rng_, {}) {}

  [[nodiscard]] tcp::Stack& tcp() { return tcp_; }
  [[nodiscard]] stream::ChainPool& chains() { return chains_; }

  bool turn(Instant now) {
    const std::size_t count = port_.receive(0, burst_);
    for (std::size_t i = 0; i < count; ++i) {
      auto received = ip_.receive(std::move(burst_[i]), now);
      if (auto* datagram = std::get_if<ip::Datagram>(&received)) tcp_.on_datagram(std::move(*datagram), now);
    }
    const bool fired = timers_.advance(now) > 0;
    tcp_.flush(now);
    const auto frames = ip_.outgoing(0);
    const std::size_t taken = port_.transmit(0, frames);
    ip_.outgoing_taken(0, taken);
    return count > 0 || fired || taken > 0;
  }

 private:
  SimPort& port_;
  TimerWheel timers_;
  Rng rng_{7};
  stream::ChainPool chains_;
  ip::InterfaceConfig interface_;
  ip::IpLayer ip_;
  tcp::Stack tcp_;
  std::array<nic::Packet, 64> burst_;
};

/// A connection that sends one request text after another and notes the bytes of each answer.
class SimClient final : public stream::ByteStreamEvents {
 public:
  /// `answer_size` is how long each answer is: what ends it.
  SimClient(SimHost& host, std::string request, std::size_t answer_size)
      : host_(host), request_(std::move(request)), answer_size_(answer_size), in_(host.chains()) {}

  void start(const SocketAddress& gateway, std::size_t requests, Instant now) {
    left_ = requests;
    stream::CloseReason reason{};
    stream_ = host_.tcp().connect(gateway, *this, reason, now);
    MR_ASSERT(stream_ != nullptr);
  }
  void close(Instant now) {
    if (stream_ != nullptr) stream_->close(now);
    stream_ = nullptr;
  }
  [[nodiscard]] bool done() const { return left_ == 0; }
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] std::size_t answered() const { return answered_; }
  [[nodiscard]] const std::string& last_answer() const { return answer_; }
  /// Lets the client send `requests` more on the same connection.
  void more(std::size_t requests, Instant now) {
    left_ = requests;
    send(now);
  }

  void on_connected(stream::ByteStream&, Instant now) override { send(now); }
  void on_readable(stream::ByteStream& stream, Instant now) override {
    stream.read(in_, in_.pool().packets().capacity() * 2048, now);
    if (in_.size() < answer_size_) return;
    answer_.resize(in_.size());
    in_.copy_out(0, std::span(reinterpret_cast<std::uint8_t*>(answer_.data()), answer_.size()));
    in_.clear();
    ++answered_;
    if (--left_ > 0) send(now);
  }
  void on_writable(stream::ByteStream&, Instant) override {}
  void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override {
    stream_ = nullptr;
    broken_ = left_ > 0;
  }

 private:
  void send(Instant now) {
    stream::Chain out(host_.chains());
    MR_ASSERT(out.append_copy(request_));
    stream_->write(out, now);
    MR_ASSERT(out.empty());
  }

  SimHost& host_;
  const std::string request_;
  const std::size_t answer_size_;
  stream::Chain in_;
  stream::ByteStream* stream_ = nullptr;
  std::string answer_;
  std::size_t left_ = 0;
  std::size_t answered_ = 0;
  bool broken_ = false;
};

/// Answers every request head with the same response.
class SimOrigin final : public stream::Acceptor {
 public:
  SimOrigin(SimHost& host, const SocketAddress& address, std::string response) : host_(host), response_(std::move(response)) {
    MR_ASSERT(host.tcp().listen(address, *this).has_value());
  }

  void on_accept(stream::ByteStream& stream, Instant) override {
    connections_.push_back(std::make_unique<Connection>(*this));
    stream.set_events(*connections_.back());
  }
  [[nodiscard]] std::size_t accepted() const { return connections_.size(); }
  [[nodiscard]] std::size_t requests() const { return requests_; }

 private:
  struct Connection final : stream::ByteStreamEvents {
    explicit Connection(SimOrigin& o) : origin(o), in(o.host_.chains()) {}
    void on_connected(stream::ByteStream&, Instant) override {}
    void on_readable(stream::ByteStream& stream, Instant now) override {
      stream.read(in, 1 << 20, now);
      std::string text(in.size(), '\0');
      in.copy_out(0, std::span(reinterpret_cast<std::uint8_t*>(text.data()), text.size()));
      std::size_t end = 0;
      std::size_t taken = 0;
      stream::Chain out(origin.host_.chains());
      while ((end = text.find("\r\n\r\n", taken)) != std::string::npos) {
        taken = end + 4;
        ++origin.requests_;
        MR_ASSERT(out.append_copy(origin.response_));
      }
      in.remove_prefix(taken);
      stream.write(out, now);
      MR_ASSERT(out.empty());
      if (stream.read_ended()) stream.close(now);
    }
    void on_writable(stream::ByteStream&, Instant) override {}
    void on_closed(stream::ByteStream&, stream::CloseReason, Instant) override {}
    SimOrigin& origin;
    stream::Chain in;
  };

  SimHost& host_;
  const std::string response_;
  std::deque<std::unique_ptr<Connection>> connections_;
  std::size_t requests_ = 0;
};

}  // namespace millrace::test
