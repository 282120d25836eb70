#include "dataplane/http/http1/client_codec.h"

#include "tests/unit/dataplane/http/http1/fixture.h"

namespace millrace::http::http1::testing {
namespace {

using enum ProtocolError;

TEST(Http1Client_Sends, RequestsInTheFramingThatTheyAskFor) {
  struct Row {
    const char* why;
    std::string_view method;
    Client::Fields fields;
    bool end_stream;
    std::string body;
    std::string_view upgrade;
    std::string expected;
  };
  const std::vector<Row> table = {
      {"no body", "GET", {{"a", "b"}}, true, "", "", "GET /p HTTP/1.1\r\nhost: h:80\r\na: b\r\n\r\n"},
      {"a method that means a body states that there is none (RFC 9110 8.6)",
       "POST",
       {},
       true,
       "",
       "",
       "POST /p HTTP/1.1\r\nhost: h:80\r\ncontent-length: 0\r\n\r\n"},
      {"a length",
       "PUT",
       {{"content-length", "2"}},
       false,
       "hi",
       "",
       "PUT /p HTTP/1.1\r\nhost: h:80\r\ncontent-length: 2\r\n\r\nhi"},
      {"no length: chunked",
       "PUT",
       {},
       false,
       "hi",
       "",
       "PUT /p HTTP/1.1\r\nhost: h:80\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
      {"fields of the connection are ours",
       "GET",
       {{"connection", "x"}, {"host", "evil"}, {"transfer-encoding", "x"}, {"upgrade", "x"}},
       true,
       "",
       "",
       "GET /p HTTP/1.1\r\nhost: h:80\r\n\r\n"},
      {"TE is named in Connection (RFC 9110 10.1.4)",
       "GET",
       {{"te", "trailers"}},
       true,
       "",
       "",
       "GET /p HTTP/1.1\r\nhost: h:80\r\nte: trailers\r\nconnection: te\r\n\r\n"},
      {"an upgrade (RFC 9110 7.8)",
       "GET",
       {{"upgrade", "x"}},
       false,
       "",
       "websocket",
       "GET /p HTTP/1.1\r\nhost: h:80\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"},
      {"CONNECT (RFC 9112 3.2.3)",
       "CONNECT",
       {{"content-length", "5"}},
       false,
       "",
       "CONNECT",
       "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n"},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.why);
    Client client;
    const StreamId stream = client.request(row.method, row.fields, row.end_stream, row.upgrade);
    if (!row.end_stream && !row.body.empty()) {
      ASSERT_TRUE(client.send_data(stream, row.body, true));
    }
    EXPECT_EQ(client.drain(), row.expected);
  }
}

TEST(Http1Client_Sends, NothingThatInjectsALine) {
  http::testing::ArenaMemory memory;
  const auto send = [&](std::string_view method, std::string_view authority, std::string_view path) {
    Client client;
    RequestHead head(memory.arena, 10);
    head.method = method;
    head.authority = authority;
    head.path = path;
    const StreamId stream = client.events.open(client.codec);
    return client.codec.send_request(stream, head, true) ? client.drain() : "refused";
  };
  EXPECT_EQ(send("GET", "h", "/a b\r\nc: d"), "GET /a%20b%0D%0Ac:%20d HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_EQ(send("GET", "h", "no-slash"), "GET /no-slash HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_EQ(send("GE T", "h", "/"), "refused");
  EXPECT_EQ(send("GET", "h\r\nx: y", "/"), "refused");
  EXPECT_EQ(send("CONNECT", "h", ""), "refused");
}

struct Response {
  const char* why;
  std::string_view method;
  std::string input;
  std::string seen;
  bool reusable = true;
  bool ends_with_connection = false;
};

TEST(Http1Client_Reads, EveryKindOfResponse_UnderEverySplit) {
  const std::vector<Response> table = {
      {"a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200\ncontent-length: 5\n[body]hello"},
      {"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200\ncontent-length: 0\n"},
      {"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200\n[body]hello"},
      {"trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n",
       "200\n[body]x[trailers]t: 1\n"},
      {"to HEAD there is no body (RFC 9112 6.3)", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
       "200\ncontent-length: 5\n"},
      {"to HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200\n"},
      {"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "204\n"},
      {"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304\ncontent-length: 5\n"},
      {"informational before it (RFC 9110 15.2)", "GET",
       "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
       "100 ;103 link: a\n;204\n"},
      {"Connection: close", "GET", "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n", "204\nconnection: close\n", false},
      {"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200\ncontent-length: 1\n[body]x", false},
      {"HTTP/1.0 with keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
       "200\nconnection: Keep-Alive\ncontent-length: 1\n[body]x"},
      {"until close (RFC 9112 6.3 rule 8)", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", "200\n[body]hello", false, true},
  };
  for (const Response& row : table) {
    SCOPED_TRACE(row.why);
    same_under_every_split(row.input, [&](const std::vector<std::string_view>& segments) {
      Client client;
      const StreamId stream = client.request(row.method);
      client.drain();
      for (std::string_view segment : segments) client.receive(segment);
      if (row.ends_with_connection) {
        EXPECT_FALSE(client.seen(stream).ended);
        client.end_of_input();
      }
      const auto& seen = client.seen(stream);
      std::string text = seen.informational + seen.head;
      if (!seen.body.empty()) text += "[body]" + seen.body;
      if (!seen.trailers.empty()) text += "[trailers]" + seen.trailers;
      EXPECT_EQ(text, row.seen);
      EXPECT_TRUE(seen.ended && seen.complete);
      EXPECT_EQ(client.codec.can_open_stream(), row.reusable);
      EXPECT_EQ(client.codec.wants_close(), !row.reusable);
      return client.events.render();
    });
  }
}

TEST(Http1Client_Refuses, WhatCouldSmuggleOrIsMalformed_UnderEverySplit) {
  struct Row {
    const char* why;
    std::string input;
    ProtocolError error;
  };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::vector<Row> table = {
      {"no HTTP at all", "SSH-2.0-x\r\n", kBadStatusLine},
      {"an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", kBadStatusLine},
      {"two digits", "HTTP/1.1 20 OK\r\n", kBadStatusLine},
      {"four digits", "HTTP/1.1 2000 OK\r\n", kBadStatusLine},
      {"below 100", "HTTP/1.1 099 x\r\n", kBadStatusLine},
      {"a control character in the reason", "HTTP/1.1 200 \x01\r\n", kBadStatusLine},
      {"HTTP/2", "HTTP/2.0 200 OK\r\n", kUnsupportedVersion},
      {"a bare LF", "HTTP/1.1 200 OK\n", kBareLf},
      {"a bare CR", "HTTP/1.1 200 O\rK\r\n", kBareCr},
      {"folding", ok + "A: b\r\n c\r\n\r\n", kObsoleteFolding},
      {"a space before the colon", ok + "A : b\r\n\r\n", kBadHeaderName},
      {"Content-Length and Transfer-Encoding (RFC 9112 6.3)", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       kLengthAndChunked},
      {"different lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", kBadContentLength},
      {"a coding that is not chunked", ok + "Transfer-Encoding: gzip\r\n\r\n", kBadTransferEncoding},
      {"a coding before chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", kUnknownTransferEncoding},
      {"chunked in HTTP/1.0 (RFC 9112 6.1)", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", kBadTransferEncoding},
      {"a bad chunk", ok + "Transfer-Encoding: chunked\r\n\r\nx\r\n", kBadChunk},
      {"101 to a request that asked for none", "HTTP/1.1 101 Switching Protocols\r\n\r\n", kBadStatusLine},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.why);
    same_under_every_split(row.input, [&](const std::vector<std::string_view>& segments) {
      Client client;
      const StreamId stream = client.request("GET");
      client.drain();
      for (std::string_view segment : segments) client.receive(segment);
      EXPECT_TRUE(client.seen(stream).was_reset);
      EXPECT_EQ(client.seen(stream).reset, StreamReset::kProtocolError);
      EXPECT_EQ(client.seen(stream).error, row.error) << to_text(client.seen(stream).error);
      EXPECT_TRUE(client.codec.wants_close());
      EXPECT_FALSE(client.codec.can_open_stream());
      return client.events.render();
    });
  }
}

TEST(Http1Client_Refuses, InformationalResponsesWithoutEnd) {
  Client client;
  const StreamId stream = client.request("GET");
  for (std::size_t i = 0; i <= kMaxInformationalResponses; ++i) client.receive("HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.seen(stream).error, kHeadersTooLarge);
}

TEST(Http1Client_Reuse, TakesOneRequestAfterAnother) {
  Client client;
  for (StreamId i = 1; i <= 3; ++i) {
    EXPECT_EQ(client.request("GET"), i);
    EXPECT_FALSE(client.codec.can_open_stream());
    EXPECT_EQ(client.request("GET"), 0U) << "one at a time";
    client.drain();
    client.receive("HTTP/1.1 204 x\r\n\r\n");
    EXPECT_TRUE(client.seen(i).complete);
  }
}

TEST(Http1Client_Reuse, EndsWithBytesThatBelongToNoResponse_Rfc9112_9_2) {
  Client idle;
  idle.receive("HTTP/1.1 408 Request Timeout\r\n\r\n");
  EXPECT_TRUE(idle.codec.wants_close());
  EXPECT_FALSE(idle.codec.can_open_stream());

  // Not even from inside the end of the response before them: they would answer the next request.
  Client client;
  client.events.on_complete = [&](StreamId) { EXPECT_FALSE(client.codec.can_open_stream()); };
  const StreamId stream = client.request("GET");
  client.receive("HTTP/1.1 204 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
  EXPECT_TRUE(client.seen(stream).complete);
  EXPECT_EQ(client.left_in_input(), 0U);

  Client unsent;
  const StreamId open = unsent.events.open(unsent.codec);
  unsent.receive("HTTP/1.1 204 x\r\n\r\n");
  EXPECT_EQ(unsent.seen(open).error, kUnexpectedData);
}

TEST(Http1Client_Reuse, EndsWithAResponseBeforeTheRequestWasComplete_Rfc9112_9_3) {
  Client client;
  const StreamId stream = client.request("PUT", {}, false);
  client.receive("HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(client.seen(stream).ended);
  EXPECT_FALSE(client.seen(stream).complete);
  EXPECT_TRUE(client.codec.wants_close());
  ASSERT_TRUE(client.send_data(stream, "", true));
  client.drain();
  EXPECT_TRUE(client.seen(stream).complete);
  EXPECT_FALSE(client.codec.can_open_stream());
}

TEST(Http1Client_Reuse, EndsWithDraining) {
  Client client;
  const StreamId stream = client.request("GET");
  client.codec.start_drain();
  EXPECT_FALSE(client.codec.wants_close());
  client.receive("HTTP/1.1 204 x\r\n\r\n");
  EXPECT_TRUE(client.seen(stream).complete);
  EXPECT_TRUE(client.codec.wants_close());
}

TEST(Http1Client_EndOfInput, SaysWhetherAResponseHadBegun) {
  Client before;
  StreamId stream = before.request("GET");
  before.end_of_input();
  EXPECT_EQ(before.seen(stream).reset, StreamReset::kConnectionEnded);
  for (std::string_view part :
       {"H", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"}) {
    Client inside;
    stream = inside.request("GET");
    inside.receive(part);
    inside.end_of_input();
    EXPECT_EQ(inside.seen(stream).reset, StreamReset::kPeerReset) << part;
    EXPECT_EQ(inside.seen(stream).error, kTruncated);
  }
}

TEST(Http1Client_EndOfInput, DeliversWhatTheWindowHeldBackFirst) {
  Settings settings = lenient();
  settings.receive_window_bytes = 4;
  Client client(settings);
  client.events.auto_consume = false;
  const StreamId stream = client.request("GET");
  client.receive("HTTP/1.1 200 OK\r\n\r\nhello");
  client.end_of_input();
  EXPECT_EQ(client.seen(stream).body, "hell");
  EXPECT_FALSE(client.seen(stream).ended);
  client.codec.consumed(stream, 4);
  client.receive("");
  EXPECT_EQ(client.seen(stream).body, "hello");
  EXPECT_TRUE(client.seen(stream).complete);
}

TEST(Http1Client_Promise, ABodyShorterThanItsLengthResetsTheStream) {
  Client client;
  const StreamId stream = client.request("PUT", {{"content-length", "5"}}, false);
  ASSERT_TRUE(client.send_data(stream, "hi", true));
  EXPECT_TRUE(client.codec.wants_close());
  client.drain();
  EXPECT_TRUE(client.seen(stream).was_reset);
}

TEST(Http1Client_Upgrade, CarriesOpaqueBytesOnceThePeerHasSwitched_Rfc9110_7_8) {
  Client client;
  const StreamId stream = client.request("GET", {}, false, "websocket");
  EXPECT_EQ(client.codec.send_credit(stream), 0U);
  client.drain();
  EXPECT_EQ(client.seen(stream).credits, 0);
  client.receive("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81");
  EXPECT_TRUE(client.seen(stream).head.starts_with("101\n"));
  EXPECT_EQ(client.seen(stream).body, "\x81");
  client.drain();
  EXPECT_EQ(client.seen(stream).credits, 1);
  ASSERT_TRUE(client.send_data(stream, "raw", true));
  EXPECT_EQ(client.drain(), "raw");
  EXPECT_TRUE(client.codec.output_ended());
  EXPECT_FALSE(client.codec.wants_close());
  client.end_of_input();
  EXPECT_TRUE(client.seen(stream).ended && client.seen(stream).complete);
  EXPECT_TRUE(client.codec.wants_close());
}

TEST(Http1Client_Upgrade, RefusedCompletesTheRequest) {
  Client client;
  const StreamId stream = client.request("GET", {}, false, "websocket");
  client.receive("HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_EQ(client.seen(stream).body, "no");
  EXPECT_TRUE(client.seen(stream).complete);
  EXPECT_TRUE(client.codec.can_open_stream());
}

TEST(Http1Client_Connect, IgnoresTheFramingOfASuccess_Rfc9112_6_3) {
  Client client;
  const StreamId stream = client.request("CONNECT", {}, false, "CONNECT");
  client.receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\ntunnel");
  EXPECT_EQ(client.seen(stream).head, "200\n");
  EXPECT_EQ(client.seen(stream).body, "tunnel");
}

}  // namespace
}  // namespace millrace::http::http1::testing
