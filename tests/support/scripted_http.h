// A client and an origin that exchange fixed texts, on hosts of the simulated network: for tests that look at single requests.
// The simulator's own programs (tests/simulation/http_program.h) check every byte of thousands.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "dataplane/base/assert.h"
#include "tests/simulation/host.h"

namespace millrace::test {

/// A connection that sends one request text after another and notes the bytes of each answer.
class ScriptedClient final : public stream::ByteStreamEvents {
 public:
  /// `answer_size` is how long each answer is: what ends it.
  ScriptedClient(sim::Host& host, std::string request, std::size_t answer_size)
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

  sim::Host& host_;
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
class ScriptedOrigin final : public stream::Acceptor {
 public:
  ScriptedOrigin(sim::Host& host, const SocketAddress& address, std::string response)
      : host_(host), response_(std::move(response)) {
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
    explicit Connection(ScriptedOrigin& o) : origin(o), in(o.host_.chains()) {}
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
    ScriptedOrigin& origin;
    stream::Chain in;
  };

  sim::Host& host_;
  const std::string response_;
  std::deque<std::unique_ptr<Connection>> connections_;
  std::size_t requests_ = 0;
};

}  // namespace millrace::test
