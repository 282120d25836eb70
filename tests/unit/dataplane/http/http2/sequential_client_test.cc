// The codec against nghttp2's own server, and against frames written by hand where that one is too polite.
#include "dataplane/http/http2/sequential_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nic/heap_pool.h"
#include "tests/support/http2_server.h"
#include "tests/support/http_recorder.h"

namespace millrace::http::http2::testing {
namespace {

using ::millrace::http::testing::ArenaMemory;
using ::millrace::http::testing::RecordingClient;
using ::millrace::http::testing::Seen;
using ::millrace::http::testing::text_of;
using ::millrace::http::testing::with_events;
using ::millrace::test::Http2Server;
using ::testing::Contains;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using enum ProtocolError;

using Fields = Http2Server::Fields;
const Fields kOk = {{":status", "200"}};

constexpr std::size_t kWindow = 1'000;
constexpr std::size_t kOutput = 4'000;

Settings small() {
  return {.max_headers_bytes = 2'000, .max_header_count = 10, .receive_window_bytes = kWindow, .output_limit_bytes = kOutput};
}

// A client with its recorder, and a server behind a wire that is cut into segments.
class Http2Client : public ::testing::Test {
 protected:
  Http2Client() { events.codec = &client; }

  StreamId request(bool end_stream, const Fields& fields = {}, std::string_view method = "POST") {
    const StreamId stream = events.open(client);
    if (stream == 0) return 0;
    ArenaMemory memory;
    RequestHead head(memory.arena, 100);
    head.method = method;
    head.scheme = "http";
    head.authority = "a:1";
    head.path = "/p?q";
    for (const auto& [name, value] : fields) EXPECT_TRUE(head.headers.add_copy(name, value));
    EXPECT_TRUE(client.send_request(stream, head, end_stream));
    return stream;
  }
  std::size_t send(StreamId stream, std::string_view text, bool end_stream) {
    stream::Chain data(chains);
    EXPECT_TRUE(data.append_copy(text));
    EXPECT_TRUE(client.send_data(stream, data, end_stream));
    return text.size() - data.size();
  }
  std::string drain() {
    std::string out = text_of(client.output());
    client.output().clear();
    with_events(events, [&] { client.output_drained(Instant()); });
    return out;
  }
  void feed(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += segment) {
      stream::Chain input(chains);
      EXPECT_TRUE(input.append_copy(bytes.substr(at, segment)));
      with_events(events, [&] { client.receive(input, Instant()); });
      EXPECT_TRUE(input.empty());
    }
  }
  /// Until nothing moves any more.
  void exchange() {
    for (bool moved = true; moved;) {
      const std::string out = drain();
      const std::string in = out.empty() ? server.output() : server.receive(out);
      feed(in);
      moved = !out.empty() || !in.empty();
    }
  }
  /// What the server does with each request, once it is complete.
  void answer(std::function<void(std::int32_t)> act) { server.on_request = std::move(act); }
  Seen& seen(StreamId stream) { return events.streams[stream]; }

  nic::HeapPool packets{1'000};
  stream::ChainPool chains{packets, 0, 10'000};
  RecordingClient events;
  SequentialClient client{small(), chains, events};
  Http2Server server;
  std::size_t segment = 1'460;
};

// A frame (RFC 9113 4.1).
std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, const std::string& payload) {
  const auto size = static_cast<std::uint32_t>(payload.size());
  std::string out;
  for (const std::uint32_t byte :
       {size >> 16, size >> 8, size, std::uint32_t{type}, std::uint32_t{flags}, stream >> 24, stream >> 16, stream >> 8, stream})
    out.push_back(static_cast<char>(byte & 0xff));
  return out + payload;
}
// A head in pieces: the last ones are empty.
std::string continued_head(int continuations) {
  std::string out = frame(1, 1, 1, "\x88");
  for (int i = 1; i <= continuations; ++i) out += frame(9, i == continuations ? 4 : 0, 1, "");
  return out;
}
const std::string kSettings = frame(4, 0, 0, "");
const std::string kStatus200 = "\x88";  // HPACK's static table

TEST_F(Http2Client, CarriesARequestAndItsResponseUnderAnySplit) {
  answer([this](std::int32_t stream) { server.respond(stream, {{":status", "200"}, {"y", "2"}}, "hello"); });
  for (const std::size_t bytes : {1U, 2U, 7U, 1'460U}) {
    segment = bytes;
    const StreamId stream = request(false, {{"x", "1"}, {"te", "trailers"}});
    EXPECT_EQ(send(stream, "question", true), 8U);
    exchange();
    const Http2Server::Request& asked = server.requests.rbegin()->second;
    EXPECT_EQ(
        asked.fields,
        (Fields{
            {":method", "POST"}, {":scheme", "http"}, {":authority", "a:1"}, {":path", "/p?q"}, {"x", "1"}, {"te", "trailers"}}));
    EXPECT_EQ(asked.body, "question");
    EXPECT_EQ(seen(stream).render(), "200\ny: 2\n[end][complete]\nbody: hello");
  }
  EXPECT_EQ(events.streams.size(), 4U);
  EXPECT_FALSE(client.wants_close());
}

TEST_F(Http2Client, SendsNoFieldsOfHttp1AndNoneThatAreNone) {
  request(true, {{"connection", "close"}, {"host", "b"}, {"upgrade", "x"}, {"te", "gzip"}, {"bad", "a\nb"}, {"good", "1"}});
  exchange();
  EXPECT_EQ(server.requests[1].fields.size(), 5U);
  EXPECT_EQ(server.requests[1].field("good"), "1");
}

TEST_F(Http2Client, RefusesHeadsThatCannotBeSent) {
  const StreamId stream = events.open(client);
  ArenaMemory memory;
  RequestHead head(memory.arena, 10);
  head.method = "GET";
  head.authority = "a b";
  head.path = "/";
  EXPECT_FALSE(client.send_request(stream, head, true));
}

TEST_F(Http2Client, CarriesTrailersBothWays) {
  answer([this](std::int32_t stream) { server.respond(stream, kOk, "body", {{"grpc-status", "0"}}); });
  const StreamId stream = request(false);
  send(stream, "there", false);
  {
    ArenaMemory memory;
    HeaderMap trailers(memory.arena, 10);
    ASSERT_TRUE(trailers.add_copy("t", "1"));
    EXPECT_TRUE(client.send_trailers(stream, trailers));
  }
  exchange();
  EXPECT_EQ(server.requests[1].field("t"), "1");
  EXPECT_EQ(seen(stream).trailers, "grpc-status: 0\n");
  EXPECT_TRUE(seen(stream).complete);
}

TEST_F(Http2Client, TellsInformationalResponsesApart) {
  answer([this](std::int32_t stream) {
    server.informational(stream, {{":status", "103"}, {"link", "a"}});
    server.respond(stream, {{":status", "204"}});
  });
  const StreamId stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).render(), "103 link: a\n;204\n[end][complete]");
}

TEST_F(Http2Client, EndsAStreamThatIsOnlyInformed) {
  answer([this](std::int32_t stream) {
    for (int i = 0; i < 40; ++i) server.informational(stream, {{":status", "103"}});
  });
  const StreamId stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).error, kUnexpectedData);
  EXPECT_THAT(server.closed, Contains(Key(1)));
}

TEST_F(Http2Client, SendsLargeBodiesAsItsCreditAndTheServersWindowAllow) {
  const std::string body(100'000, 'b');
  answer([this](std::int32_t stream) { server.respond(stream, kOk); });
  const StreamId stream = request(false);
  std::size_t sent = 0;
  const auto push = [&](StreamId) {
    EXPECT_LE(client.send_credit(stream), kOutput);
    sent += send(stream, std::string_view(body).substr(sent), true);
  };
  events.on_credit = push;
  push(stream);
  EXPECT_LT(sent, body.size());
  EXPECT_EQ(client.send_credit(stream), 0U);
  exchange();
  EXPECT_EQ(server.requests[1].body, body);
  EXPECT_TRUE(seen(stream).complete);
}

TEST_F(Http2Client, IsDeliveredNoMoreThanItsWindowUntilItHasConsumed) {
  events.auto_consume = false;
  answer([this](std::int32_t stream) { server.respond(stream, kOk, std::string(3 * kWindow, 'b')); });
  const StreamId stream = request(true);
  for (std::size_t turn = 1; turn <= 3; ++turn) {
    exchange();
    EXPECT_EQ(seen(stream).body.size(), turn * kWindow);
    if (turn < 3) client.consumed(stream, kWindow);
  }
  exchange();
  EXPECT_TRUE(seen(stream).complete);
}

TEST_F(Http2Client, BodiesThatNobodyTookLeaveTheConnectionsWindowOpen) {
  events.auto_consume = false;
  answer([this](std::int32_t stream) { server.begin_response(stream, kOk, std::string(kWindow, 'b')); });
  for (int i = 0; i < 100; ++i) {  // more than the 65,535 bytes of a connection
    const StreamId stream = request(true);
    ASSERT_NE(stream, 0U);
    exchange();
    ASSERT_EQ(seen(stream).body.size(), kWindow);
    events.reset_stream(stream);
    exchange();
  }
}

TEST_F(Http2Client, MayGiveUpFromInsideItsEvents) {
  answer([this](std::int32_t stream) { server.respond(stream, kOk, "data"); });
  for (const int where : {0, 1}) {
    events.on_head = [&, where](StreamId stream, ResponseHead&, bool) {
      if (where == 0) events.reset_stream(stream);
    };
    events.on_data = [&, where](StreamId stream, bool end_stream) {
      if (where == 1 && !end_stream) events.reset_stream(stream);
    };
    const StreamId stream = request(true);
    exchange();
    EXPECT_TRUE(seen(stream).was_reset);
    EXPECT_EQ(client.send_credit(stream), 0U);
    client.consumed(stream, 0);
    client.reset_stream(stream);
  }
  events.on_head = {};
  events.on_data = {};
  const StreamId stream = request(true);
  exchange();
  EXPECT_TRUE(seen(stream).complete) << "others go on";
}

TEST_F(Http2Client, OpensTheNextStreamFromInsideTheEndOfTheLast) {
  answer([this](std::int32_t stream) { server.respond(stream, kOk); });
  int left = 5;
  events.on_complete = [&](StreamId) {
    if (--left > 0) {
      EXPECT_NE(request(true), 0U);
    }
  };
  request(true);
  EXPECT_FALSE(client.can_open_stream()) << "one at a time";
  exchange();
  EXPECT_EQ(left, 0);
}

TEST_F(Http2Client, HearsWhyAStreamWasReset) {
  struct Row {
    std::uint32_t code;
    StreamReset reason;
  };
  for (const Row row : {Row{NGHTTP2_CANCEL, StreamReset::kPeerReset}, Row{NGHTTP2_REFUSED_STREAM, StreamReset::kRefused},
                        Row{NGHTTP2_NO_ERROR, StreamReset::kPeerReset}}) {
    answer([&](std::int32_t stream) { server.reset(stream, row.code); });
    const StreamId stream = request(true);
    exchange();
    EXPECT_TRUE(seen(stream).was_reset);
    EXPECT_EQ(seen(stream).reset, row.reason) << row.code;
    EXPECT_TRUE(client.can_open_stream());
  }
}

TEST_F(Http2Client, AResponseThatDoesNotWaitForTheRequestIsOne) {
  const StreamId stream = request(false);
  exchange();
  server.respond(1, kOk);
  exchange();
  EXPECT_TRUE(seen(stream).ended);
  EXPECT_FALSE(seen(stream).complete) << "the request goes on";
  server.reset(1, NGHTTP2_NO_ERROR);  // RFC 9113 8.1
  exchange();
  EXPECT_TRUE(seen(stream).complete);
}

TEST_F(Http2Client, FinishesWhatTheServerStillAnswersAfterItsGoaway) {
  answer([this](std::int32_t stream) {
    server.go_away(stream);
    server.respond(stream, kOk, "last");
  });
  const StreamId stream = request(true);
  exchange();
  EXPECT_TRUE(seen(stream).complete);
  EXPECT_FALSE(client.can_open_stream());
  EXPECT_TRUE(client.wants_close());
}

TEST_F(Http2Client, IsRefusedWhatTheGoawayLeavesOut) {
  answer([this](std::int32_t) { server.go_away(0); });
  const StreamId stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).reset, StreamReset::kRefused);
  EXPECT_TRUE(client.wants_close());
}

TEST_F(Http2Client, AGoawayWithAnErrorEndsWhatIsOpen) {
  answer([this](std::int32_t stream) { server.go_away(stream, NGHTTP2_ENHANCE_YOUR_CALM); });
  const StreamId stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).reset, StreamReset::kConnectionEnded);
  EXPECT_TRUE(client.wants_close());
}

TEST_F(Http2Client, AnswersBetweenRequestsToo) {
  answer([this](std::int32_t stream) { server.respond(stream, kOk); });
  request(true);
  exchange();
  server.ping();
  exchange();
  EXPECT_EQ(server.pongs, 1U);
  EXPECT_FALSE(client.wants_close());
  server.go_away(1);
  exchange();
  EXPECT_TRUE(client.wants_close());
}

TEST_F(Http2Client, KeepsBoundedWhatItIsMadeToAnswer) {
  request(true);
  exchange();
  const std::string ping = frame(6, 0, 0, "12345678");
  for (int i = 0; i < 2'000 && !client.wants_close(); ++i) feed(ping);  // and nothing is taken out
  EXPECT_TRUE(client.wants_close());
  EXPECT_LE(client.output().size(), kOutput + ping.size());
}

TEST_F(Http2Client, EndOfInputResetsWhatIsOpen) {
  for (const bool begun : {false, true}) {
    RecordingClient own_events;
    SequentialClient own(small(), chains, own_events);
    own_events.codec = &own;
    const StreamId stream = own_events.open(own);
    ArenaMemory memory;
    RequestHead head(memory.arena, 10);
    head.method = "GET";
    head.authority = "a";
    head.path = "/";
    ASSERT_TRUE(own.send_request(stream, head, true));
    stream::Chain input(chains);
    ASSERT_TRUE(input.append_copy(kSettings + (begun ? frame(1, 4, 1, kStatus200) : "")));
    with_events(own_events, [&] { own.receive(input, Instant()); });
    with_events(own_events, [&] { own.end_of_input(Instant()); });
    EXPECT_EQ(own_events.streams[stream].reset, begun ? StreamReset::kPeerReset : StreamReset::kConnectionEnded);
    EXPECT_EQ(own_events.streams[stream].error, begun ? kTruncated : kNone);
    EXPECT_TRUE(own.wants_close());
    EXPECT_FALSE(own.can_open_stream());
  }
}

TEST_F(Http2Client, BoundsTheFieldsOfAHead) {
  answer([this](std::int32_t stream) {
    Fields fields = kOk;
    for (int i = 0; i < 11; ++i) fields.emplace_back("f", "v");
    server.respond(stream, fields);
  });
  StreamId stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).error, kTooManyHeaders);
  answer([this](std::int32_t at) { server.respond(at, {{":status", "200"}, {"f", std::string(2'000, 'v')}}); });
  stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).error, kHeadersTooLarge);
  answer([this](std::int32_t at) { server.respond(at, kOk, "b", {{"f", std::string(2'000, 'v')}}); });
  stream = request(true);
  exchange();
  EXPECT_EQ(seen(stream).error, kHeadersTooLarge);
  EXPECT_TRUE(client.can_open_stream()) << "the connection goes on";
}

// --- what nghttp2's server would not do

TEST_F(Http2Client, EndsWithAPeerThatBreaksTheProtocol) {
  const std::string cases[] = {
      "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",              // another protocol
      frame(1, 5, 1, kStatus200),                                           // no SETTINGS first
      kSettings + frame(6, 0, 0, "1234"),                                   // a PING of four bytes
      kSettings + frame(0, 1, 1, "data"),                                   // DATA before HEADERS
      kSettings + frame(1, 4, 1, "\xff\xff\xff\xff\xff\xff"),               // no HPACK
      kSettings + frame(5, 4, 1, std::string(4, '\0') + "\x82\x84\x86"),    // a push, which was declined
      kSettings + frame(1, 0, 1, kStatus200) + frame(6, 0, 0, "12345678"),  // a head that breaks off
      kSettings + continued_head(9),                                        // and one that does not end
      kSettings + frame(8, 0, 0, std::string(4, '\0')),                     // a window that grows by nothing
      kSettings + frame(4, 0, 0, std::string("\0\4\x80\0\0\0", 6)),         // a window of more than there may be
      kSettings + std::string("\xff\xff\xff\0\0\0\0\0\1", 9),               // a frame that is too large
  };
  for (const std::string& bytes : cases) {
    SCOPED_TRACE(::testing::PrintToString(bytes));
    for (const std::size_t step : {std::size_t{1}, bytes.size()}) {
      RecordingClient own_events;
      SequentialClient own(small(), chains, own_events);
      own_events.codec = &own;
      const StreamId stream = own_events.open(own);
      ArenaMemory memory;
      RequestHead head(memory.arena, 10);
      head.method = "GET";
      head.authority = "a";
      head.path = "/";
      ASSERT_TRUE(own.send_request(stream, head, true));
      for (std::size_t at = 0; at < bytes.size(); at += step) {
        stream::Chain input(chains);
        ASSERT_TRUE(input.append_copy(std::string_view(bytes).substr(at, step)));
        with_events(own_events, [&] { own.receive(input, Instant()); });
      }
      EXPECT_TRUE(own_events.streams[stream].was_reset);
      EXPECT_EQ(own_events.streams[stream].reset, StreamReset::kProtocolError);
    }
  }
}

TEST_F(Http2Client, HeadsMayComeInPieces) {
  segment = 1;
  const StreamId stream = request(true);
  drain();
  feed(kSettings + continued_head(8));
  EXPECT_TRUE(seen(stream).complete);
}

TEST_F(Http2Client, AResponseWithABadFieldConcernsItsStreamOnly) {
  const StreamId stream = request(true);
  drain();
  feed(kSettings + frame(1, 5, 1, kStatus200 + std::string("\0\1A\1b", 5)));  // a name in upper case
  EXPECT_EQ(seen(stream).reset, StreamReset::kProtocolError);
  EXPECT_TRUE(client.can_open_stream());
}

TEST_F(Http2Client, SaysNothingMoreOnceItDrains) {
  client.start_drain();
  EXPECT_FALSE(client.can_open_stream());
  EXPECT_TRUE(client.wants_close());
}

}  // namespace
}  // namespace millrace::http::http2::testing
