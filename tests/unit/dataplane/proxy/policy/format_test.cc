#include "dataplane/proxy/policy/format.h"

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <string>
#include <vector>

#include "config/model/route.h"
#include "tests/unit/dataplane/proxy/policy/policy_support.h"

namespace millrace::proxy {
namespace {

using namespace testing;
using config::FormatCommand;

// 6 November 1994, 08:49:37.0123456789 UTC.
constexpr std::int64_t kWall = 784'111'777'012'345'678;

struct Stream {
  Stream() {
    info.start_wall_nanoseconds = kWall;
    info.start = Instant::from_nanoseconds(1'000'000);
    info.request = &request.head;
    info.downstream_local = *SocketAddress::parse("198.18.0.2:80");
    info.downstream_remote = *SocketAddress::parse("203.0.113.9:0");
    info.downstream_direct_remote = *SocketAddress::parse("[2001:db8::1]:4711");
  }
  std::string operator()(FormatCommand command, std::string_view text = {}, std::string_view alternative = {},
                         std::optional<std::uint32_t> max_length = {}) const {
    std::array<char, 1'000> out;
    const std::size_t size = evaluate(field_format(command, text, alternative, max_length), info, {.hostname = "gw"}, out);
    return {out.data(), size};
  }
  Request request{"/p?q", {{"x-a", "alpha"}, {"x-empty", ""}}};
  Response response{404, {{"content-type", "text/html"}}};
  StreamInfo info;
};

TEST(Format, AUnixSocketIsItsPath) {
  Stream stream;
  stream.info.downstream_local = stream.info.downstream_remote = stream.info.downstream_direct_remote =
      SocketAddress::of_pipe("/run/edge.sock");
  stream.info.downstream_pipe = "/run/edge.sock";
  stream.info.upstream_host = stream.info.upstream_remote = SocketAddress::of_pipe("/run/origin.sock");
  stream.info.upstream_pipe = "/run/origin.sock";
  stream.info.upstream_local = SocketAddress::of_pipe("");
  using enum FormatCommand;
  for (const FormatCommand command :
       {kDownstreamLocalAddress, kDownstreamLocalAddressWithoutPort, kDownstreamRemoteAddress,
        kDownstreamRemoteAddressWithoutPort, kDownstreamDirectRemoteAddress, kDownstreamDirectRemoteAddressWithoutPort}) {
    EXPECT_EQ(stream(command), "/run/edge.sock") << static_cast<int>(command);
  }
  for (const FormatCommand command : {kUpstreamHost, kUpstreamRemoteAddress, kUpstreamRemoteAddressWithoutPort})
    EXPECT_EQ(stream(command), "/run/origin.sock") << static_cast<int>(command);
  for (const FormatCommand command : {kDownstreamLocalPort, kDownstreamRemotePort, kDownstreamDirectRemotePort,
                                      kUpstreamRemotePort, kUpstreamLocalAddress, kUpstreamLocalPort}) {
    EXPECT_EQ(stream(command), "-") << static_cast<int>(command);
  }
}

TEST(Format, WhatHasNotHappenedIsADash) {
  const Stream stream;
  using enum FormatCommand;
  for (const FormatCommand command : {kResp,
                                      kTrailer,
                                      kResponseCodeDetails,
                                      kResponseFlags,
                                      kResponseFlagsLong,
                                      kDuration,
                                      kRequestDuration,
                                      kResponseDuration,
                                      kResponseTxDuration,
                                      kUpstreamHost,
                                      kUpstreamCluster,
                                      kUpstreamLocalAddress,
                                      kUpstreamTransportFailureReason,
                                      kRouteName,
                                      kVirtualHostName,
                                      kRequestedServerName,
                                      kFilterChainName,
                                      kQueryParam,
                                      kUpstreamRemoteAddress,
                                      kUpstreamRemoteAddressWithoutPort,
                                      kUpstreamRemotePort,
                                      kUpstreamLocalAddressWithoutPort,
                                      kUpstreamLocalPort}) {
    EXPECT_EQ(stream(command, "x"), "-") << static_cast<int>(command);
  }
  EXPECT_EQ(stream(kResponseCode), "0");
  EXPECT_EQ(stream(kBytesSent), "0");
  EXPECT_EQ(stream(kUpstreamRequestAttemptCount), "0");
}

TEST(Format, RequestFieldsWithAlternativeAndLength) {
  const Stream stream;
  using enum FormatCommand;
  EXPECT_EQ(stream(kReq, "x-a"), "alpha");
  EXPECT_EQ(stream(kReq, "x-a", {}, 3), "alp");
  EXPECT_EQ(stream(kReq, "x-a", {}, 0), "");
  EXPECT_EQ(stream(kReq, "x-not"), "-");
  EXPECT_EQ(stream(kReq, "x-not", ":path"), "/p?q");
  EXPECT_EQ(stream(kReq, "x-empty", "x-a"), "") << "empty is not missing";
  EXPECT_EQ(stream(kReq, ":method"), "GET");
  EXPECT_EQ(stream(kReq, ":authority"), "example.com");
  EXPECT_EQ(stream(kReq, ":scheme"), "-");
}

TEST(Format, EverythingOfAFinishedRequest) {
  Stream stream;
  StreamInfo& info = stream.info;
  config::Route route;
  route.name = "r";
  config::VirtualHost host;
  host.name = "v";
  const auto at = [&](std::int64_t ms) { return info.start + Duration::milliseconds(ms); };
  info.request_received = at(2);
  info.upstream_response_started = at(10);
  info.response_sent = at(25) + Duration::microseconds(999);
  info.upstream_host = *SocketAddress::parse("10.0.0.6:9080");
  info.upstream_remote = *SocketAddress::parse("10.0.0.7:9080");
  info.upstream_local = *SocketAddress::parse("198.18.0.2:40000");
  info.response = &stream.response.head;
  info.response_code = 404;
  info.response_code_details = "via_upstream";
  info.flags.set(ResponseFlag::kUpstreamRemoteReset);
  info.flags.set(ResponseFlag::kNoHealthyUpstream);
  info.bytes_received = 5;
  info.bytes_sent = 1'000'000'000'000;
  info.attempts = 2;
  info.connection_id = 17;
  info.stream_id = 18;
  info.route = &route;
  info.virtual_host = &host;
  info.cluster = "c";
  info.filter_chain = "f";
  using enum FormatCommand;
  EXPECT_EQ(stream(kRequestDuration), "2");
  EXPECT_EQ(stream(kResponseDuration), "10");
  EXPECT_EQ(stream(kDuration), "25");
  EXPECT_EQ(stream(kResponseTxDuration), "15");
  EXPECT_EQ(stream(kUpstreamHost), "10.0.0.6:9080");
  EXPECT_EQ(stream(kUpstreamLocalAddress), "198.18.0.2:40000");
  EXPECT_EQ(stream(kResp, "content-type"), "text/html");
  EXPECT_EQ(stream(kResp, ":status"), "404");
  EXPECT_EQ(stream(kResponseCode), "404");
  EXPECT_EQ(stream(kResponseCodeDetails), "via_upstream");
  EXPECT_EQ(stream(kResponseFlags), "UH,UR");
  EXPECT_EQ(stream(kResponseFlagsLong), "NoHealthyUpstream,UpstreamRemoteReset");
  EXPECT_EQ(stream(kBytesReceived), "5");
  EXPECT_EQ(stream(kBytesSent), "1000000000000");
  EXPECT_EQ(stream(kUpstreamRequestAttemptCount), "2");
  EXPECT_EQ(stream(kConnectionId), "17");
  EXPECT_EQ(stream(kStreamId), "18");
  EXPECT_EQ(stream(kRouteName), "r");
  EXPECT_EQ(stream(kVirtualHostName), "v");
  EXPECT_EQ(stream(kUpstreamCluster), "c");
  EXPECT_EQ(stream(kFilterChainName), "f");
  EXPECT_EQ(stream(kProtocol), "HTTP/1.1");
  EXPECT_EQ(stream(kHostname), "gw");
  EXPECT_EQ(stream(kDownstreamRemoteAddress), "203.0.113.9:0");
  EXPECT_EQ(stream(kDownstreamRemoteAddressWithoutPort), "203.0.113.9");
  EXPECT_EQ(stream(kDownstreamDirectRemoteAddress), "[2001:db8::1]:4711");
  EXPECT_EQ(stream(kDownstreamLocalAddress), "198.18.0.2:80");
  EXPECT_EQ(stream(kDownstreamLocalAddressWithoutPort), "198.18.0.2");
  EXPECT_EQ(stream(kDownstreamLocalPort), "80");
  EXPECT_EQ(stream(kDownstreamRemotePort), "0");
  EXPECT_EQ(stream(kDownstreamDirectRemoteAddressWithoutPort), "2001:db8::1");
  EXPECT_EQ(stream(kDownstreamDirectRemotePort), "4711");
  EXPECT_EQ(stream(kUpstreamRemoteAddress), "10.0.0.7:9080");
  EXPECT_EQ(stream(kUpstreamRemoteAddressWithoutPort), "10.0.0.7");
  EXPECT_EQ(stream(kUpstreamRemotePort), "9080");
  EXPECT_EQ(stream(kUpstreamLocalAddressWithoutPort), "198.18.0.2");
  EXPECT_EQ(stream(kUpstreamLocalPort), "40000");
  info.request = nullptr;
  EXPECT_EQ(stream(kProtocol), "-");
  EXPECT_EQ(stream(kReq, ":method"), "-");
  EXPECT_EQ(stream(kReqWithoutQuery, ":path"), "-");
  EXPECT_EQ(stream(kQueryParam, "q"), "-");
}

TEST(Format, FieldsWithoutTheirQuery) {
  const Stream stream;
  using enum FormatCommand;
  EXPECT_EQ(stream(kReqWithoutQuery, ":path"), "/p");
  EXPECT_EQ(stream(kReqWithoutQuery, "x-none", ":path"), "/p");
  EXPECT_EQ(stream(kReqWithoutQuery, "x-a"), "alpha");
  EXPECT_EQ(stream(kReqWithoutQuery, "x-none"), "-");
}

TEST(Format, QueryParametersWithTheirEscapesUndone) {
  Stream stream;
  using enum FormatCommand;
  stream.request.head.path = "/p?a=x%2Fy%20z%0a%4&b&a=2#c=3";
  EXPECT_EQ(stream(kQueryParam, "a"), "x/y%20z%0a%4") << "neither spaces nor controls come out of it";
  EXPECT_EQ(stream(kQueryParam, "a", {}, 2), "x/");
  EXPECT_EQ(stream(kQueryParam, "b"), "");
  EXPECT_EQ(stream(kQueryParam, "c"), "-");
}

std::string time_text(std::int64_t nanoseconds, std::string_view pattern) {
  std::array<char, 200> out;
  return {out.data(), format_time(nanoseconds, pattern, out)};
}

TEST(FormatTime, IsIso8601WithMillisecondsByDefault) {
  EXPECT_EQ(time_text(kWall, ""), "1994-11-06T08:49:37.012Z");
  EXPECT_EQ(time_text(0, ""), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(time_text(-1, ""), "1969-12-31T23:59:59.999Z");
}

TEST(FormatTime, UnderstandsEnvoysPatterns) {
  EXPECT_EQ(time_text(kWall, "%s"), "784111777");
  EXPECT_EQ(time_text(kWall, "%3s"), "784111777012");
  EXPECT_EQ(time_text(kWall, "%s.%3f"), "784111777.012");
  EXPECT_EQ(time_text(kWall, "%f"), "012345678");
  EXPECT_EQ(time_text(kWall, "%6f"), "012345");
  EXPECT_EQ(time_text(kWall, "%1f"), "0");
  EXPECT_EQ(time_text(kWall, "%Y/%m/%dT%H:%M:%S%z %s"), "1994/11/06T08:49:37+0000 784111777");
  EXPECT_EQ(time_text(kWall, "%E3S %E*S"), "37.012 37.012345678");
}

TEST(FormatTime, AgreesWithStrftime) {
  constexpr std::string_view kPattern = "%a %A %b %B %h %d %e %j %H %I %M %p %S %F %T %R %D %y %C %Y %u %w %% %n%t %c %r";
  // Leap days, turns of years and centuries, midnight and noon.
  for (const std::time_t seconds :
       {0L, 951'782'400L, 951'868'799L, 1'078'012'800L, 1'709'164'800L, 1'704'067'199L, 1'704'067'200L, 4'107'542'399L,
        784'111'777L, 1'700'000'000L, 1'699'963'200L, 9'214'646'400L}) {
    std::tm parts;
    ASSERT_NE(gmtime_r(&seconds, &parts), nullptr);
    std::array<char, 300> expected;
    const std::size_t size = std::strftime(expected.data(), expected.size(), std::string(kPattern).c_str(), &parts);
    EXPECT_EQ(time_text(seconds * 1'000'000'000, kPattern), std::string(expected.data(), size));
  }
}

TEST(FormatTime, PassesUnknownAndUnfinishedDirectivesOn) {
  EXPECT_EQ(time_text(kWall, "%Q%"), "%Q%");
  EXPECT_EQ(time_text(kWall, "%E"), "%E");
  EXPECT_EQ(time_text(kWall, "%3"), "%3");
}

config::Format line_format() {
  config::Format format = literal("method=");
  format.elements.push_back(field_format(FormatCommand::kReq, ":method").elements[0]);
  format.elements.push_back(literal("\n").elements[0]);
  return format;
}

TEST(Format, IsCutOffAtEveryLengthWithoutHarm) {
  const Stream stream;
  const std::string whole = "method=GET\n";
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    std::vector<char> out(size);  // exact, so that the sanitizer sees an overrun
    ASSERT_EQ(evaluate(line_format(), stream.info, {}, out), size);
    EXPECT_EQ(std::string(out.data(), size), whole.substr(0, size));
  }
}

TEST(Format, DynamicMetadataIsTextOrJson) {
  Stream stream;
  Memory memory;
  using Kind = MetadataValue::Kind;
  const MetadataValue two{.kind = Kind::kNumber, .number = 2};
  const MetadataValue one{.kind = Kind::kString, .text = "a\"b", .next = &two};
  const MetadataValue list{.kind = Kind::kList, .key = "list", .first = &one};
  const MetadataValue sub{.kind = Kind::kString, .text = "a\"b", .key = "sub", .next = &list};
  const MetadataValue claims{.kind = Kind::kStruct, .key = "claims", .first = &sub};
  const MetadataValue root{.kind = Kind::kStruct, .first = &claims};
  ASSERT_TRUE(stream.info.metadata.set("jwt", root, memory.arena));
  const auto shown = [&](std::string filter, std::vector<std::string> path) {
    config::Format format;
    format.elements.push_back({FormatCommand::kDynamicMetadata, std::move(filter), {}, {}, std::move(path)});
    char out[100];
    return std::string(out, evaluate(format, stream.info, {}, out));
  };
  EXPECT_EQ(shown("jwt", {"claims", "sub"}), "a\"b");
  EXPECT_EQ(shown("jwt", {"claims", "list"}), R"(["a\"b",2])");
  EXPECT_EQ(shown("jwt", {}), R"({"claims":{"sub":"a\"b","list":["a\"b",2]}})");
  EXPECT_EQ(shown("jwt", {"claims", "sub", "deeper"}), "-");
  EXPECT_EQ(shown("jwt", {"none"}), "-");
  EXPECT_EQ(shown("none", {}), "-");
}

TEST(AccessLogLine, EndsInANewlineWhateverHappens) {
  const Stream stream;
  const auto line = [&](const config::Format& format, std::size_t limit) {
    std::vector<char> out(limit);
    return std::string(out.data(), render_access_log(format, stream.info, {}, out));
  };
  EXPECT_EQ(line(line_format(), 100), "method=GET\n");
  EXPECT_EQ(line(literal("x"), 100), "x\n");
  EXPECT_EQ(line(line_format(), 5), "meth\n");
  EXPECT_EQ(line(line_format(), 1), "\n");
  EXPECT_EQ(line(literal(""), 10), "\n");
}

TEST(HeaderValue, IsBoundedAndFailsOnlyWithoutMemory) {
  const Stream stream;
  Memory memory;
  EXPECT_EQ(evaluate_header_value(literal(std::string(20'000, 'x')), stream.info, {}, memory.arena).size(), kMaxHeaderValueBytes);
  EXPECT_EQ(evaluate_header_value(literal("  a b "), stream.info, {}, memory.arena), "a b");
  NoMemory none;
  EXPECT_EQ(evaluate_header_value(literal("x"), stream.info, {}, none.arena).data(), nullptr);
  EXPECT_NE(evaluate_header_value(literal(""), stream.info, {}, none.arena).data(), nullptr);
}

}  // namespace
}  // namespace millrace::proxy
