// Streams and listeners of the host transport, on a kernel that does what the test says.
#include "dataplane/host/transport.h"

#include <gtest/gtest.h>

#include "nic/heap_pool.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/heap_trap.h"
#include "tests/support/pipe_recorder.h"
#include "tests/support/slab_pool.h"

namespace millrace::host {
namespace {

using stream::CloseReason;
using test::FakeKernel;
using test::RecordingUser;

const SocketAddress kServer{IpAddress::v4(127, 0, 0, 1), 80};

class HostTransport : public ::testing::Test {
 protected:
  explicit HostTransport(std::size_t most_streams = 64) : transport(kernel, timers, chains, most_streams) {
    acceptor.on_stream = [this](stream::ByteStream& stream, Instant) { server.use(stream); };
  }

  void turn(Duration time = Transport::kAskInterval) {
    now = now + time;
    transport.receive(now);
    timers.advance(now);
    transport.deliver_events(now);
    transport.flush(now);
  }

  // A client's stream that is connected; returns its socket.
  int connect(RecordingUser& user) {
    CloseReason reason{};
    user.stream = transport.connect(kServer, user, reason, now);
    EXPECT_NE(user.stream, nullptr);
    const int socket = kernel.last();
    kernel.connected(socket);
    turn();
    EXPECT_EQ(user.connected, 1);
    return socket;
  }

  FakeKernel kernel;
  test::SlabPool packets{1'024};
  stream::ChainPool chains{packets, 1'024, 8'192};
  Instant now = Instant::from_nanoseconds(1'000'000'000);
  TimerWheel timers{now};
  Transport transport;
  RecordingUser client{chains};
  RecordingUser server{chains};
  test::RecordingAcceptor acceptor;
};

TEST_F(HostTransport, TellsWhyAConnectFailed) {
  const std::pair<int, CloseReason> known[] = {{ECONNREFUSED, CloseReason::kRefused}, {ENOENT, CloseReason::kRefused},
                                               {EAGAIN, CloseReason::kRefused},       {ETIMEDOUT, CloseReason::kTimeout},
                                               {EACCES, CloseReason::kUnreachable},   {EHOSTUNREACH, CloseReason::kUnreachable},
                                               {ENETUNREACH, CloseReason::kNoRoute}};
  for (const auto& [error, expected] : known) {
    RecordingUser at_once(chains);
    RecordingUser later(chains);
    CloseReason reason{};
    kernel.next_connect_error = error;
    at_once.stream = transport.connect(kServer, at_once, reason, now);
    ASSERT_NE(at_once.stream, nullptr);
    EXPECT_FALSE(at_once.closed) << "not before connect() has returned";
    kernel.next_connect_error = 0;
    later.stream = transport.connect(kServer, later, reason, now);
    kernel.connected(kernel.last(), error);
    turn();
    EXPECT_EQ(at_once.closed, expected) << std::strerror(error);
    EXPECT_EQ(later.closed, expected) << std::strerror(error);
  }
  EXPECT_EQ(transport.streams(), 0u);
  EXPECT_EQ(transport.counters().connect_failures, 2 * std::size(known));
}

TEST_F(HostTransport, CannotStartToConnectWithoutADescriptorOrAPort) {
  const std::pair<int, CloseReason> known[] = {
      {EMFILE, CloseReason::kNoMemory}, {ENFILE, CloseReason::kNoMemory}, {EADDRNOTAVAIL, CloseReason::kNoPort}};
  for (const auto& [error, expected] : known) {
    kernel.next_connect_error = error;
    CloseReason reason{};
    EXPECT_EQ(transport.connect(kServer, client, reason, now), nullptr);
    EXPECT_EQ(reason, expected);
  }
}

TEST_F(HostTransport, ConnectsToUnixSocketsThatItKnows) {
  const SocketAddress pipe = SocketAddress::of_pipe("/run/origin.sock");
  CloseReason reason{};
  EXPECT_EQ(transport.connect(pipe, client, reason, now), nullptr);
  EXPECT_EQ(reason, CloseReason::kNoRoute);
  transport.know_pipe("/run/origin.sock");
  client.stream = transport.connect(pipe, client, reason, now);
  ASSERT_NE(client.stream, nullptr);
  EXPECT_EQ(client.stream->peer_address(), pipe);
}

TEST_F(HostTransport, WritesOnWhereTheKernelHasStopped) {
  const int socket = connect(client);
  kernel[socket].room = 3'000;
  const std::string text(5'000, 'x');
  EXPECT_EQ(client.write(text, now), text.size());
  turn();
  EXPECT_EQ(kernel[socket].written.size(), 3'000u);
  turn();
  EXPECT_EQ(kernel[socket].written.size(), 3'000u) << "not asked again before there is room";
  EXPECT_TRUE(transport.has_unsent());
  kernel.make_room(socket, 10'000);
  turn();
  EXPECT_EQ(kernel[socket].written, text);
  EXPECT_FALSE(transport.has_unsent());
}

TEST_F(HostTransport, OurSideEndsBehindWhatWasWritten) {
  const int socket = connect(client);
  kernel[socket].room = 1;
  client.write("two", now);
  client.stream->shutdown_write(now);
  turn();
  EXPECT_FALSE(kernel[socket].shut);
  kernel.make_room(socket, 10);
  turn();
  EXPECT_EQ(kernel[socket].written, "two");
  EXPECT_TRUE(kernel[socket].shut);
}

TEST_F(HostTransport, WhatAPeerSaidBeforeItWentIsRead) {
  const int socket = connect(client);
  kernel[socket].incoming = "413";  // there before anybody was told
  client.stream->write_credit();
  kernel[socket].write_error = EPIPE;
  kernel[socket].news.readable = kernel[socket].news.ended = true;
  client.write("a body that nobody wants", now);
  turn();
  EXPECT_EQ(client.text(), "413");
  EXPECT_EQ(client.closed, CloseReason::kPeerReset);
  EXPECT_TRUE(kernel[socket].closed);
}

TEST_F(HostTransport, ReadsNoFurtherAheadThanItsLimit) {
  const int socket = connect(client);
  client.reads = false;
  kernel.arrive(socket, std::string(1'000'000, 'x'));
  for (int i = 0; i < 10; ++i) turn();
  EXPECT_GE(client.stream->readable(), Transport::kReceiveBytes / 2);
  EXPECT_LE(client.stream->readable(), 2 * Transport::kReceiveBytes);
  EXPECT_FALSE(transport.has_work()) << "who does not read costs nothing";
  client.read_all(now);
  EXPECT_TRUE(transport.has_work());
  turn();
  EXPECT_GT(client.stream->readable(), 0u);
  client.stream->reset(now);
  turn();
}

TEST_F(HostTransport, AResetIsToldToAUserThatDoesNotRead) {
  const int socket = connect(client);
  client.reads = false;
  kernel.arrive(socket, std::string(1'000'000, 'x'));
  turn();
  kernel.reset(socket);
  turn();
  EXPECT_EQ(client.closed, CloseReason::kPeerReset);
  EXPECT_EQ(transport.streams(), 0u);
}

TEST_F(HostTransport, AnEndBehindAShortReadIsSeen) {
  const int socket = connect(client);
  kernel.arrive(socket, "last words");
  kernel.end(socket);  // one event for both
  turn();
  EXPECT_EQ(client.text(), "last words");
  EXPECT_TRUE(client.stream->read_ended());
}

TEST_F(HostTransport, WithoutPacketBuffersItReadsLater) {
  const int socket = connect(client);
  std::vector<nic::Packet> hoard;
  for (nic::Packet packet = packets.allocate(); packet; packet = packets.allocate()) hoard.push_back(std::move(packet));
  kernel.arrive(socket, "patience");
  turn();
  EXPECT_EQ(client.readable, 0);
  EXPECT_FALSE(transport.has_work()) << "it does not ask for buffers at each turn";
  hoard.clear();
  turn(Transport::kRetryInterval * 2);
  turn();
  EXPECT_EQ(client.text(), "patience");
}

TEST_F(HostTransport, WithoutDescriptorsItDoesNotAskForConnectionsAtEachTurn) {
  ASSERT_TRUE(transport.listen({.address = kServer}, acceptor, now));
  kernel.waiting_connections = 1;
  kernel.next_accept_error = EMFILE;
  for (int i = 0; i < 20; ++i) turn();
  EXPECT_EQ(kernel.accepts(), 1u);
  EXPECT_EQ(transport.counters().accept_failures, 1u);
  kernel.next_accept_error = 0;
  turn(Transport::kRetryInterval * 2);
  turn();
  EXPECT_EQ(acceptor.accepted, 1);
}

TEST_F(HostTransport, ListenersThatDoNotAcceptLetConnectionsWait) {
  const auto listener = transport.listen({.address = kServer}, acceptor, now);
  ASSERT_TRUE(listener);
  transport.set_accepting(**listener, false, now);
  kernel.waiting_connections = 1;
  turn();
  EXPECT_EQ(kernel.accepts(), 0u);
  transport.set_accepting(**listener, true, now);
  turn();
  EXPECT_EQ(acceptor.accepted, 1);
}

TEST_F(HostTransport, RefusesASecondListenerOfTheSameAddress) {
  ASSERT_TRUE(transport.listen({.address = kServer}, acceptor, now));
  EXPECT_EQ(transport.listen({.address = kServer}, acceptor, now).error(), EADDRINUSE);
}

TEST_F(HostTransport, ClientsOfAUnixSocketHaveItsName) {
  const SocketAddress pipe = SocketAddress::of_pipe("/run/edge.sock");
  ASSERT_TRUE(transport.listen({.address = pipe, .pipe = "/run/edge.sock"}, acceptor, now));
  kernel.waiting_connections = 1;
  turn();
  ASSERT_NE(server.stream, nullptr);
  EXPECT_EQ(server.stream->peer_address(), pipe);
  EXPECT_EQ(server.stream->local_address(), pipe);
}

class FewStreams : public HostTransport {
 protected:
  FewStreams() : HostTransport(1) {}
};

TEST_F(FewStreams, MoreThanTheLimitAreClosedAtOnce) {
  ASSERT_TRUE(transport.listen({.address = kServer}, acceptor, now));
  kernel.waiting_connections = 2;
  turn();
  EXPECT_EQ(acceptor.accepted, 1);
  EXPECT_TRUE(kernel[kernel.last()].closed_abruptly);
  CloseReason reason{};
  EXPECT_EQ(transport.connect(kServer, client, reason, now), nullptr);
  EXPECT_EQ(reason, CloseReason::kNoMemory);
}

TEST_F(HostTransport, WhoHasClosedWaitsForThePeersEndAWhile) {
  const int socket = connect(client);
  client.write("bye", now);
  client.stream->close(now);
  turn();
  kernel.arrive(socket, std::string(100'000, 'x'));  // more than is read at a time
  for (int i = 0; i < 10; ++i) turn();
  EXPECT_EQ(kernel[socket].written, "bye");
  EXPECT_TRUE(kernel[socket].shut);
  EXPECT_TRUE(kernel[socket].incoming.empty()) << "discarded: bytes that nobody reads would make it a reset";
  EXPECT_FALSE(kernel[socket].closed);
  turn(Transport::kLinger + Duration::seconds(1));
  turn();
  EXPECT_TRUE(kernel[socket].closed_abruptly);
  EXPECT_EQ(transport.streams(), 0u);
}

TEST_F(HostTransport, ClosesGentlyWhenBothSidesHaveEnded) {
  const int socket = connect(client);
  client.stream->close(now);
  turn();
  kernel.end(socket);
  turn();
  turn();
  EXPECT_TRUE(kernel[socket].closed);
  EXPECT_FALSE(kernel[socket].closed_abruptly);
  EXPECT_EQ(transport.streams(), 0u);
}

TEST_F(HostTransport, ResetAllEndsEveryStream) {
  const int socket = connect(client);
  transport.reset_all();
  transport.flush(now);
  EXPECT_EQ(client.closed, CloseReason::kShutdown);
  EXPECT_TRUE(kernel[socket].closed_abruptly);
  EXPECT_EQ(transport.streams(), 0u);
}

TEST_F(HostTransport, AsksTheKernelNoMoreOftenThanItsInterval) {
  ASSERT_TRUE(transport.listen({.address = kServer}, acceptor, now));
  turn();
  const std::size_t before = kernel.waits();
  for (int i = 0; i < 20; ++i) turn(Transport::kAskInterval / 10);
  EXPECT_LE(kernel.waits() - before, 3u);
  EXPECT_GE(kernel.waits() - before, 2u);
}

TEST_F(HostTransport, DoesNotAskTheKernelWithoutAnySocket) {
  for (int i = 0; i < 5; ++i) turn();
  EXPECT_EQ(kernel.waits(), 0u);
}

// The fake's own strings have grown before.
TEST_F(HostTransport, BytesCostNoHeap) {
  const int socket = connect(client);
  const std::string text(2'000, 'x');
  kernel[socket].written.reserve(100'000);
  kernel[socket].incoming.reserve(100'000);
  stream::Chain chain(chains);
  test::heap_trap_allocations = 0;
  for (int i = 0; i < 20; ++i) {
    kernel.arrive(socket, text);
    ASSERT_TRUE(chain.append_copy(text));
    const test::HeapTrap trap;
    client.stream->write(chain, now);
    turn();
  }
  EXPECT_EQ(test::heap_trap_allocations, 0u);
  EXPECT_EQ(kernel[socket].written.size(), 20 * text.size());
  EXPECT_EQ(client.received.size(), 20 * text.size());
}

}  // namespace
}  // namespace millrace::host
