// Builders for tests of one Connection: no packets, no addresses, time set by hand. The peer's ISN is 5000, ours 1000.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/tcp/connection.h"
#include "nic/heap_pool.h"
#include "tests/support/segments.h"

namespace millrace::tcp {

inline constexpr std::uint8_t kFin = TcpFlags::kFin, kSyn = TcpFlags::kSyn, kRst = TcpFlags::kRst, kPsh = TcpFlags::kPsh,
                              kAck = TcpFlags::kAck;

/// A segment as it left, with its data copied out.
struct Sent {
  SeqNum seq;
  SeqNum ack;
  std::uint8_t flags;
  std::uint16_t window;
  TcpOptions options;
  std::string data;
};

class ConnectionFixture : public ::testing::Test {
 protected:
  static constexpr SeqNum kIss{1000};
  static constexpr SeqNum kIrs{5000};
  static constexpr std::uint32_t kMss = 1000;

  nic::HeapPool packets{4'000};
  stream::ChainPool chains{packets, 64, 10'000};
  ReassemblyPool held{16, 1'000};
  SentRangePool ranges{16, 1'000};
  RecoveryUndoPool undos{4, 100};
  TcpConfig config{.receive_buffer_bytes = 20'000,
                   .initial_receive_buffer_bytes = 20'000,
                   .send_buffer_bytes = 40'000,
                   .initial_send_buffer_bytes = 40'000,
                   .pacing = false};
  Counters counters;
  ChallengeLimit challenges{100};
  Shared shared{chains, held, ranges, undos, config, counters, challenges};
  Connection connection{shared};
  Instant now = Instant::from_nanoseconds(10'000'000'000);

  LocalTerms local() const {
    return {.iss = kIss, .mss = kMss, .window = static_cast<std::uint32_t>(config.receive_buffer_bytes), .window_scale = 0};
  }
  void pass(Duration time) { now = now + time; }

  /// What leaves at this moment.
  std::vector<Sent> sent() {
    std::vector<Sent> all;
    const auto record = [&](const OutgoingSegment& s) {
      std::string data(s.size, '\0');
      if (s.size > 0) {
        EXPECT_EQ(s.data->copy_out(s.offset, {reinterpret_cast<std::uint8_t*>(data.data()), data.size()}), s.size);
      }
      all.push_back({s.seq, s.ack, s.flags, s.window, s.options, std::move(data)});
    };
    connection.on_timer(now);
    connection.transmit(now, [&](const OutgoingSegment& burst) { test::for_each_segment(burst, record); });
    return all;
  }
  /// Goes on to the next timeout and returns what leaves then.
  std::vector<Sent> sent_after_timeout() {
    EXPECT_FALSE(connection.next_timeout().is_never());
    now = std::max(now, connection.next_timeout());
    return sent();
  }

  nic::Slice bytes(std::string_view text) {
    nic::Packet packet = packets.allocate();
    packet.append({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    return nic::Slice(std::move(packet));
  }
  void receive(const Segment& segment) { connection.on_segment(segment, now); }
  /// Data of the peer at `offset` behind its SYN, acknowledging all of our SYN and `acked` bytes.
  Segment data(std::size_t offset, std::string_view text, std::size_t acked = 0, std::uint8_t flags = kAck) {
    return {.seq = kIrs + SeqLen(1 + offset),
            .ack = kIss + SeqLen(1 + acked),
            .flags = flags,
            .window = 30'000,
            .payload = bytes(text)};
  }
  Segment ack(std::size_t acked, std::uint16_t window = 30'000) {
    return {.seq = connection.receiver().rcv_nxt(), .ack = kIss + SeqLen(1 + acked), .flags = kAck, .window = window};
  }
  Segment fin(std::size_t offset = 0, std::size_t acked = 0) { return data(offset, "", acked, kFin | kAck); }
  Segment rst(SeqNum seq) { return {.seq = seq, .flags = kRst}; }

  std::size_t write(std::string_view text) {
    stream::Chain chain(chains);
    EXPECT_TRUE(chain.append_copy(text));
    return connection.write(chain, now);
  }
  std::string read(std::size_t limit = 1'000'000) {
    stream::Chain chain(chains);
    connection.read(chain, limit, now);
    std::string text(chain.size(), '\0');
    chain.copy_out(0, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
    return text;
  }

  // The unit in a state.
  void in_syn_sent() {
    connection.open(local(), now);
    (void)sent();
  }
  void in_established(std::uint16_t window = 30'000) {
    in_syn_sent();
    pass(Duration::milliseconds(10));
    receive({.seq = kIrs, .ack = kIss + SeqLen(1), .flags = kSyn | kAck, .window = window, .options = {.mss = kMss}});
    (void)sent();
    (void)connection.take_events();
    ASSERT_EQ(connection.state(), State::kEstablished);
  }
  void in_fin_wait_1() {
    in_established();
    connection.shutdown_write(now);
    (void)sent();
    ASSERT_EQ(connection.state(), State::kFinWait1);
  }
  void in_fin_wait_2() {
    in_fin_wait_1();
    receive(ack(1));
    ASSERT_EQ(connection.state(), State::kFinWait2);
  }
  void in_close_wait() {
    in_established();
    receive(fin());
    (void)sent();
    ASSERT_EQ(connection.state(), State::kCloseWait);
  }
  void in_last_ack() {
    in_close_wait();
    connection.shutdown_write(now);
    (void)sent();
    ASSERT_EQ(connection.state(), State::kLastAck);
  }
  void in_closing() {
    in_fin_wait_1();
    receive(fin());
    (void)sent();
    ASSERT_EQ(connection.state(), State::kClosing);
  }
  void in_time_wait() {
    in_fin_wait_2();
    receive(fin(0, 1));
    (void)sent();
    ASSERT_EQ(connection.state(), State::kTimeWait);
  }
};

inline auto flags_are(std::uint8_t flags) { return ::testing::Field(&Sent::flags, flags); }

}  // namespace millrace::tcp
