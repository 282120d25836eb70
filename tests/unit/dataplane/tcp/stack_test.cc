// The stack around connections: listeners, backlog, TIME-WAIT, ports, resets for nobody, ICMP errors, the end of everything.
#include "dataplane/tcp/stack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dataplane/tcp/isn.h"
#include "dataplane/tcp/segment_io.h"
#include "dataplane/wire/endian.h"
#include "tests/support/pipe_recorder.h"
#include "tests/support/tcp_link.h"

namespace millrace::test {
namespace {

using stream::CloseReason;
using tcp::Counter;
using tcp::OutgoingSegment;
using tcp::SeqNum;
using wire::TcpFlags;

class TcpStack : public ::testing::Test {
 protected:
  TcpStack() {
    acceptor.on_stream = [this](stream::ByteStream& stream, Instant) { server.use(stream); };
  }
  SocketAddress web() const { return {link.b.address(), 80}; }
  stream::ByteStream* connect(RecordingUser& user, const SocketAddress& to) {
    CloseReason reason{};
    return user.stream = link.a.tcp.connect(to, user, reason, link.now());
  }
  tcp::FlowKey forged_flow(std::uint16_t port) const { return {IpAddress::v4(10, 0, 0, 9), link.b.address(), port, 80}; }
  nic::Packet encode(const tcp::FlowKey& from, const OutgoingSegment& segment) {
    return tcp::SegmentEncoder(from, segment, {}, link.packets).next();
  }
  /// Gives b a segment that a stranger wrote.
  void forge(const tcp::FlowKey& from, const OutgoingSegment& segment) {
    nic::Packet packet = encode(from, segment);
    link.b.tcp.on_datagram({std::move(packet), from.local_ip, from.peer_ip, ip::kProtocolTcp, 0}, link.now());
  }
  std::uint64_t counted(TcpHost& host, Counter counter) { return host.tcp.counters()[counter]; }

  TcpLink link{1, [] {
                 tcp::StackConfig config = small_stack();
                 config.syn_backlog = 20;
                 config.max_time_wait = 8;
                 return config;
               }()};
  RecordingUser client{link.chains};
  RecordingUser server{link.chains};
  RecordingAcceptor acceptor;
};

TEST_F(TcpStack, ListensOnceAndOnlyOnOwnAddresses) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  EXPECT_EQ(link.b.tcp.listen(web(), acceptor).error(), tcp::ListenError::kAddressInUse);
  EXPECT_EQ(link.b.tcp.listen({IpAddress::v4(8, 8, 8, 8), 80}, acceptor).error(), tcp::ListenError::kNotLocal);
}

TEST_F(TcpStack, TheVeryAddressGoesBeforeTheWildcard) {
  RecordingAcceptor any;
  any.on_stream = [](stream::ByteStream& stream, Instant now) { stream.reset(now); };
  ASSERT_TRUE(link.b.tcp.listen({IpAddress::v4(0, 0, 0, 0), 80}, any));
  ASSERT_TRUE(link.b.tcp.listen({IpAddress(), 80}, any)) << ":: is another family";
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::seconds(1));
  EXPECT_EQ(acceptor.accepted, 1);
  EXPECT_EQ(any.accepted, 0);
}

TEST_F(TcpStack, ClosedListenerRefusesButAcceptedStreamsStay) {
  auto listener = link.b.tcp.listen(web(), acceptor);
  ASSERT_TRUE(listener);
  connect(client, web());
  link.run(Duration::seconds(1));
  link.b.tcp.close_listener(**listener, link.now());
  client.write("still here", link.now());
  RecordingUser late(link.chains);
  connect(late, web());
  link.run(Duration::seconds(1));
  EXPECT_EQ(server.text(), "still here");
  EXPECT_EQ(late.closed, CloseReason::kRefused);
}

TEST_F(TcpStack, AListenerThatDoesNotAcceptLetsPeersTryAgain) {
  auto listener = link.b.tcp.listen(web(), acceptor);
  ASSERT_TRUE(listener);
  (*listener)->set_accepting(false);
  connect(client, web());
  link.run(Duration::milliseconds(2'500));
  EXPECT_EQ(acceptor.accepted, 0);
  EXPECT_FALSE(client.closed) << "it is not refused";
  (*listener)->set_accepting(true);
  link.run(Duration::seconds(5));
  EXPECT_EQ(acceptor.accepted, 1) << "its SYN came again";
}

TEST_F(TcpStack, AStreamMayAskForKeepAlive) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  stream::ByteStream* stream = connect(client, web());
  link.run(Duration::seconds(1));
  stream->set_keep_alive({.idle_seconds = 5, .interval_seconds = 1, .probes = 1}, link.now());
  link.run(Duration::seconds(14));
  EXPECT_EQ(counted(link.a, Counter::kKeepAlives), 2u) << "the peer has answered each";
  EXPECT_FALSE(client.closed);
  EXPECT_EQ(counted(link.b, Counter::kKeepAlives), 0u);
}

TEST_F(TcpStack, NoRouteAndPortZeroCannotStart) {
  CloseReason reason{};
  EXPECT_EQ(link.a.tcp.connect({IpAddress::v4(203, 0, 113, 1), 80}, client, reason, link.now()), nullptr);
  EXPECT_EQ(reason, CloseReason::kNoRoute);
  EXPECT_EQ(link.a.tcp.connect({link.b.address(), 0}, client, reason, link.now()), nullptr);
}

TEST_F(TcpStack, EphemeralPortsDifferUntilThereIsNoneLeft) {
  tcp::StackConfig config = small_stack();
  config.first_port = 50'000;
  config.last_port = 50'009;
  TcpLink small(1, config);
  std::set<std::uint16_t> ports;
  CloseReason reason{};
  for (int i = 0; i < 10; ++i) {
    stream::ByteStream* stream = small.a.tcp.connect({small.b.address(), 80}, client, reason, small.now());
    ASSERT_NE(stream, nullptr);
    ports.insert(stream->local_address().port);
  }
  EXPECT_EQ(ports.size(), 10u);
  EXPECT_GE(*ports.begin(), 50'000);
  EXPECT_EQ(small.a.tcp.connect({small.b.address(), 80}, client, reason, small.now()), nullptr);
  EXPECT_EQ(reason, CloseReason::kNoPort);
  EXPECT_NE(small.a.tcp.connect({small.b.address(), 81}, client, reason, small.now()), nullptr)
      << "another destination is another matter";
}

TEST_F(TcpStack, SilentPeerTimesOut) {
  link.set_faults({.loss_per_mille = 1'000});
  connect(client, web());
  link.run(Duration::seconds(130));
  EXPECT_EQ(client.closed, CloseReason::kTimeout);
  EXPECT_EQ(link.a.tcp.connections(), 0u);
}

TEST_F(TcpStack, SegmentForNobodyIsAnsweredWithResetButAResetIsNot) {
  forge(forged_flow(1'234), {.seq = SeqNum(7), .ack = SeqNum(99), .flags = TcpFlags::kAck});
  EXPECT_EQ(counted(link.b, Counter::kResetsSent), 1u);
  forge(forged_flow(1'234), {.seq = SeqNum(7), .ack = SeqNum(99), .flags = TcpFlags::kRst});
  EXPECT_EQ(counted(link.b, Counter::kResetsSent), 1u);
  EXPECT_EQ(counted(link.b, Counter::kDropNoConnection), 2u);
}

TEST_F(TcpStack, HandshakesAreBoundedByTheBacklogAndExpire) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  for (std::uint16_t i = 0; i < 100; ++i)
    forge(forged_flow(static_cast<std::uint16_t>(2'000 + i)), {.seq = SeqNum(i), .flags = TcpFlags::kSyn, .window = 1'000});
  EXPECT_EQ(link.b.tcp.half_open(), 20u);
  EXPECT_EQ(counted(link.b, Counter::kCookiesSent), 80u);
  EXPECT_EQ(link.b.tcp.connections(), 0u);
  link.run(Duration::seconds(70));
  EXPECT_EQ(link.b.tcp.half_open(), 0u);
  EXPECT_EQ(counted(link.b, Counter::kHalfOpenExpired), 20u);
}

TEST_F(TcpStack, AFullBacklogAnswersWithCookiesSoThatARealPeerStillGetsIn) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  for (std::uint16_t i = 0; i < 100; ++i)
    forge(forged_flow(static_cast<std::uint16_t>(2'000 + i)), {.seq = SeqNum(i), .flags = TcpFlags::kSyn, .window = 1'000});
  ASSERT_NE(connect(client, web()), nullptr);
  link.run(Duration::milliseconds(100));
  EXPECT_EQ(acceptor.accepted, 1);
  EXPECT_EQ(counted(link.b, Counter::kCookiesSent), 81u);
  EXPECT_EQ(counted(link.b, Counter::kCookiesAccepted), 1u);
  client.write(std::string(200'000, 'x'), link.now());
  link.run(Duration::seconds(2));
  EXPECT_EQ(server.received.size(), 200'000u) << "with window scaling, which the cookie's timestamp carried";
}

TEST_F(TcpStack, AcknowledgementsThatBringNoCookieAreRefused) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  const auto guess = [&](std::uint16_t port) {
    forge(forged_flow(port), {.seq = SeqNum(1), .ack = SeqNum(99), .flags = TcpFlags::kAck, .window = 1'000});
  };
  guess(1'000);
  EXPECT_EQ(counted(link.b, Counter::kCookiesRefused), 0u) << "none are out";
  for (std::uint16_t i = 0; i < 30; ++i)
    forge(forged_flow(static_cast<std::uint16_t>(2'000 + i)), {.seq = SeqNum(i), .flags = TcpFlags::kSyn, .window = 1'000});
  for (std::uint16_t i = 0; i < 100; ++i) guess(static_cast<std::uint16_t>(3'000 + i));
  EXPECT_EQ(counted(link.b, Counter::kCookiesRefused), 100u);
  EXPECT_EQ(acceptor.accepted, 0);
}

TEST_F(TcpStack, HalfOpenAnswersAgainAndIsForgottenOnReset) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  const auto flow = forged_flow(3'000);
  forge(flow, {.seq = SeqNum(500), .flags = TcpFlags::kSyn, .window = 1'000});
  const std::uint64_t sent = counted(link.b, Counter::kSegmentsSent);
  forge(flow, {.seq = SeqNum(500), .flags = TcpFlags::kSyn, .window = 1'000});
  EXPECT_EQ(counted(link.b, Counter::kSegmentsSent), sent + 1);
  EXPECT_EQ(link.b.tcp.half_open(), 1u);
  forge(flow, {.seq = SeqNum(501), .ack = SeqNum(12'345), .flags = TcpFlags::kAck, .window = 1'000});
  EXPECT_EQ(acceptor.accepted, 0) << "a guessed acknowledgement";
  EXPECT_EQ(counted(link.b, Counter::kResetsSent), 1u);
  forge(flow, {.seq = SeqNum(501), .flags = TcpFlags::kRst});
  EXPECT_EQ(link.b.tcp.half_open(), 0u);
}

TEST_F(TcpStack, BadChecksumsHeadersAndPeersAreDroppedAndCounted) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  const OutgoingSegment syn{.seq = SeqNum(1), .flags = TcpFlags::kSyn, .window = 1'000};
  const auto give = [&](nic::Packet packet, const IpAddress& source) {
    link.b.tcp.on_datagram({std::move(packet), source, link.b.address(), ip::kProtocolTcp, 0}, link.now());
  };
  const auto flow = forged_flow(4'000);
  nic::Packet flipped = encode(flow, syn);
  flipped.data()[5] ^= 1;
  give(std::move(flipped), flow.local_ip);
  EXPECT_EQ(counted(link.b, Counter::kDropBadChecksum), 1u);
  nic::Packet cut = encode(flow, syn);
  cut.truncate(19);
  give(std::move(cut), flow.local_ip);
  EXPECT_EQ(counted(link.b, Counter::kDropBadHeader), 1u);
  nic::Packet verified = encode(flow, syn);
  verified.data()[5] ^= 1;
  verified.set_offload(nic::Offload::kL4ChecksumGood);  // the port says so
  give(std::move(verified), flow.local_ip);
  EXPECT_EQ(link.b.tcp.half_open(), 1u);
  tcp::FlowKey multicast = flow;
  multicast.local_ip = IpAddress::v4(224, 0, 0, 1);
  give(encode(multicast, syn), multicast.local_ip);
  EXPECT_EQ(counted(link.b, Counter::kDropBadPeer), 1u);
}

TEST_F(TcpStack, TimeWaitIsOnTheSideThatClosedFirstAndOldestMakesRoom) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  for (int i = 0; i < 12; ++i) {
    RecordingUser user(link.chains);
    RecordingUser other(link.chains);
    acceptor.on_stream = [&](stream::ByteStream& stream, Instant) { other.use(stream); };
    connect(user, web());
    link.run(Duration::milliseconds(100));
    user.stream->shutdown_write(link.now());
    link.run(Duration::milliseconds(100));
    other.stream->shutdown_write(link.now());
    link.run(Duration::milliseconds(100));
    EXPECT_EQ(user.closed, CloseReason::kGraceful);
  }
  EXPECT_EQ(link.a.tcp.time_wait(), 8u);
  EXPECT_EQ(link.b.tcp.time_wait(), 0u);
  EXPECT_EQ(counted(link.a, Counter::kTimeWaitEvicted), 4u);
  EXPECT_EQ(link.a.tcp.connections(), 0u);
  link.run(Duration::seconds(61));
  EXPECT_EQ(link.a.tcp.time_wait(), 0u);
}

TEST_F(TcpStack, SynReopensFromTimeWaitOnlyWhenItIsNewer) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::milliseconds(100));
  const std::uint16_t port = client.stream->local_address().port;
  server.stream->shutdown_write(link.now());
  link.run(Duration::milliseconds(100));
  client.stream->shutdown_write(link.now());
  link.run(Duration::milliseconds(100));
  ASSERT_EQ(link.b.tcp.time_wait(), 1u);
  const tcp::FlowKey flow{link.a.address(), link.b.address(), port, 80};
  const SeqNum isn =
      tcp::initial_sequence_number(tcp::KeyedHash(small_stack().secret), flow, Instant::from_nanoseconds(1'000'000'000));
  forge(flow, {.seq = isn - tcp::SeqLen(5'000'000), .flags = TcpFlags::kSyn, .window = 1'000});
  EXPECT_EQ(link.b.tcp.time_wait(), 1u);
  forge(flow, {.seq = isn + tcp::SeqLen(5'000'000), .flags = TcpFlags::kSyn, .window = 1'000});
  EXPECT_EQ(link.b.tcp.time_wait(), 0u);
  EXPECT_EQ(link.b.tcp.half_open(), 1u);
  EXPECT_EQ(counted(link.b, Counter::kTimeWaitReused), 1u);
}

TEST_F(TcpStack, PortUnreachableEndsOnlyAHandshake) {
  link.set_faults({.loss_per_mille = 1'000});
  connect(client, web());
  link.run(Duration::milliseconds(1));
  ip::TransportError error{.kind = ip::TransportError::Kind::kPortUnreachable,
                           .source = client.stream->local_address().ip,
                           .destination = link.b.address(),
                           .protocol = ip::kProtocolTcp};
  wire::store_be16(error.quoted, client.stream->local_address().port);
  wire::store_be16(error.quoted + 2, 80);
  wire::store_be32(error.quoted + 4, 0x1234);  // not our SYN's number
  link.a.tcp.on_transport_error(error, link.now());
  link.run(Duration::milliseconds(1));
  EXPECT_FALSE(client.closed);
  EXPECT_EQ(counted(link.a, Counter::kDropTransportError), 1u);
}

TEST_F(TcpStack, ResetAllTellsUsersAndPeers) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::seconds(1));
  link.a.tcp.reset_all(link.now());
  link.run(Duration::seconds(1));
  EXPECT_EQ(client.closed, CloseReason::kShutdown);
  EXPECT_EQ(server.closed, CloseReason::kPeerReset);
  EXPECT_EQ(link.a.tcp.connections() + link.b.tcp.connections(), 0u);
}

TEST_F(TcpStack, ResetAllTellsWhoHasNotReadToTheEndYet) {
  server.reads = false;
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::milliseconds(50));
  client.write("unread", link.now());
  client.stream->shutdown_write(link.now());
  server.stream->shutdown_write(link.now());
  link.run(Duration::seconds(1));
  EXPECT_FALSE(server.closed) << "the bytes come before the end";
  link.b.tcp.reset_all(link.now());
  link.run(Duration::milliseconds(10));
  EXPECT_EQ(server.closed, CloseReason::kShutdown);
  EXPECT_EQ(link.b.tcp.connections(), 0u);
}

TEST_F(TcpStack, DestructionWithOpenConnectionsLeaksNothing) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::milliseconds(50));
  client.write(std::string(100'000, 'x'), link.now());
  link.run(Duration::milliseconds(7));
  EXPECT_GT(link.packets.in_use(), 0u);  // pools assert that they are empty when they go
}

// Readers that do not read must not use up the buffers that sending needs: each connection may take a part of what is left.
TEST(TcpStackBuffers, StalledReadersTakeLessAndLessAndNeverAll) {
  tcp::StackConfig config = small_stack();
  config.tcp.send_buffer_bytes = 16 * 1024;
  TcpLink link(1, config, false, 2'000);
  std::vector<std::unique_ptr<RecordingUser>> clients, servers;
  RecordingAcceptor acceptor;
  acceptor.on_stream = [&](stream::ByteStream& stream, Instant) {
    servers.push_back(std::make_unique<RecordingUser>(link.chains));
    servers.back()->reads = false;
    servers.back()->use(stream);
  };
  ASSERT_TRUE(link.b.tcp.listen({link.b.address(), 80}, acceptor));
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<RecordingUser>(link.chains));
    CloseReason reason{};
    clients.back()->stream = link.a.tcp.connect({link.b.address(), 80}, *clients.back(), reason, link.now());
  }
  link.run(Duration::milliseconds(100));
  for (int turn = 0; turn < 100; ++turn) {
    for (auto& client : clients)
      client->write(std::string(std::min<std::size_t>(8'000, client->stream->write_credit()), 'x'), link.now());
    link.run(Duration::milliseconds(20));
  }
  EXPECT_EQ(link.b.tcp.counters()[Counter::kDropLowBuffers], 0u) << "held back by their windows alone";
  EXPECT_EQ(link.packets.exhausted(), 0u);
  for (int turn = 0; turn < 60; ++turn) {  // the readers wake up
    for (auto& server : servers) {
      server->read_all(link.now());
      server->received.clear();
      server->reads = true;
    }
    link.run(Duration::seconds(1));
  }
  for (auto& client : clients) EXPECT_EQ(client->stream->write_credit(), config.tcp.send_buffer_bytes) << "all was acknowledged";
}

class TcpStackScarce : public TcpStack {
 protected:
  void open() {
    ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
    connect(client, web());
    link.run(Duration::milliseconds(50));
  }
  /// Takes buffers until only one of `parts` is left.
  void leave(std::size_t parts) {
    while (link.packets.in_use() < link.packets.capacity() - link.packets.capacity() / parts) {
      elsewhere.push_back(link.packets.allocate());
    }
    link.run(Duration::milliseconds(1));
  }
  std::vector<nic::Packet> elsewhere;
};

TEST_F(TcpStackScarce, WhoHoldsLittleIsServedOn) {
  open();
  leave(10);
  for (int i = 0; i < 20; ++i) {
    client.write(std::string(2'000, 'x'), link.now());
    link.run(Duration::milliseconds(100));
  }
  EXPECT_EQ(server.received.size(), 40'000u);
  EXPECT_EQ(counted(link.b, Counter::kDropLowBuffers), 0u);
}

TEST_F(TcpStackScarce, WhoHoldsMuchGetsNoMorePayload) {
  open();
  server.reads = false;
  client.write(std::string(60'000, 'x'), link.now());
  link.run(Duration::milliseconds(100));
  const std::size_t before = server.stream->readable();
  leave(10);
  client.write(std::string(20'000, 'x'), link.now());
  link.run(Duration::seconds(1));
  EXPECT_EQ(server.stream->readable(), before);
}

TEST_F(TcpStackScarce, WhoHasStalledForLongMakesRoom) {
  open();
  client.reads = false;
  for (int i = 0; i < 20; ++i) {
    server.write(std::string(20'000, 'x'), link.now());
    link.run(Duration::milliseconds(20));
  }
  ASSERT_GT(link.b.tcp.gauges().bytes_queued, 100'000);
  leave(20);
  link.run(Duration::seconds(4));
  EXPECT_FALSE(server.closed) << "it may only be slow";
  link.run(Duration::seconds(8));
  EXPECT_EQ(server.closed, CloseReason::kNoMemory);
  EXPECT_EQ(client.closed, CloseReason::kPeerReset);
  EXPECT_EQ(counted(link.b, Counter::kResetStalled), 1u);
}

TEST_F(TcpStackScarce, PayloadIsRefusedWhenNothingIsLeftAndComesAgain) {
  open();
  leave(50);
  client.write(std::string(2'000, 'x'), link.now());
  link.run(Duration::seconds(1));
  EXPECT_GT(counted(link.b, Counter::kDropLowBuffers), 0u);
  EXPECT_EQ(server.received.size(), 0u);
  elsewhere.clear();
  link.run(Duration::seconds(5));
  EXPECT_EQ(server.received.size(), 2'000u);
}

TEST_F(TcpStack, AnOutageOfTheOwnLinkSaysNothingOfThePath) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::seconds(1));
  link.a.ip.set_link_up(0, false, link.now());
  client.write(std::string(5'000, 'x'), link.now());
  link.run(Duration::seconds(60));
  EXPECT_EQ(server.received.size(), 0u);
  link.a.ip.set_link_up(0, true, link.now());
  link.run(Duration::milliseconds(600));
  EXPECT_EQ(server.received.size(), 5'000u) << "sent again within half a second, however long the outage was";
  client.write(std::string(50'000, 'x'), link.now());
  const std::uint64_t before = counted(link.a, Counter::kSegmentsSent);
  link.run(Duration::seconds(1));
  EXPECT_EQ(server.received.size(), 55'000u);
  EXPECT_LT(counted(link.a, Counter::kSegmentsSent) - before, 60u) << "in segments of full size";
}

TEST_F(TcpStack, ManySegmentsOfABurstAreAnsweredOnce) {
  ASSERT_TRUE(link.b.tcp.listen(web(), acceptor));
  connect(client, web());
  link.run(Duration::seconds(1));
  const std::uint64_t before = counted(link.b, Counter::kSegmentsSent);
  const int readable = server.readable;
  client.write(std::string(14'000, 'x'), link.now());
  link.run(Duration::seconds(1));
  EXPECT_EQ(server.received.size(), 14'000u);
  EXPECT_EQ(server.readable, readable + 1);
  EXPECT_EQ(counted(link.b, Counter::kSegmentsSent), before + 1);
}

}  // namespace
}  // namespace millrace::test
