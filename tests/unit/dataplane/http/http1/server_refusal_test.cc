// What a server refuses, by the table: each row under every split of its input, each ending the connection behind its answer.
// Sections without a number of their RFC are of RFC 9112.
#include <string>

#include "tests/unit/dataplane/http/http1/fixture.h"

namespace millrace::http::http1::testing {
namespace {

using enum ProtocolError;

struct Refusal {
  const char* why;
  std::string input;
  ProtocolError error;
};

std::string get(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"; }
std::string post(const std::string& fields, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) { return post("Transfer-Encoding: chunked\r\n", body); }

const std::vector<Refusal>& refusals() {
  static const std::vector<Refusal> table = {
      // The request line (3).
      {"no version: HTTP/0.9", "GET /\r\n", kBadRequestLine},
      {"one word", "GET\r\n", kBadRequestLine},
      {"a target with a space", "GET /a b HTTP/1.1\r\n", kBadTarget},
      {"two spaces before the target", "GET  / HTTP/1.1\r\n", kBadTarget},
      {"two spaces behind the target", "GET /  HTTP/1.1\r\n", kBadTarget},
      {"a tab instead of a space", "GET\t/ HTTP/1.1\r\n", kBadRequestLine},
      {"a space at the end", "GET / HTTP/1.1 \r\n", kBadVersion},
      {"a method that is no token", "GE(T / HTTP/1.1\r\n", kBadMethod},
      {"a TLS hello", std::string("\x16\x03\x01\x02\x00\x01", 6), kBadMethod},
      {"a space first", " GET / HTTP/1.1\r\n", kBadMethod},
      {"NUL in the target", std::string("GET /\0 HTTP/1.1\r\n", 17), kBadTarget},
      {"a raw byte above ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\n", kBadTarget},
      {"a fragment", "GET /#a HTTP/1.1\r\n", kBadTarget},
      {"a target of no form", "GET a HTTP/1.1\r\n", kBadTarget},
      {"asterisk without OPTIONS (3.2.4)", "GET * HTTP/1.1\r\n", kBadTarget},
      {"userinfo (RFC 9110 4.2.4)", "GET http://u@h/ HTTP/1.1\r\n", kBadTarget},
      {"absolute form without a host", "GET http:///a HTTP/1.1\r\n", kBadTarget},
      {"a scheme that is not ours", "GET ftp://h/ HTTP/1.1\r\n", kBadTarget},
      {"CONNECT in origin form (3.2.3)", "CONNECT / HTTP/1.1\r\n", kBadTarget},
      {"CONNECT without a port (RFC 9110 9.3.6)", "CONNECT h HTTP/1.1\r\n", kBadTarget},
      {"CONNECT with an empty port", "CONNECT h: HTTP/1.1\r\n", kBadTarget},
      {"a port too large", "CONNECT h:65536 HTTP/1.1\r\n", kBadTarget},
      {"lower-case version (2.3)", "GET / http/1.1\r\n", kBadVersion},
      {"a long version", "GET / HTTP/1.10\r\n", kBadVersion},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n", kUnsupportedVersion},
      {"HTTP/0.9 by name", "GET / HTTP/0.9\r\n", kUnsupportedVersion},
      // Line ends (2.2).
      {"request line with a bare LF", "GET / HTTP/1.1\n", kBareLf},
      {"field line with a bare LF", "GET / HTTP/1.1\r\nHost: h\n", kBareLf},
      {"a head that ends in a bare LF", "GET / HTTP/1.1\r\nHost: h\r\n\n", kBareLf},
      {"CR in the request line", "GET /\r HTTP/1.1\r\n", kBareCr},
      {"CR in a field value", get("A: b\rc\r\n"), kBareCr},
      {"CR CR LF", get("A: b\r\r\n"), kBareCr},
      {"CR hides a line of its own", get("A: b\rTransfer-Encoding: chunked\r\n"), kBareCr},
      {"a bare LF before the request", "\nGET / HTTP/1.1\r\n", kBareLf},
      {"a bare CR before the request", "\rGET / HTTP/1.1\r\n", kBareCr},
      {"empty lines without end", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", kBadRequestLine},
      // Field lines (5).
      {"a space before the colon (5.1)", get("Content-Length : 5\r\n"), kBadHeaderName},
      {"a tab before the colon", get("Transfer-Encoding\t: chunked\r\n"), kBadHeaderName},
      {"no colon", get("Abc\r\n"), kBadHeaderName},
      {"no name", get(": a\r\n"), kBadHeaderName},
      {"a name with a space", get("A b: c\r\n"), kBadHeaderName},
      {"a name with NUL", "GET / HTTP/1.1\r\n" + std::string("Ho\0st: h\r\n", 10), kBadHeaderName},
      {"a name above ASCII", get("\xc3\xa4: c\r\n"), kBadHeaderName},
      {"folding (5.2)", get("A: b\r\n c\r\n"), kObsoleteFolding},
      {"folding with a tab", get("A: b\r\n\tTransfer-Encoding: chunked\r\n"), kObsoleteFolding},
      {"whitespace before the first field (2.2)", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", kObsoleteFolding},
      {"NUL in a value (RFC 9110 5.5)", get(std::string("A: b\0c\r\n", 8)), kBadHeaderValue},
      {"a control character in a value", get("A: b\x01\r\n"), kBadHeaderValue},
      {"vertical tab before chunked",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n"),
       kBadHeaderValue},
      {"DEL in a value", get("A: b\x7f\r\n"), kBadHeaderValue},
      // Host (3.2).
      {"no Host", "GET / HTTP/1.1\r\n\r\n", kMissingHost},
      {"two Hosts", get("Host: h\r\n"), kBadHost},
      {"two different Hosts", get("host: i\r\n"), kBadHost},
      {"a Host with userinfo", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", kBadHost},
      {"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", kBadHost},
      {"a Host list", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", kBadHost},
      {"a bad port", "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", kBadHost},
      {"an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", kBadHost},
      {"a bad escape", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", kBadHost},
      // Content-Length (6.2, RFC 9110 8.6).
      {"not a number", post("Content-Length: a\r\n"), kBadContentLength},
      {"empty", post("Content-Length:\r\n"), kBadContentLength},
      {"a plus sign", post("Content-Length: +5\r\n"), kBadContentLength},
      {"a minus sign", post("Content-Length: -1\r\n"), kBadContentLength},
      {"hexadecimal", post("Content-Length: 0x5\r\n"), kBadContentLength},
      {"two numbers", post("Content-Length: 5 5\r\n"), kBadContentLength},
      {"a different list", post("Content-Length: 5, 6\r\n"), kBadContentLength},
      {"an empty element", post("Content-Length: 5,\r\n"), kBadContentLength},
      {"different fields", post("Content-Length: 5\r\nContent-Length: 6\r\n"), kBadContentLength},
      {"2^63", post("Content-Length: 9223372036854775808\r\n"), kBadContentLength},
      {"2^64 + 5", post("Content-Length: 18446744073709551621\r\n"), kBadContentLength},
      // Transfer-Encoding (6.1, 6.3).
      {"CL.TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), kLengthAndChunked},
      {"TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), kLengthAndChunked},
      {"TE.CL, unknown coding", post("Transfer-Encoding: x\r\nContent-Length: 5\r\n"), kLengthAndChunked},
      {"identity", post("Transfer-Encoding: identity\r\n"), kBadTransferEncoding},
      {"empty", post("Transfer-Encoding:\r\n"), kBadTransferEncoding},
      {"chunked is not last", post("Transfer-Encoding: chunked, gzip\r\n"), kBadTransferEncoding},
      {"chunked twice", post("Transfer-Encoding: chunked, chunked\r\n"), kBadTransferEncoding},
      {"chunked twice in two fields", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), kBadTransferEncoding},
      {"hidden by a second field", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), kBadTransferEncoding},
      {"quoted", post("Transfer-Encoding: \"chunked\"\r\n"), kBadTransferEncoding},
      {"with a parameter", post("Transfer-Encoding: chunked;a=b\r\n"), kBadTransferEncoding},
      {"xchunked", post("Transfer-Encoding: xchunked\r\n"), kBadTransferEncoding},
      {"a coding before chunked", post("Transfer-Encoding: gzip, chunked\r\n"), kUnknownTransferEncoding},
      {"in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", kBadTransferEncoding},
      {"CONNECT with a body", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\n", kBadContentLength},
      {"CONNECT with chunks", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nTransfer-Encoding: chunked\r\n\r\n", kBadTransferEncoding},
      // Chunks (7.1).
      {"no size", chunked("\r\n"), kBadChunk},
      {"not hexadecimal", chunked("g\r\n"), kBadChunk},
      {"a prefix", chunked("0x5\r\n"), kBadChunk},
      {"a sign", chunked("+5\r\n"), kBadChunk},
      {"a space before the size", chunked(" 5\r\n"), kBadChunk},
      {"a space behind the size", chunked("5 \r\nhello\r\n"), kBadChunk},
      {"2^63", chunked("8000000000000000\r\n"), kChunkOverflow},
      {"2^64 + 5", chunked("10000000000000005\r\n"), kChunkOverflow},
      {"zeros without end", chunked("00000000000000005\r\n"), kChunkOverflow},
      {"a size line with a bare LF", chunked("5\nhello\r\n"), kBareLf},
      {"an extension with a bare LF", chunked("5;a\nhello\r\n"), kBareLf},
      {"an extension with a bare CR", chunked("5;a\rb\r\nhello\r\n"), kBareCr},
      {"NUL in an extension", chunked(std::string("5;\0\r\n", 5)), kBadChunk},
      {"a size line with a bare CR", chunked("5\rhello\r\n"), kBareCr},
      {"data longer than its chunk", chunked("5\r\nhello!\r\n"), kBadChunk},
      {"data shorter than its chunk", chunked("5\r\nhell\r\n0\r\n\r\n"), kBadChunk},
      {"data that ends in a bare LF", chunked("5\r\nhello\n0\r\n\r\n"), kBadChunk},
      {"data that ends in a bare CR", chunked("5\r\nhello\r0\r\n\r\n"), kBareCr},
      {"trailers with a bare LF", chunked("0\r\na: b\n\r\n"), kBareLf},
      {"trailers that end in a bare LF", chunked("0\r\n\n"), kBareLf},
      {"trailers with a space before the colon", chunked("0\r\na : b\r\n\r\n"), kBadHeaderName},
      {"folded trailers", chunked("0\r\na: b\r\n c\r\n\r\n"), kObsoleteFolding},
  };
  return table;
}

TEST(Http1ServerRefuses, WhatCouldSmuggleOrIsMalformed_UnderEverySplit) {
  for (const Refusal& row : refusals()) {
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
      EXPECT_EQ(seen.error, row.error) << to_text(seen.error);
      EXPECT_TRUE(seen.complete);
      EXPECT_TRUE(server.codec.wants_close());
      EXPECT_TRUE(output.starts_with("HTTP/1.1 " + std::to_string(status_of(row.error)) + " ")) << output;
      EXPECT_NE(output.find("connection: close\r\n"), std::string::npos) << output;
      // Nothing behind it is a request any more.
      server.receive("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
      EXPECT_EQ(server.events.streams.size(), 1U);
      EXPECT_EQ(server.left_in_input(), 0U);
      return server.events.render() + output;
    });
  }
}

struct Limit {
  const char* why;
  std::string input;
  ProtocolError error;
};

TEST(Http1ServerRefuses, WhatIsTooLarge_UnderEverySplit) {
  Settings settings = lenient();
  settings.max_headers_bytes = 64;
  settings.max_request_line_bytes = 32;
  settings.max_header_count = 3;
  const std::vector<Limit> table = {
      {"RFC 9110 15.5.15: a request line of 33 bytes", "GET /" + std::string(17, 'a') + " HTTP/1.1\r\n", kLineTooLong},
      {"a request line without end", "GET /" + std::string(28, 'a'), kLineTooLong},
      {"RFC 6585 5: a head of 65 bytes", "GET / HTTP/1.1\r\nHost: h\r\na: " + std::string(33, 'v') + "\r\n\r\n",
       kHeadersTooLarge},
      {"a field without end", "GET / HTTP/1.1\r\nHost: h\r\na: " + std::string(64, 'v'), kHeadersTooLarge},
      {"four fields", "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\nc:\r\n\r\n", kTooManyHeaders},
      {"trailers of 65 bytes",
       "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: " + std::string(58, 'v') + "\r\n\r\n",
       kHeadersTooLarge},
  };
  for (const Limit& row : table) {
    SCOPED_TRACE(row.why);
    same_under_every_split(row.input, [&](const std::vector<std::string_view>& segments) {
      Server server(settings);
      server.answer_all();
      for (std::string_view segment : segments) server.receive(segment);
      EXPECT_EQ(server.seen(1).error, row.error) << to_text(server.seen(1).error);
      EXPECT_TRUE(server.codec.wants_close());
      return server.events.render() + server.drain();
    });
  }
}

TEST(Http1ServerAccepts, WhatIsExactlyAsLargeAsAllowed) {
  Settings settings = lenient();
  settings.max_headers_bytes = 64;
  settings.max_request_line_bytes = 32;
  settings.max_header_count = 2;
  Server server(settings);
  const std::string head = "GET /" + std::string(16, 'a') + " HTTP/1.1\r\nHost: h\r\na: " + std::string(16, 'v') + "\r\n\r\n";
  ASSERT_EQ(head.size(), 64U);
  server.receive(head);
  EXPECT_TRUE(server.seen(1).ended);
}

TEST(Http1ServerRefuses, TooManyChunkExtensions_Rfc9112_7_1_1) {
  Server server;
  server.answer_all();
  server.receive(chunked(""));
  for (int i = 0; i < 20 && server.seen(1).error == kNone; ++i) server.receive("1;" + std::string(1000, 'x') + "\r\na\r\n");
  EXPECT_EQ(server.seen(1).error, kChunkOverflow);
}

TEST(Http1ServerRefuses, Http10AndAbsoluteFormWhereTheSettingsSaySo) {
  Settings settings;
  settings.accept_http_10 = false;
  settings.allow_absolute_url = false;
  Server old(settings);
  old.receive("GET / HTTP/1.0\r\n");
  EXPECT_EQ(old.seen(1).error, kHttp10NotAccepted);
  Server absolute(settings);
  absolute.receive("GET http://h/ HTTP/1.1\r\n");
  EXPECT_EQ(absolute.seen(1).error, kBadTarget);
}

TEST(Http1Server, TreatsUnderscoresAsTheSettingsSay) {
  const std::string request = get("a_b: 1\r\nc: 2\r\n");
  Settings settings = lenient();
  Server allows(settings);
  allows.receive(request);
  EXPECT_EQ(allows.seen(1).head, "GET |h|/\na_b: 1\nc: 2\n");
  settings.headers_with_underscores_action = UnderscoreAction::kDrop;
  Server drops(settings);
  drops.receive(request);
  EXPECT_EQ(drops.seen(1).head, "GET |h|/\nc: 2\n");
  settings.headers_with_underscores_action = UnderscoreAction::kReject;
  Server rejects(settings);
  rejects.receive(request);
  EXPECT_EQ(rejects.seen(1).error, kUnderscoreInName);
}

}  // namespace
}  // namespace millrace::http::http1::testing
