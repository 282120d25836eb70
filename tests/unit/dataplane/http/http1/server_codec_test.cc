#include "dataplane/http/http1/server_codec.h"

#include "tests/unit/dataplane/http/http1/fixture.h"

namespace millrace::http::http1::testing {
namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
constexpr std::string_view kOkClose = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

struct Accepted {
  const char* why;
  std::string input;
  std::string seen;
  bool persists = true;
};

// Each under every split; `seen` is what Seen::render() makes of the first stream, without "[end][complete]".
TEST(Http1Server_Reads, EveryKindOfRequest_UnderEverySplit) {
  const std::vector<Accepted> table = {
      {"origin form (RFC 9112 3.2.1)", "GET /a?b=c%20{d}|e HTTP/1.1\r\nHost: h.example:80\r\n\r\n",
       "GET |h.example:80|/a?b=c%20{d}|e\n"},
      {"absolute form wins over Host (3.2.2)", "GET HTTP://a:1/x HTTP/1.1\r\nHost: b\r\n\r\n", "GET http|a:1|/x\n"},
      {"absolute form without a path", "GET https://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET https|a|/\n"},
      {"absolute form with a query only", "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET http|a|/?q\n"},
      {"OPTIONS of a whole server in absolute form (3.2.4)", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
       "OPTIONS http|a|*\n"},
      {"asterisk form (3.2.4)", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS |a|*\n"},
      {"an IPv6 host", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "GET |[2001:db8::1]:80|/\n"},
      {"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET ||/\n"},
      {"a method of the peer's own", "m-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n", "m-SEARCH |h|/\n"},
      {"a later minor version (2.3)", "GET / HTTP/1.9\r\nHost: h\r\n\r\n", "GET |h|/\n"},
      {"empty lines before it (2.2)", "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET |h|/\n"},
      {"whitespace around values, obs-text inside (5.1, RFC 9110 5.5)",
       "GET / HTTP/1.1\r\nHost: \t h \t\r\nA:\r\nB: x \xe4\ty \r\n\r\n", "GET |h|/\na: \nb: x \xe4\ty\n"},
      {"a length (6.2)", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
       "POST |h|/\ncontent-length: 5\n[body]hello"},
      {"a length of nothing", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "POST |h|/\ncontent-length: 0\n"},
      {"equal lengths become one (RFC 9110 8.6)",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\nContent-Length: 02\r\n\r\nhi",
       "POST |h|/\ncontent-length: 2\n[body]hi"},
      {"chunks with extensions (7.1)",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=\"b;c\"\r\nhello\r\nA \t; x\r\n, "
       "chunked!\r\n000;z\r\n\r\n",
       "POST |h|/\n[body]hello, chunked!"},
      {"trailers, without those that have no place there (RFC 9110 6.5.1)",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: 1\r\nContent-Length: 9\r\nHost: "
       "evil\r\n\r\n",
       "POST |h|/\n[body]x[trailers]t: 1\n"},
      {"trailers of which nothing is left",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n",
       "POST |h|/\n[body]x"},
      {"Connection: close (9.6)", "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", "GET |h|/\nconnection: x, Close\n",
       false},
      {"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "GET ||/ 1.0\n", false},
      {"HTTP/1.0 with keep-alive (9.3)", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       "GET ||/ 1.0\nconnection: keep-alive\n"},
      {"h2c is not offered (RFC 9113 3.1)", "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
       "GET |h|/\nconnection: upgrade\nupgrade: h2c\n"},
  };
  for (const Accepted& row : table) {
    SCOPED_TRACE(row.why);
    same_under_every_split(row.input, [&](const std::vector<std::string_view>& segments) {
      Server server;
      server.answer_all();
      std::string output;
      for (std::string_view segment : segments) {
        server.receive(segment);
        output += server.drain();
      }
      const auto& seen = server.seen(1);
      std::string text = seen.head;
      if (!seen.body.empty()) text += "[body]" + seen.body;
      if (!seen.trailers.empty()) text += "[trailers]" + seen.trailers;
      EXPECT_EQ(text, row.seen);
      EXPECT_TRUE(seen.ended && seen.complete);
      EXPECT_EQ(server.codec.wants_close(), !row.persists);
      return server.events.render() + output;
    });
  }
}

TEST(Http1Server_Pipelining, OneRequestAfterAnotherInOrder_Rfc9112_9_3_2) {
  const std::string input =
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\r\nGET /3 HTTP/1.1\r\nHost: "
      "h\r\n\r\n";
  same_under_every_split(input, [&](const std::vector<std::string_view>& segments) {
    Server server;
    server.answer_all();
    std::string output;
    for (std::string_view segment : segments) {
      server.receive(segment);
      output += server.drain();
    }
    EXPECT_EQ(output, std::string(kOk) + std::string(kOk) + std::string(kOk));
    EXPECT_EQ(server.events.streams.size(), 3U);
    EXPECT_FALSE(server.codec.wants_close());
    return server.events.render();
  });
}

TEST(Http1Server_Pipelining, LeavesTheNextRequestUntilTheFirstIsComplete) {
  Server server;
  server.receive("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(server.events.streams.size(), 1U);
  EXPECT_EQ(server.left_in_input(), 28U);
  ASSERT_TRUE(server.respond(1, 200, {}, true));
  EXPECT_FALSE(server.seen(1).complete) << "no event out of send_response()";
  EXPECT_EQ(server.drain(), kOk);
  EXPECT_TRUE(server.seen(1).complete);
  server.receive("");
  EXPECT_EQ(server.seen(2).head, "GET |h|/2\n");
}

TEST(Http1Server_Pipelining, StopsReadingWhileTheOutputIsFull) {
  Settings settings = lenient();
  settings.output_limit_bytes = 100;
  Server server(settings);
  server.answer_all();
  std::string input;
  for (int i = 0; i < 20; ++i) input += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  server.receive(input);
  EXPECT_LT(server.events.streams.size(), 5U);
  for (int i = 0; i < 20; ++i) {
    server.drain();
    server.receive("");
  }
  EXPECT_EQ(server.events.streams.size(), 20U);
}

TEST(Http1Server_Responds, WithTheFramingThatTheResponseAsksFor) {
  struct Row {
    const char* why;
    std::string request;
    std::uint16_t status;
    Server::Fields fields;
    std::string body;
    std::string expected;
    bool closes = false;
  };
  const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::vector<Row> table = {
      {"a length", get, 200, {{"content-length", "2"}}, "hi", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"},
      {"no length: chunked (RFC 9112 7.1)",
       get,
       200,
       {},
       "hello",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
      {"a Transfer-Encoding of the user's is not sent",
       get,
       200,
       {{"transfer-encoding", "gzip"}, {"content-length", "2"}},
       "hi",
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"},
      {"a malformed length is not sent",
       get,
       200,
       {{"content-length", "2x"}},
       "hi",
       "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
      {"HTTP/1.0: until close (RFC 9112 6.3)",
       "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       200,
       {},
       "hi",
       "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhi",
       true},
      {"HTTP/1.0 with a length is kept alive",
       "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       200,
       {{"content-length", "2"}},
       "hi",
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi"},
      {"HEAD keeps the length (RFC 9110 9.3.2)",
       head,
       200,
       {{"content-length", "5"}},
       "",
       "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"},
      {"HEAD: a body is dropped", head, 200, {}, "hello", "HTTP/1.1 200 OK\r\n\r\n"},
      {"204 states no length (RFC 9110 8.6)", get, 204, {{"content-length", "5"}}, "", "HTTP/1.1 204 No Content\r\n\r\n"},
      {"304 keeps the length", get, 304, {{"content-length", "5"}}, "", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"},
      {"an unknown status", get, 299, {{"content-length", "0"}}, "", "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"},
      {"too short a body breaks the connection",
       get,
       200,
       {{"content-length", "5"}},
       "hi",
       "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi",
       true},
      {"too long a body is cut and breaks the connection",
       get,
       200,
       {{"content-length", "2"}},
       "high",
       "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
       true},
      {"the user's Connection: close",
       get,
       200,
       {{"connection", "close"}, {"content-length", "0"}, {"keep-alive", "x"}},
       "",
       "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
       true},
      {"no line can be injected",
       get,
       200,
       {{"a", "b\r\nc: d"}, {"e\r\n", "f"}, {"g", "h"}, {"content-length", "0"}},
       "",
       "HTTP/1.1 200 OK\r\ng: h\r\ncontent-length: 0\r\n\r\n"},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.why);
    Server server;
    server.receive(row.request);
    ASSERT_TRUE(server.seen(1).ended);
    ASSERT_TRUE(server.respond(1, row.status, row.fields, false));
    ASSERT_TRUE(server.send_data(1, row.body, true));
    EXPECT_EQ(server.drain(), row.expected);
    EXPECT_TRUE(server.seen(1).complete);
    EXPECT_EQ(server.codec.wants_close(), row.closes);
  }
}

TEST(Http1Server_Responds, CountsFieldsThatItCannotSend) {
  Server server;
  server.receive("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 200, {{"a", "b\nc"}, {"d", std::string_view("\0", 1)}}, true));
  EXPECT_EQ(server.codec.refused_fields(), 2U);
}

TEST(Http1Server_Responds, WithTrailers_Rfc9112_7_1_2) {
  Server server;
  server.receive("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 200, {}, false));
  http::testing::ArenaMemory memory;
  HeaderMap trailers(memory.arena, 10);
  ASSERT_TRUE(trailers.add_copy("t", "1"));
  ASSERT_TRUE(trailers.add_copy("content-length", "7"));
  ASSERT_TRUE(server.codec.send_trailers(1, trailers));
  EXPECT_EQ(server.drain(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nt: 1\r\n\r\n");
  EXPECT_TRUE(server.seen(1).complete);
}

TEST(Http1Server_Informational, ContinueLeavesTheResponseOpen_Rfc9110_10_1_1) {
  Server server;
  server.receive("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 100, {}, false));
  EXPECT_EQ(server.drain(), "HTTP/1.1 100 Continue\r\n\r\n");
  server.receive("hi");
  ASSERT_TRUE(server.respond(1, 200, {}, true));
  EXPECT_EQ(server.drain(), kOk);
  EXPECT_TRUE(server.seen(1).complete);
  EXPECT_FALSE(server.codec.wants_close());
}

TEST(Http1Server_Informational, IsNotSentToHttp10_Rfc9110_15_2) {
  Server server;
  server.receive("GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 103, {}, false));
  EXPECT_EQ(server.drain(), "");
}

TEST(Http1Server_Early, AResponseBeforeTheRequestIsCompleteEndsTheConnection_Rfc9112_9_3) {
  Server server;
  server.receive("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
  ASSERT_TRUE(server.respond(1, 413, {}, true));
  EXPECT_TRUE(server.codec.wants_close());
  EXPECT_EQ(server.drain(), "HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  EXPECT_FALSE(server.seen(1).complete);
  server.receive("lloGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(server.seen(1).complete) << "the owner has read on";
  EXPECT_EQ(server.events.streams.size(), 1U);
  EXPECT_EQ(server.left_in_input(), 0U);
}

TEST(Http1Server_Error, AfterTheResponseHasBegunResetsTheStream) {
  Server server;
  server.receive("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 200, {}, false));
  server.receive("x");
  EXPECT_EQ(server.seen(1).error, ProtocolError::kBadChunk);
  EXPECT_TRUE(server.seen(1).was_reset);
  EXPECT_EQ(server.seen(1).reset, StreamReset::kProtocolError);
  EXPECT_TRUE(server.codec.wants_close());
}

TEST(Http1Server_Reset, TruncationShowsWhereTheResponseHasALengthOrChunks_Rfc9112_8) {
  struct Row {
    const char* request;
    std::uint16_t status;
    Server::Fields fields;
    bool shows;
  };
  for (const Row& row :
       {Row{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, {{"content-length", "9"}}, true},
        Row{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200, {}, true}, Row{"GET / HTTP/1.0\r\nHost: h\r\n\r\n", 200, {}, false},
        Row{"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", 101, {}, false}}) {
    SCOPED_TRACE(row.request);
    Server server;
    server.receive(row.request);
    EXPECT_FALSE(server.codec.shows_truncation(1)) << "nothing has begun";
    ASSERT_TRUE(server.respond(1, row.status, row.fields, false));
    EXPECT_EQ(server.codec.shows_truncation(1), row.shows);
    server.codec.reset_stream(1);
    EXPECT_FALSE(server.codec.shows_truncation(1));
  }
}

TEST(Http1Server_Begin, RefusedByTheUserIsAnswered503) {
  Server server;
  server.events.refuse = true;
  server.receive("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(server.codec.wants_close());
  EXPECT_TRUE(server.drain().starts_with("HTTP/1.1 503 "));
}

TEST(Http1Server_Drain, SaysCloseInTheNextResponse) {
  Server server;
  server.answer_all();
  server.codec.start_drain();
  server.codec.start_drain();
  EXPECT_FALSE(server.codec.wants_close());
  server.receive("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(server.drain(), kOkClose);
  EXPECT_TRUE(server.codec.wants_close());
  EXPECT_EQ(server.events.streams.size(), 1U);
}

TEST(Http1Server_EndOfInput, BetweenRequestsWantsToClose) {
  Server server;
  server.end_of_input();
  EXPECT_TRUE(server.codec.wants_close());
}

TEST(Http1Server_EndOfInput, ServesWhatIsLeftFirst) {
  Server server;
  server.receive("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  server.end_of_input();
  EXPECT_FALSE(server.codec.wants_close());
  ASSERT_TRUE(server.respond(1, 200, {}, true));
  server.drain();
  EXPECT_FALSE(server.codec.wants_close());
  server.receive("");
  ASSERT_TRUE(server.respond(2, 200, {}, true));
  server.drain();
  EXPECT_TRUE(server.codec.wants_close());
}

TEST(Http1Server_EndOfInput, InsideARequestResetsIt_Rfc9112_8) {
  for (std::string_view part : {"G", "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe",
                                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"}) {
    Server server;
    server.receive(part);
    server.end_of_input();
    EXPECT_TRUE(server.seen(1).was_reset) << part;
    EXPECT_EQ(server.seen(1).reset, StreamReset::kPeerReset);
    EXPECT_TRUE(server.codec.wants_close());
  }
}

TEST(Http1Server_Upgrade, CarriesOpaqueBytesBothWays_Rfc9110_7_8) {
  Server server;
  server.receive("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x01x");
  EXPECT_TRUE(server.seen(1).head.starts_with("GET |h|/ws upgrade=websocket\n"));
  EXPECT_FALSE(server.seen(1).ended);
  EXPECT_EQ(server.seen(1).body, "") << "not before the switch";
  ASSERT_TRUE(server.respond(1, 101, {{"upgrade", "websocket"}}, false));
  EXPECT_EQ(server.drain(), "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  server.receive("GET / HTTP/1.1\r\n");
  EXPECT_EQ(server.seen(1).body, "\x81\x01xGET / HTTP/1.1\r\n");
  ASSERT_TRUE(server.send_data(1, "raw\r\n", true));
  EXPECT_EQ(server.drain(), "raw\r\n");
  EXPECT_TRUE(server.codec.output_ended());
  EXPECT_FALSE(server.codec.wants_close());
  server.end_of_input();
  EXPECT_TRUE(server.seen(1).ended && server.seen(1).complete);
  EXPECT_TRUE(server.codec.wants_close());
}

TEST(Http1Server_Upgrade, RefusedByAFinalResponseGoesOnWithHttp) {
  Server server;
  server.receive(
      "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 403, {}, true));
  server.drain();
  EXPECT_TRUE(server.seen(1).ended && server.seen(1).complete);
  server.receive("");
  EXPECT_EQ(server.seen(2).head, "GET |h|/2\n");
}

TEST(Http1Server_Upgrade, ClearedByTheUserEndsTheRequestAtOnce) {
  Server server;
  server.events.on_head = [](StreamId, RequestHead& head, bool) { head.upgrade = {}; };
  server.receive("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  EXPECT_TRUE(server.seen(1).ended);
}

TEST(Http1Server_Connect, BecomesATunnel_Rfc9110_9_3_6) {
  Server server;
  server.receive("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
  EXPECT_TRUE(server.seen(1).head.starts_with("CONNECT |h:443| upgrade=CONNECT\n")) << server.seen(1).head;
  ASSERT_TRUE(server.respond(1, 200, {{"content-length", "5"}}, false));
  EXPECT_EQ(server.drain(), "HTTP/1.1 200 OK\r\n\r\n");
  server.receive("tls");
  EXPECT_EQ(server.seen(1).body, "tls");
}

TEST(Http1Server_Connect, RefusedEndsTheConnection) {
  Server server;
  server.receive("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\nGET /not-http HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(server.respond(1, 403, {}, true));
  EXPECT_NE(server.drain().find("connection: close"), std::string::npos);
  server.receive("");
  EXPECT_EQ(server.events.streams.size(), 1U);
  EXPECT_TRUE(server.codec.wants_close());
}

TEST(Http1Server_Memory, AnExhaustedArenaResetsTheStream) {
  Server server;
  server.receive("GET / HTTP/1.1\r\nHost: h\r\n");
  Arena& arena = server.events.memory[1]->arena;
  while (arena.allocate(1, 1) != nullptr) {
  }
  while (arena.allocate(100'000, 1) != nullptr) {
  }
  server.receive("a: " + std::string(2000, 'v') + "\r\n\r\n");
  EXPECT_TRUE(server.seen(1).was_reset);
  EXPECT_EQ(server.seen(1).reset, StreamReset::kOutOfMemory);
  EXPECT_TRUE(server.codec.wants_close());
}

TEST(Http1Server_Cost, AHeadOfOneByteSegmentsIsLinear) {
  Settings settings = lenient();
  settings.max_headers_bytes = limits::kMaxRequestHeadersBytes;
  Server server(settings);
  const std::string head =
      "GET /" + std::string(50'000, 'a') + " HTTP/1.1\r\nHost: h\r\nb: " + std::string(40'000, 'v') + "\r\n\r\n";
  for (char c : head.substr(0, 50'000)) server.receive({&c, 1});
  // All of the line so far lives in a few blocks: not one per byte, not one per doubling.
  EXPECT_LE(server.events.memory[1]->chunks.chunks_in_use(), 4U);
  for (char c : head.substr(50'000)) server.receive({&c, 1});
  EXPECT_TRUE(server.seen(1).ended);
}

TEST(Http1Server_Chunks, TinyOnesAreCompacted) {
  Server server;
  std::string input = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 1000; ++i) input += "1\r\nx\r\n";
  server.receive(input + "0\r\n\r\n");
  EXPECT_EQ(server.seen(1).body, std::string(1000, 'x'));
  EXPECT_TRUE(server.seen(1).ended);
}

}  // namespace
}  // namespace millrace::http::http1::testing
