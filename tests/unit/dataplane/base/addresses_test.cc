#include "dataplane/base/addresses.h"

#include <gtest/gtest.h>

#include <array>
namespace millrace {
namespace {

IpAddress addr(std::string_view text) { return IpAddress::parse(text).value(); }
IpPrefix net(std::string_view text) { return IpPrefix::parse(text).value(); }

TEST(MacAddress, IsParsedAndPrinted) {
  const auto mac = MacAddress::parse("02:00:5E:10:ab:ff");
  ASSERT_TRUE(mac);
  EXPECT_EQ(mac->to_string(), "02:00:5e:10:ab:ff");
  EXPECT_FALSE(mac->is_multicast());
  EXPECT_TRUE(MacAddress::broadcast().is_multicast());
}

TEST(MacAddress, RefusesOtherText) {
  for (const char* text : {"", "02:00:5e:10:ab", "02:00:5e:10:ab:f", "02-00-5e-10-ab-ff", "02:00:5e:10:ab:fg",
                           "02:00:5e:10:ab:ff:", "-2:00:5e:10:ab:ff"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(IpAddress, IsPrintedInStandardForm) {
  for (const char* text :
       {"0.0.0.0", "198.18.0.2", "255.255.255.255", "::", "::1", "2001:db8::2:0:0:1", "fe80::1", "1:2:3:4:5:6:7:8"}) {
    EXPECT_EQ(addr(text).to_string(), text);
  }
  EXPECT_EQ(addr("2001:DB8:0:0:0:0:0:1").to_string(), "2001:db8::1");
}

TEST(IpAddress, RefusesOtherText) {
  for (const char* text : {"", "1.2.3", "1.2.3.256", "1.2.3.4.5", "01.2.3.4x", ":::", "1:2:3:4:5:6:7:8:9", "fe80::1%eth0",
                           "[::1]", "1.2.3.4:80", "0000:0000:0000:0000:0000:0000:255.255.255.2555"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(IpAddress, MappedFormIsIpv4) {
  EXPECT_EQ(addr("::ffff:1.2.3.4"), addr("1.2.3.4"));
  EXPECT_TRUE(addr("1.2.3.4").is_v4());
  EXPECT_TRUE(addr("::1.2.3.4").is_v6());
}

TEST(IpAddress, KnowsItsKind) {
  EXPECT_TRUE(addr("0.0.0.0").is_unspecified());
  EXPECT_TRUE(addr("::").is_unspecified());
  EXPECT_FALSE(addr("::1").is_unspecified());
  EXPECT_TRUE(addr("127.9.9.9").is_loopback());
  EXPECT_TRUE(addr("::1").is_loopback());
  EXPECT_FALSE(addr("::2").is_loopback());
  EXPECT_FALSE(addr("1::1").is_loopback());
  EXPECT_TRUE(addr("224.0.0.1").is_multicast());
  EXPECT_TRUE(addr("239.255.255.255").is_multicast());
  EXPECT_FALSE(addr("240.0.0.0").is_multicast());
  EXPECT_TRUE(addr("ff02::1").is_multicast());
  EXPECT_TRUE(addr("255.255.255.255").is_broadcast());
  EXPECT_TRUE(addr("169.254.0.1").is_link_local());
  EXPECT_TRUE(addr("fe80::1").is_link_local());
  EXPECT_TRUE(addr("febf::1").is_link_local());
  EXPECT_FALSE(addr("fec0::1").is_link_local());
}

TEST(IpAddress, PrivateNetworksEndWhereTheRfcsSay) {
  for (const char* text :
       {"10.255.0.1", "172.16.0.0", "172.31.255.255", "192.168.1.1", "127.0.0.1", "::1", "fc00::1", "fdff::1"}) {
    EXPECT_TRUE(addr(text).is_private()) << text;
  }
  for (const char* text : {"11.0.0.1", "172.15.0.1", "172.32.0.0", "192.169.0.1", "fe00::1", "2001:db8::1"})
    EXPECT_FALSE(addr(text).is_private()) << text;
}

TEST(IpPrefix, IsParsedAndPrinted) {
  EXPECT_EQ(net("198.18.0.2/24").to_string(), "198.18.0.2/24");
  EXPECT_EQ(net("2001:db8::/128").to_string(), "2001:db8::/128");
  for (const char* text :
       {"1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/+1", "1.2.3.4/8 ", "/8", "1.2.3.4/256"}) {
    EXPECT_FALSE(IpPrefix::parse(text)) << text;
  }
}

TEST(IpPrefix, ContainsWhatSharesItsBits) {
  EXPECT_TRUE(net("198.18.0.0/15").contains(addr("198.19.255.255")));
  EXPECT_FALSE(net("198.18.0.0/15").contains(addr("198.20.0.0")));
  EXPECT_TRUE(net("0.0.0.0/0").contains(addr("255.1.2.3")));
  EXPECT_FALSE(net("0.0.0.0/0").contains(addr("::1")));
  EXPECT_FALSE(net("::/0").contains(addr("1.2.3.4")));
  EXPECT_TRUE(net("1.2.3.4/32").contains(addr("1.2.3.4")));
  EXPECT_FALSE(net("1.2.3.4/32").contains(addr("1.2.3.5")));
  EXPECT_TRUE(net("2001:db8::/33").contains(addr("2001:db8:7fff::1")));
  EXPECT_FALSE(net("2001:db8::/33").contains(addr("2001:db8:8000::1")));
  EXPECT_TRUE(net("::1/128").contains(addr("::1")));
}

TEST(IpPrefix, BroadcastIsTheLastAddress) {
  EXPECT_EQ(net("198.18.0.2/24").broadcast(), addr("198.18.0.255"));
  EXPECT_EQ(net("10.1.2.3/12").broadcast(), addr("10.15.255.255"));
  EXPECT_EQ(net("10.1.2.1/30").broadcast(), addr("10.1.2.3"));
  EXPECT_EQ(net("10.1.2.1/31").broadcast(), std::nullopt);
  EXPECT_EQ(net("10.1.2.1/32").broadcast(), std::nullopt);
  EXPECT_EQ(net("2001:db8::/64").broadcast(), std::nullopt);
}

TEST(SocketAddress, IsParsedAndPrinted) {
  EXPECT_EQ(SocketAddress::parse("198.18.0.2:80")->to_string(), "198.18.0.2:80");
  EXPECT_EQ(SocketAddress::parse("[2001:db8::2]:65535")->to_string(), "[2001:db8::2]:65535");
  for (const char* text : {"", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", ":80", "::1:80", "[::1]", "[1.2.3.4]:80",
                           "[::1:80", "1.2.3.4:80 "}) {
    EXPECT_FALSE(SocketAddress::parse(text)) << text;
  }
}

TEST(SocketAddress, StandsForAUnixSocket) {
  const SocketAddress pipe = SocketAddress::of_pipe("/run/a.sock");
  EXPECT_EQ(pipe, SocketAddress::of_pipe("/run/a.sock"));
  EXPECT_NE(pipe, SocketAddress::of_pipe("/run/b.sock"));
  EXPECT_TRUE(pipe.is_pipe());
  EXPECT_EQ(pipe.port, 0);
  EXPECT_TRUE(pipe.ip.is_multicast()) << "no peer has it";
  EXPECT_FALSE(pipe.ip.is_loopback() || pipe.ip.is_unspecified() || pipe.ip.is_v4());
  EXPECT_FALSE(SocketAddress::parse("[ff02::1]:80")->is_pipe());
}

TEST(IpAddress, MasksAnyNumberOfBits) {
  std::array<std::uint8_t, 16> ones;
  ones.fill(0xff);
  const IpAddress all = IpAddress::v6(ones);
  for (unsigned bits = 0; bits <= 128; ++bits) {
    const IpAddress masked = all.masked(bits);
    for (unsigned bit = 0; bit < 128; ++bit) {
      EXPECT_EQ(masked.bytes()[bit / 8] >> (7 - bit % 8) & 1, bit < bits ? 1 : 0) << bits << ", bit " << bit;
    }
  }
  EXPECT_EQ(IpAddress::parse("198.18.7.9")->masked(96 + 16), *IpAddress::parse("198.18.0.0"));
}

}  // namespace
}  // namespace millrace
