// The header of the PROXY protocol: read under every cut, and written.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "dataplane/proxy/proxy_protocol_reader.h"
#include "dataplane/proxy/proxy_protocol_writer.h"
#include "nic/heap_pool.h"

namespace millrace::proxy {
namespace {

using Reader = ProxyProtocolReader;
using Status = Reader::Status;
using namespace std::string_literals;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;
const std::string kV4Addresses = "\xc0\x00\x02\x01\xc6\x12\x00\x02\x9c\x40\x00\x50"s;  // 192.0.2.1:40000 -> 198.18.0.2:80

std::string frame(char command, char protocol, const std::string& rest) {
  return kSignature + command + protocol + static_cast<char>(rest.size() >> 8) + static_cast<char>(rest.size()) + rest;
}

/// What is left of `text` behind what was taken, read in pieces of `step` bytes.
std::string feed(Reader& reader, std::string_view text, std::size_t step) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::string_view part = text.substr(at, step);
    const std::size_t taken = reader.feed({reinterpret_cast<const std::uint8_t*>(part.data()), part.size()});
    at += taken;
    if (taken < part.size()) break;
  }
  return std::string(text.substr(at));
}

const config::ProxyProtocolIn kUsual;  // readers refer to what they are given

/// The same outcome under every cut, and what comes behind the header is left alone.
void expect(const std::string& text, Status status, const std::string& addresses = "",
            const config::ProxyProtocolIn& wanted = {}) {
  SCOPED_TRACE(text);
  for (std::size_t step = 1; step <= text.size() + 4; ++step) {
    Reader reader(wanted);
    const std::string left = feed(reader, text + "rest", step);
    ASSERT_EQ(reader.status(), status) << "in steps of " << step;
    if (status != Status::kDone) continue;
    EXPECT_EQ(left, "rest");
    const auto& found = reader.addresses();
    EXPECT_EQ(found ? found->source.to_string() + " " + found->destination.to_string() : "", addresses);
  }
  if (status != Status::kDone) return;
  for (std::size_t size = 0; size < text.size(); ++size) {
    Reader reader(wanted);
    feed(reader, text.substr(0, size), size);
    EXPECT_EQ(reader.status(), Status::kNeedMore) << size;
  }
}

TEST(ProxyProtocolReader, ReadsVersion1) {
  expect("PROXY TCP4 192.0.2.1 198.18.0.2 40000 80\r\n", Status::kDone, "192.0.2.1:40000 198.18.0.2:80");
  expect("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", Status::kDone, "[2001:db8::1]:1 [2001:db8::2]:65535");
  expect("PROXY UNKNOWN\r\n", Status::kDone);
  expect("PROXY UNKNOWN ffff::1 ffff::2 what 1\r\n", Status::kDone);
}

TEST(ProxyProtocolReader, RefusesWhatIsNoVersion1) {
  for (const char* line :
       {"PROXY TCP4 192.0.2.1 198.18.0.2 40000\r\n", "PROXY TCP4 192.0.2.1 198.18.0.2 40000 80 1\r\n",
        "PROXY TCP4 192.0.2.1  198.18.0.2 40000 80\r\n", "PROXY TCP4 2001:db8::1 198.18.0.2 40000 80\r\n",
        "PROXY TCP6 192.0.2.1 198.18.0.2 40000 80\r\n", "PROXY TCP4 192.0.2.1 198.18.0.2 65536 80\r\n",
        "PROXY TCP4 192.0.2.1 198.18.0.2 -1 80\r\n", "PROXY TCP4 192.0.2.1 198.18.0.2 080 80\r\n",
        "PROXY TCP4 0.0.0.0 198.18.0.2 1 80\r\n", "PROXY TCP4 192.0.2.1 224.0.0.1 1 80\r\n",
        "PROXY UDP4 192.0.2.1 198.18.0.2 1 2\r\n", "PROXY \r\n", "PROXY TCP4 192.0.2.1 198.18.0.2 40000 80\n"}) {
    expect(line, Status::kMalformed);
  }
  expect("PROXY UNKNOWN " + std::string(200, 'x'), Status::kMalformed);
}

TEST(ProxyProtocolReader, ReadsVersion2) {
  expect(frame(0x21, 0x11, kV4Addresses), Status::kDone, "192.0.2.1:40000 198.18.0.2:80");
  expect(frame(0x21, 0x12, kV4Addresses), Status::kDone, "192.0.2.1:40000 198.18.0.2:80");
  const std::string six = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01"s + "\x20\x01\x0d\xb8"s + std::string(11, '\0') +
                          "\x02\x00\x07\x01\xbb"s;
  expect(frame(0x21, 0x21, six), Status::kDone, "[2001:db8::1]:7 [2001:db8::2]:443");
  expect(frame(0x20, 0x00, ""), Status::kDone);
  expect(frame(0x20, 0x11, kV4Addresses), Status::kDone);
  expect(frame(0x21, 0x00, "ignored"), Status::kDone);
}

TEST(ProxyProtocolReader, RefusesWhatIsNoVersion2) {
  expect(frame(0x22, 0x11, kV4Addresses), Status::kMalformed);
  expect(frame(0x11, 0x11, kV4Addresses), Status::kMalformed);
  expect(frame(0x21, 0x31, std::string(216, 'u')), Status::kMalformed);
  expect(frame(0x21, 0x13, kV4Addresses), Status::kMalformed);
  expect(frame(0x21, 0x10, kV4Addresses), Status::kMalformed);
  expect(frame(0x21, 0x11, kV4Addresses.substr(1)), Status::kMalformed);
  expect(frame(0x21, 0x11, std::string(12, '\0')), Status::kMalformed);
}

TEST(ProxyProtocolReader, KeepsTheExtensionsThatAreWanted) {
  const std::string one = "\x01\x00\x02h2"s;
  const std::string empty = "\x05\x00\x00"s;
  const std::string two = "\xea\x00\x03xyz"s;
  const std::string text = frame(0x21, 0x11, kV4Addresses + one + empty + two);
  config::ProxyProtocolIn wanted;
  for (const int type : {0xea, 0x05}) wanted.kept.set(static_cast<std::size_t>(type));
  for (std::size_t step = 1; step <= text.size(); ++step) {
    Reader reader(wanted);
    EXPECT_EQ(feed(reader, text + "rest", step), "rest");
    ASSERT_EQ(reader.status(), Status::kDone);
    EXPECT_EQ(reader.extensions(), empty + two);
  }
  Reader nobody_asks(kUsual);
  feed(nobody_asks, text, text.size());
  EXPECT_EQ(nobody_asks.extensions(), "");
}

TEST(ProxyProtocolReader, ExtensionsMatterToThoseWhoWantThem) {
  config::ProxyProtocolIn wanted;
  wanted.kept.set(1);
  expect(frame(0x21, 0x11, kV4Addresses + "\x01\x00\x09short"s), Status::kMalformed, "", wanted);
  expect(frame(0x21, 0x11, kV4Addresses + "\x01\x00"s), Status::kMalformed, "", wanted);
  expect(frame(0x21, 0x11, kV4Addresses + "\x01\x00\x09short"s), Status::kDone, "192.0.2.1:40000 198.18.0.2:80");
}

TEST(ProxyProtocolReader, HandsBackWhatIsNoHeader) {
  for (const std::string& text : {"GET / HTTP/1.1\r\n"s, "PROX"s + "Y\r\n"s, kSignature.substr(0, 11) + "?"s, "\x16\x03"s}) {
    for (std::size_t step = 1; step <= text.size(); ++step) {
      Reader reader(kUsual);
      const std::string left = feed(reader, text, step);
      ASSERT_EQ(reader.status(), Status::kAbsent) << text;
      EXPECT_EQ(std::string(reader.held().begin(), reader.held().end()) + left, text);
    }
  }
}

TEST(ProxyProtocolReader, AVersionThatIsNotTakenIsRefusedOrIsNone) {
  config::ProxyProtocolIn only_v2;
  only_v2.v1 = false;
  const std::string line = "PROXY TCP4 192.0.2.1 198.18.0.2 40000 80\r\n";
  expect(line, Status::kDisallowed, "", only_v2);
  only_v2.optional = true;
  expect(line, Status::kAbsent, "", only_v2);
  config::ProxyProtocolIn only_v1;
  only_v1.v2 = false;
  expect(frame(0x21, 0x11, kV4Addresses), Status::kDisallowed, "", only_v1);
  only_v1.optional = true;
  expect(frame(0x21, 0x11, kV4Addresses), Status::kAbsent, "", only_v1);
}

class ProxyHeader : public testing::Test {
 protected:
  std::string written(const config::ProxyProtocolOut& config, const ProxiedClient* client) {
    stream::Chain chain(chains_);
    EXPECT_TRUE(write_proxy_header(config, client, chain));
    std::string out(chain.size(), '\0');
    chain.copy_out(0, {reinterpret_cast<std::uint8_t*>(out.data()), out.size()});
    return out;
  }

  nic::HeapPool packets_{1'000};
  stream::ChainPool chains_{packets_, 64, 10'000};
  config::ProxyProtocolOut v1_;
  config::ProxyProtocolOut v2_{config::ProxyProtocolOut::Version::kV2, {}};
  const ProxiedClient four_{*SocketAddress::parse("192.0.2.1:40000"), *SocketAddress::parse("198.18.0.2:80")};
  const ProxiedClient six_{*SocketAddress::parse("[2001:db8::1]:7"), *SocketAddress::parse("[2001:db8::2]:443")};
  const ProxiedClient mixed_{*SocketAddress::parse("[2001:db8::1]:7"), *SocketAddress::parse("198.18.0.2:80")};
};

TEST_F(ProxyHeader, IsALineInVersion1) {
  EXPECT_EQ(written(v1_, &four_), "PROXY TCP4 192.0.2.1 198.18.0.2 40000 80\r\n");
  EXPECT_EQ(written(v1_, &six_), "PROXY TCP6 2001:db8::1 2001:db8::2 7 443\r\n");
  EXPECT_EQ(written(v1_, &mixed_), "PROXY TCP6 2001:db8::1 ::ffff:198.18.0.2 7 80\r\n");
  EXPECT_EQ(written(v1_, nullptr), "PROXY UNKNOWN\r\n");
}

TEST_F(ProxyHeader, IsAFrameInVersion2) {
  EXPECT_EQ(written(v2_, &four_), frame(0x21, 0x11, kV4Addresses));
  EXPECT_EQ(written(v2_, nullptr), frame(0x20, 0x00, ""));
}

TEST_F(ProxyHeader, IsReadAsItWasWritten) {
  for (const auto& config : {v1_, v2_}) {
    for (const ProxiedClient& client : {four_, six_, mixed_}) {
      Reader reader(kUsual);
      const std::string text = written(config, &client);
      feed(reader, text, text.size());
      ASSERT_EQ(reader.status(), Status::kDone) << text;
      EXPECT_EQ(reader.addresses()->source, client.source);
      EXPECT_EQ(reader.addresses()->destination, client.destination);
    }
  }
}

TEST_F(ProxyHeader, PassesOnTheExtensionsThatItMay) {
  v2_.passed.set(0xea);
  ProxiedClient client = four_;
  const std::string extensions = "\x01\x00\x02h2\xea\x00\x03xyz"s;
  client.extensions = extensions;
  EXPECT_EQ(written(v2_, &client), frame(0x21, 0x11, kV4Addresses + "\xea\x00\x03xyz"s));
  EXPECT_EQ(written(v1_, &client), written(v1_, &four_));
}

TEST_F(ProxyHeader, LeavesOutExtensionsThatWouldMakeItTooLong) {
  v2_.passed.set();
  const std::string large = "\x01\xff\xfa"s + std::string(0xfffa, 'x');
  ProxiedClient client = four_;
  client.extensions = large;
  EXPECT_EQ(written(v2_, &client), frame(0x21, 0x11, kV4Addresses));
}

}  // namespace
}  // namespace millrace::proxy
