// A user of byte streams that records what it is told, for tests of transports and of what runs over them.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "dataplane/stream/byte_stream.h"

namespace millrace::test {

/// Records what it is told and fails when events are nested or come after the last.
class RecordingUser final : public stream::ByteStreamEvents {
 public:
  explicit RecordingUser(stream::ChainPool& chains) : received(chains) {}

  void use(stream::ByteStream& of) {
    stream = &of;
    of.set_events(*this);
  }

  void on_connected(stream::ByteStream&, Instant now) override {
    const Guard guard(*this);
    ++connected;
    if (when_connected) when_connected(now);
  }
  void on_readable(stream::ByteStream&, Instant now) override {
    const Guard guard(*this);
    ++readable;
    if (reads) read_all(now);
    if (when_readable) when_readable(now);
  }
  void on_writable(stream::ByteStream&, Instant now) override {
    const Guard guard(*this);
    ++writable;
    credit_when_writable = stream->write_credit();
    if (when_writable) when_writable(now);
  }
  void on_closed(stream::ByteStream&, stream::CloseReason reason, Instant now) override {
    const Guard guard(*this);
    closed = reason;
    if (when_closed) when_closed(now);
    stream = nullptr;
  }

  std::size_t read_all(Instant now) { return stream->read(received, stream->readable(), now); }
  [[nodiscard]] std::string text() const {
    std::string out;
    received.for_each(
        [&](std::span<const std::uint8_t> part) { out.append(reinterpret_cast<const char*>(part.data()), part.size()); });
    return out;
  }
  /// Writes `text` as far as there is credit; returns how much went.
  std::size_t write(std::string_view text, Instant now) {
    stream::Chain chain(received.pool());
    EXPECT_TRUE(chain.append_copy(text));
    return stream->write(chain, now);
  }

  stream::ByteStream* stream = nullptr;
  stream::Chain received;
  bool reads = true;
  int connected = 0;
  int readable = 0;
  int writable = 0;
  std::size_t credit_when_writable = 0;
  std::optional<stream::CloseReason> closed;
  std::function<void(Instant)> when_connected, when_readable, when_writable, when_closed;

 private:
  struct Guard {
    explicit Guard(RecordingUser& of) : user(of) {
      EXPECT_FALSE(user.inside_) << "events are nested";
      EXPECT_FALSE(user.closed.has_value()) << "an event after on_closed";
      user.inside_ = true;
    }
    ~Guard() { user.inside_ = false; }
    RecordingUser& user;
  };
  bool inside_ = false;
};

/// Hands each accepted stream to `on_stream`.
class RecordingAcceptor final : public stream::Acceptor {
 public:
  void on_accept(stream::ByteStream& stream, Instant now) override {
    ++accepted;
    on_stream(stream, now);
  }
  int accepted = 0;
  std::function<void(stream::ByteStream&, Instant)> on_stream;
};

}  // namespace millrace::test
