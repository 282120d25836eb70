// The client's side of a connection that is one tunnel.
#include "dataplane/http/tunnel_codec.h"

#include <gtest/gtest.h>

#include "nic/heap_pool.h"
#include "tests/support/http_recorder.h"

namespace millrace::http::testing {
namespace {

constexpr std::size_t kWindow = 1'000;
constexpr std::size_t kOutput = 4'000;

class Tunnel : public ::testing::Test {
 protected:
  Tunnel() { events.codec = &codec; }

  StreamId begin(bool end_stream = false) {
    const StreamId stream = events.open(codec);
    ArenaMemory memory;
    RequestHead head(memory.arena, 10);
    head.method = "CONNECT";
    head.authority = "db.internal:5432";
    EXPECT_TRUE(codec.send_request(stream, head, end_stream));
    drain();
    return stream;
  }
  void drain() {
    events.events_allowed = true;
    codec.output_drained(now);
    events.events_allowed = false;
  }
  void receive(std::string_view text) {
    EXPECT_TRUE(input.append_copy(text));
    receive();
  }
  void receive() {
    events.events_allowed = true;
    codec.receive(input, now);
    events.events_allowed = false;
  }
  void end_of_input() {
    events.events_allowed = true;
    codec.end_of_input(now);
    events.events_allowed = false;
  }
  std::size_t send(StreamId stream, std::string_view text, bool end_stream = false) {
    stream::Chain data(chains);
    EXPECT_TRUE(data.append_copy(text));
    EXPECT_TRUE(codec.send_data(stream, data, end_stream));
    return data.size();
  }
  Seen& seen(StreamId stream) { return events.streams[stream]; }

  const Instant now = Instant::from_nanoseconds(1);
  nic::HeapPool packets{1'000};
  stream::ChainPool chains{packets, 100, 10'000};
  RecordingClient events;
  TunnelCodec codec{{.receive_window_bytes = kWindow, .output_limit_bytes = kOutput, .max_header_count = 10}, chains, events};
  stream::Chain input{chains};
};

TEST_F(Tunnel, ThatItStandsIsTheAnswer) {
  ASSERT_TRUE(codec.can_open_stream());
  const StreamId stream = begin();
  EXPECT_EQ(seen(stream).head, "200\n");
  EXPECT_FALSE(seen(stream).ended);
  EXPECT_TRUE(codec.output().empty()) << "nothing is asked of the peer";
  EXPECT_FALSE(codec.wants_close());
}

TEST_F(Tunnel, BytesPassBothWaysAsTheyAre) {
  const StreamId stream = begin();
  EXPECT_EQ(send(stream, "from the client"), 0u);
  EXPECT_EQ(text_of(codec.output()), "from the client");
  receive("from the server");
  EXPECT_EQ(seen(stream).body, "from the server");
}

TEST_F(Tunnel, AServerMaySpeakFirst) {
  const StreamId stream = events.open(codec);
  ArenaMemory memory;
  RequestHead head(memory.arena, 10);
  ASSERT_TRUE(codec.send_request(stream, head, false));
  receive("220 ready");
  EXPECT_EQ(seen(stream).head, "200\n");
  EXPECT_EQ(seen(stream).body, "220 ready");
}

TEST_F(Tunnel, EachDirectionEndsByItself) {
  const StreamId stream = begin();
  send(stream, "last", true);
  EXPECT_TRUE(codec.output_ended());
  EXPECT_FALSE(codec.wants_close());
  receive("still coming");
  EXPECT_EQ(seen(stream).body, "still coming");
  end_of_input();
  EXPECT_TRUE(seen(stream).ended && seen(stream).complete);
  EXPECT_TRUE(codec.wants_close()) << "it was one tunnel";
  EXPECT_FALSE(codec.can_open_stream());
}

TEST_F(Tunnel, TheServerMayEndFirst) {
  const StreamId stream = begin();
  end_of_input();
  EXPECT_TRUE(seen(stream).ended);
  EXPECT_FALSE(seen(stream).complete);
  EXPECT_FALSE(codec.output_ended());
  send(stream, "last", true);
  drain();
  EXPECT_TRUE(seen(stream).complete);
}

TEST_F(Tunnel, TheReceiveWindowHoldsTheServerBack) {
  events.auto_consume = false;
  const StreamId stream = begin();
  receive(std::string(kWindow + 500, 'x'));
  EXPECT_EQ(seen(stream).body.size(), kWindow);
  EXPECT_EQ(input.size(), 500u);
  end_of_input();
  EXPECT_FALSE(seen(stream).ended) << "some of it is not delivered";
  codec.consumed(stream, kWindow);
  receive();
  EXPECT_EQ(seen(stream).body.size(), kWindow + 500);
  EXPECT_TRUE(seen(stream).ended);
}

TEST_F(Tunnel, TheOutputLimitHoldsTheClientBack) {
  const StreamId stream = begin();
  EXPECT_EQ(send(stream, std::string(kOutput + 500, 'x')), 500u);
  EXPECT_EQ(codec.send_credit(stream), 0u);
  codec.output().remove_prefix(kOutput / 2);
  drain();
  EXPECT_EQ(seen(stream).credits, 1);
  EXPECT_EQ(codec.send_credit(stream), kOutput / 2);
}

TEST_F(Tunnel, AResetEndsIt) {
  const StreamId stream = begin();
  events.reset_stream(stream);
  EXPECT_TRUE(codec.wants_close());
  receive("too late");
  end_of_input();
  drain();
}

TEST_F(Tunnel, AnEndOfTheServerBeforeItIsUsedClosesIt) {
  end_of_input();
  EXPECT_FALSE(codec.can_open_stream());
  EXPECT_TRUE(codec.wants_close());
}

TEST_F(Tunnel, ADrainBeforeItIsUsedClosesIt) {
  codec.start_drain();
  EXPECT_EQ(events.open(codec), 0u);
  EXPECT_TRUE(codec.wants_close());
}

}  // namespace
}  // namespace millrace::http::testing
