// What every transport does, whatever it is made of: the specification of dataplane/stream/byte_stream.h as tests. A transport
// instantiates it with a harness:
//
//   struct Harness {
//     stream::ChainPool& chains();
//     stream::Connector& connector();        // of the client
//     SocketAddress address() const;         // where the server listens
//     SocketAddress refusing_address() const;  // reachable, nobody listens there
//     bool listen(stream::Acceptor& acceptor);
//     Instant now() const;
//     void run(Duration time = ...);         // lets time pass: everything that can happen happens; a second where not given
//     std::size_t open_ends() const;         // streams that are not finished, both sides
//   };
//   INSTANTIATE_TYPED_TEST_SUITE_P(Tcp, ByteStreamContract, Harness);
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/rng.h"
#include "dataplane/stream/byte_stream.h"
#include "tests/support/pipe_recorder.h"

namespace millrace::test {

template <typename Harness>
class ByteStreamContract : public ::testing::Test {
 protected:
  ByteStreamContract() {
    acceptor.on_stream = [this](stream::ByteStream& stream, Instant) { server.use(stream); };
    EXPECT_TRUE(net.listen(acceptor));
  }

  void connect() {
    stream::CloseReason reason{};
    client.stream = net.connector().connect(net.address(), client, reason, net.now());
    ASSERT_NE(client.stream, nullptr);
    net.run();
    ASSERT_EQ(client.connected, 1);
    ASSERT_NE(server.stream, nullptr);
  }

  // Writes all of `text`, going on whenever there is credit again.
  void pump(RecordingUser& from, std::string_view text) {
    for (int rounds = 0; !text.empty() && rounds < 100'000; ++rounds) {
      text.remove_prefix(from.write(text.substr(0, 50'000), net.now()));
      net.run(Duration::milliseconds(50));
    }
    EXPECT_TRUE(text.empty());
  }

  static std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    Rng rng(size);
    for (char& c : text) c = static_cast<char>(rng.below(256));
    return text;
  }

  Harness net;
  RecordingUser client{net.chains()};
  RecordingUser server{net.chains()};
  RecordingAcceptor acceptor;
};

TYPED_TEST_SUITE_P(ByteStreamContract);

TYPED_TEST_P(ByteStreamContract, ConnectsAndKnowsBothAddresses) {
  stream::CloseReason reason{};
  this->client.stream = this->net.connector().connect(this->net.address(), this->client, reason, this->net.now());
  ASSERT_NE(this->client.stream, nullptr);
  EXPECT_EQ(this->client.connected, 0) << "not before connect() has returned";
  EXPECT_EQ(this->client.stream->write_credit(), 0u);
  this->net.run();
  EXPECT_EQ(this->client.connected, 1);
  EXPECT_EQ(this->server.connected, 0) << "not for accepted streams";
  ASSERT_NE(this->server.stream, nullptr);
  EXPECT_GT(this->client.stream->write_credit(), 0u);
  EXPECT_EQ(this->client.stream->peer_address(), this->net.address());
  EXPECT_EQ(this->server.stream->local_address(), this->net.address());
  EXPECT_EQ(this->server.stream->peer_address(), this->client.stream->local_address());
  EXPECT_NE(this->client.stream->local_address().port, 0);
}

TYPED_TEST_P(ByteStreamContract, RefusedConnectionIsClosedAfterConnectReturned) {
  stream::CloseReason reason{};
  this->client.stream = this->net.connector().connect(this->net.refusing_address(), this->client, reason, this->net.now());
  ASSERT_NE(this->client.stream, nullptr);
  EXPECT_FALSE(this->client.closed);
  this->net.run();
  EXPECT_EQ(this->client.closed, stream::CloseReason::kRefused);
  EXPECT_EQ(this->client.connected, 0);
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, BytesArriveInOrderBothWays) {
  this->connect();
  const std::string up = this->pattern(300'000);
  const std::string down = this->pattern(200'001);
  this->pump(this->client, up);
  this->pump(this->server, down);
  this->net.run();
  EXPECT_TRUE(this->server.text() == up);
  EXPECT_TRUE(this->client.text() == down);
}

TYPED_TEST_P(ByteStreamContract, ManySmallWritesArriveInOrder) {
  this->connect();
  std::string all;
  for (int i = 0; i < 3'000; ++i) {
    const std::string part = std::to_string(i) + ",";
    all += part;
    ASSERT_EQ(this->client.write(part, this->net.now()), part.size());
    if (i % 7 == 0) this->net.run(Duration::milliseconds(1));
  }
  this->net.run();
  EXPECT_EQ(this->server.text(), all);
}

TYPED_TEST_P(ByteStreamContract, WriteTakesNoMoreThanItsCredit) {
  this->connect();
  this->server.reads = false;
  stream::Chain chain(this->net.chains());
  ASSERT_TRUE(chain.append_copy(this->pattern(100'000)));
  std::size_t written = 0;
  for (int i = 0; i < 100 && written < 5'000'000; ++i) {
    const std::size_t credit = this->client.stream->write_credit();
    const std::size_t taken = this->client.stream->write(chain, this->net.now());
    EXPECT_LE(taken, credit);
    written += taken;
    if (chain.size() < 50'000) {
      ASSERT_TRUE(chain.append_copy(this->pattern(50'000)));
    }
    this->net.run();
  }
  EXPECT_LT(written, 5'000'000u) << "a reader that does not read holds the writer back";
  EXPECT_LT(this->client.stream->write_credit(), 50'000u);
}

TYPED_TEST_P(ByteStreamContract, WritableFollowsWhenHalfTheBufferIsFreeAgain) {
  this->connect();
  this->server.reads = false;
  const std::size_t buffer = this->client.stream->write_credit();
  const std::string text = this->pattern(100'000);
  std::string sent;
  for (int i = 0; i < 200; ++i) {
    const std::size_t taken = this->client.write(text, this->net.now());
    sent += text.substr(0, taken);
    this->net.run();
    if (taken == 0) break;
  }
  this->client.writable = 0;  // the buffers of the way may have taken some
  for (int i = 0; i < 200 && this->server.stream->readable() > 0; ++i) {
    this->server.read_all(this->net.now());
    this->net.run();
  }
  EXPECT_EQ(this->client.writable, 1);
  EXPECT_GE(this->client.credit_when_writable, buffer / 2);
  EXPECT_TRUE(this->server.text() == sent);
}

TYPED_TEST_P(ByteStreamContract, ReadingInSmallPiecesLosesNothing) {
  this->connect();
  this->server.reads = false;
  const std::string text = this->pattern(400'000);
  std::size_t sent = 0;
  for (int i = 0; i < 100'000 && this->server.received.size() < text.size(); ++i) {
    if (sent < text.size()) sent += this->client.write(std::string_view(text).substr(sent, 30'000), this->net.now());
    this->server.stream->read(this->server.received, 1 + static_cast<std::size_t>(i) * 37 % 3'000, this->net.now());
    this->net.run(Duration::milliseconds(i % 100 == 0 ? 300 : 1));
  }
  EXPECT_TRUE(this->server.text() == text);
}

TYPED_TEST_P(ByteStreamContract, ClientEndsItsSideAndGoesOnReading) {
  this->connect();
  this->client.write("question", this->net.now());
  this->client.stream->shutdown_write(this->net.now());
  this->client.stream->shutdown_write(this->net.now());
  EXPECT_EQ(this->client.stream->write_credit(), 0u);
  this->net.run();
  EXPECT_EQ(this->server.text(), "question");
  EXPECT_TRUE(this->server.stream->read_ended());
  EXPECT_FALSE(this->client.stream->read_ended());
  EXPECT_FALSE(this->server.closed);
  const std::string answer = this->pattern(150'000);
  this->pump(this->server, answer);
  this->server.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_TRUE(this->client.text() == answer);
  EXPECT_EQ(this->client.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->server.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, ServerEndsItsSideAndGoesOnReading) {
  this->connect();
  this->server.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_TRUE(this->client.stream->read_ended());
  EXPECT_FALSE(this->client.closed);
  const std::string text = this->pattern(150'000);
  this->pump(this->client, text);
  this->client.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_TRUE(this->server.text() == text);
  EXPECT_EQ(this->client.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->server.closed, stream::CloseReason::kGraceful);
}

TYPED_TEST_P(ByteStreamContract, BothEndAtOnce) {
  this->connect();
  this->client.write("a", this->net.now());
  this->server.write("b", this->net.now());
  this->client.stream->shutdown_write(this->net.now());
  this->server.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_EQ(this->client.text(), "b");
  EXPECT_EQ(this->server.text(), "a");
  EXPECT_EQ(this->client.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->server.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, GracefulEndIsToldOnlyAfterEverythingWasRead) {
  this->connect();
  this->server.reads = false;
  this->client.write("late reader", this->net.now());
  this->client.stream->shutdown_write(this->net.now());
  this->server.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_FALSE(this->server.closed);
  EXPECT_FALSE(this->server.stream->read_ended());
  EXPECT_EQ(this->server.stream->readable(), 11u);
  this->server.read_all(this->net.now());
  EXPECT_TRUE(this->server.stream->read_ended());
  EXPECT_FALSE(this->server.closed) << "not from inside read()";
  this->net.run();
  EXPECT_EQ(this->server.text(), "late reader");
  EXPECT_EQ(this->server.closed, stream::CloseReason::kGraceful);
}

TYPED_TEST_P(ByteStreamContract, CloseDeliversWhatWasWrittenAndTellsNothingMore) {
  this->connect();
  const std::string text = this->pattern(100'000);
  std::size_t sent = this->client.write(text, this->net.now());
  EXPECT_GT(sent, 0u);
  this->client.stream->close(this->net.now());
  this->server.write("never read by the client", this->net.now());
  this->net.run();
  EXPECT_TRUE(this->server.text() == text.substr(0, sent));
  EXPECT_TRUE(this->server.stream->read_ended());
  EXPECT_EQ(this->client.readable, 0);
  EXPECT_FALSE(this->client.closed);
  this->server.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_EQ(this->server.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, ResetTellsThePeerAndNothingHere) {
  this->connect();
  this->client.write("lost or not", this->net.now());
  this->client.stream->reset(this->net.now());
  this->net.run();
  EXPECT_EQ(this->server.closed, stream::CloseReason::kPeerReset);
  EXPECT_FALSE(this->client.closed);
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, CloseWhileConnecting) {
  stream::CloseReason reason{};
  this->client.stream = this->net.connector().connect(this->net.address(), this->client, reason, this->net.now());
  ASSERT_NE(this->client.stream, nullptr);
  this->client.stream->close(this->net.now());
  this->net.run();
  EXPECT_EQ(this->client.connected, 0);
  EXPECT_FALSE(this->client.closed);
  if (this->server.stream != nullptr) this->server.stream->reset(this->net.now());
  this->net.run();
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, UserMayResetInsideOfAnyEvent) {
  this->connect();
  this->server.when_readable = [&](Instant now) { this->server.stream->reset(now); };
  this->client.write("x", this->net.now());
  this->net.run();
  EXPECT_EQ(this->server.readable, 1);
  EXPECT_FALSE(this->server.closed);
  EXPECT_EQ(this->client.closed, stream::CloseReason::kPeerReset);
  EXPECT_EQ(this->net.open_ends(), 0u);
}

TYPED_TEST_P(ByteStreamContract, AcceptorMayResetOrCloseAtOnce) {
  for (const bool close : {false, true}) {
    RecordingUser user(this->net.chains());
    this->acceptor.on_stream = [&](stream::ByteStream& stream, Instant now) { close ? stream.close(now) : stream.reset(now); };
    stream::CloseReason reason{};
    user.stream = this->net.connector().connect(this->net.address(), user, reason, this->net.now());
    ASSERT_NE(user.stream, nullptr);
    this->net.run();
    if (close) {
      ASSERT_FALSE(user.closed);
      EXPECT_TRUE(user.stream->read_ended());
      user.stream->close(this->net.now());
      this->net.run();
    } else {
      EXPECT_TRUE(user.closed == stream::CloseReason::kPeerReset || user.closed == stream::CloseReason::kRefused);
    }
    EXPECT_EQ(this->net.open_ends(), 0u);
  }
}

// An echo that answers from inside its events, and a client that asks again from inside its own: RecordingUser fails on nesting.
TYPED_TEST_P(ByteStreamContract, CallsFromInsideEventsDoNotNestEvents) {
  this->connect();
  this->server.when_readable = [&](Instant now) { this->server.stream->write(this->server.received, now); };
  int rounds = 0;
  this->client.when_readable = [&](Instant now) {
    if (++rounds < 50) this->client.write("ping", now);
    if (rounds == 50) this->client.stream->shutdown_write(now);
  };
  this->client.write("ping", this->net.now());
  this->net.run(Duration::seconds(5));
  EXPECT_GE(rounds, 50);
  EXPECT_TRUE(this->server.stream->read_ended());
  this->server.stream->shutdown_write(this->net.now());
  this->net.run();
  EXPECT_EQ(this->client.closed, stream::CloseReason::kGraceful);
  EXPECT_EQ(this->server.closed, stream::CloseReason::kGraceful);
}

TYPED_TEST_P(ByteStreamContract, EventsMayBeHandedOn) {
  this->connect();
  RecordingUser heir(this->net.chains());
  heir.use(*this->server.stream);
  this->client.write("for the heir", this->net.now());
  this->net.run();
  EXPECT_EQ(heir.text(), "for the heir");
  EXPECT_EQ(this->server.readable, 0);
  this->client.stream->reset(this->net.now());
  this->net.run();
  EXPECT_EQ(heir.closed, stream::CloseReason::kPeerReset);
}

TYPED_TEST_P(ByteStreamContract, StreamsAreIndependent) {
  std::vector<std::unique_ptr<RecordingUser>> servers;
  this->acceptor.on_stream = [&](stream::ByteStream& stream, Instant) {
    servers.push_back(std::make_unique<RecordingUser>(this->net.chains()));
    servers.back()->use(stream);
  };
  std::vector<std::unique_ptr<RecordingUser>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RecordingUser>(this->net.chains()));
    stream::CloseReason reason{};
    clients.back()->stream = this->net.connector().connect(this->net.address(), *clients.back(), reason, this->net.now());
    ASSERT_NE(clients.back()->stream, nullptr);
    this->net.run();
    clients.back()->write("stream " + std::to_string(i), this->net.now());
  }
  this->net.run();
  ASSERT_EQ(servers.size(), 20u);
  for (std::size_t i = 0; i < servers.size(); ++i) EXPECT_EQ(servers[i]->text(), "stream " + std::to_string(i));
  for (auto& user : clients) user->stream->close(this->net.now());
  for (auto& user : servers) user->stream->close(this->net.now());
  this->net.run();
  EXPECT_EQ(this->net.open_ends(), 0u);
}

REGISTER_TYPED_TEST_SUITE_P(ByteStreamContract, ConnectsAndKnowsBothAddresses, RefusedConnectionIsClosedAfterConnectReturned,
                            BytesArriveInOrderBothWays, ManySmallWritesArriveInOrder, WriteTakesNoMoreThanItsCredit,
                            WritableFollowsWhenHalfTheBufferIsFreeAgain, ReadingInSmallPiecesLosesNothing,
                            ClientEndsItsSideAndGoesOnReading, ServerEndsItsSideAndGoesOnReading, BothEndAtOnce,
                            GracefulEndIsToldOnlyAfterEverythingWasRead, CloseDeliversWhatWasWrittenAndTellsNothingMore,
                            ResetTellsThePeerAndNothingHere, CloseWhileConnecting, UserMayResetInsideOfAnyEvent,
                            AcceptorMayResetOrCloseAtOnce, CallsFromInsideEventsDoNotNestEvents, EventsMayBeHandedOn,
                            StreamsAreIndependent);

}  // namespace millrace::test
