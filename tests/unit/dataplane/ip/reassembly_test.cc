// Fragments in through an IpLayer, datagrams out: RFC 791, 815, 5722, 6946, 7112, 8200 4.5.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/dataplane/ip/frames.h"

namespace millrace::ip::test {
namespace {

using wire::ParameterProblem;

struct Part {
  std::size_t from = 0;
  std::size_t size = 0;
  bool more = true;
};

Bytes payload_of(std::size_t size) {
  Bytes segment = tcp_segment();
  while (segment.size() < size) segment.push_back(static_cast<std::uint8_t>(segment.size() * 7));
  segment.resize(size);
  return segment;
}
Bytes cut(const Bytes& payload, const Part& part) {
  return {payload.begin() + static_cast<std::ptrdiff_t>(part.from),
          payload.begin() + static_cast<std::ptrdiff_t>(part.from + part.size)};
}

// Both versions under the same tests: `fragment` makes the frame of a part.
struct Version {
  bool v6 = false;
  [[nodiscard]] Bytes raw(std::size_t offset, bool more, const Bytes& content, std::uint32_t id = 77, std::uint8_t protocol = 6,
                          const IpAddress& from4 = kPeer) const {
    if (v6) {
      Bytes header{protocol, 0, 0, 0, 0, 0, 0, 0};
      wire::store_be16(header.data() + 2, static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
      wire::store_be32(header.data() + 4, id);
      return frame6(ipv6(header + content, 44));
    }
    Bytes packet = ipv4(content, protocol, from4);
    wire::store_be16(packet.data() + 4, static_cast<std::uint16_t>(id));
    wire::store_be16(packet.data() + 6, static_cast<std::uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
    return frame4(with_checksum(packet));
  }
  [[nodiscard]] Bytes fragment(const Bytes& payload, const Part& part, std::uint32_t id = 77) const {
    return raw(part.from, part.more, cut(payload, part), id);
  }
  [[nodiscard]] DropReason bad() const { return v6 ? DropReason::kIpv6BadFragment : DropReason::kIpv4BadFragment; }
};

class Reassembly_Any : public IpLayerTest, public testing::WithParamInterface<bool> {
 protected:
  Reassembly_Any() { resolve(); }
  /// Nothing came up.
  void feed(const Part& part, std::uint32_t id = 77) {
    EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(version.fragment(payload, part, id)))) << part.from;
  }
  void expect_whole(const Part& last, std::uint32_t id = 77) {
    auto received = receive(version.fragment(payload, last, id));
    auto* datagram = std::get_if<Datagram>(&received);
    ASSERT_NE(datagram, nullptr);
    EXPECT_EQ(Bytes(datagram->packet.bytes().begin(), datagram->packet.bytes().end()), payload);
    EXPECT_EQ(datagram->source, version.v6 ? kPeer6 : kPeer);
    EXPECT_EQ(datagram->protocol, kProtocolTcp);
    EXPECT_EQ(datagram->packet.offload() & nic::Offload::kL4ChecksumGood, 0);
  }
  const Version version{GetParam()};
  Bytes payload = payload_of(101);
};
INSTANTIATE_TEST_SUITE_P(Ip, Reassembly_Any, testing::Bool(), [](const auto& v) { return v.param ? "V6" : "V4"; });

TEST_P(Reassembly_Any, PutsFragmentsTogetherInOrder) {
  feed({0, 40});
  feed({40, 40});
  EXPECT_EQ(layer.reassemblies(), 1u);
  expect_whole({80, 21, false});
  EXPECT_EQ(all_drops(), 0u);
  EXPECT_EQ(layer.reassemblies(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, PutsFragmentsTogetherInEveryOrder) {
  std::vector<Part> parts{{0, 24}, {24, 8}, {32, 48}, {80, 21, false}};
  std::vector<std::size_t> order{0, 1, 2, 3};
  do {
    for (std::size_t i = 0; i < 3; ++i) feed(parts[order[i]]);
    expect_whole(parts[order[3]]);
  } while (std::ranges::next_permutation(order).found);
  EXPECT_EQ(all_drops(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, KeepsDatagramsOfDifferentIdentificationApart) {
  feed({0, 80}, 1);
  feed({80, 21, false}, 2);
  EXPECT_EQ(layer.reassemblies(), 2u);
  expect_whole({80, 21, false}, 1);
  expect_whole({0, 80}, 2);
}

TEST_P(Reassembly_Any, PassesOverExactDuplicates) {
  feed({80, 21, false});
  feed({80, 21, false});
  feed({0, 40});
  feed({0, 40});
  EXPECT_EQ(drops(DropReason::kFragmentDuplicate), 2u);
  expect_whole({40, 40});
}

TEST_P(Reassembly_Any, ADuplicateWithOtherBytesIsAnOverlap) {
  feed({0, 40});
  Bytes other = payload;
  other[30] ^= 1;
  expect_dropped(version.fragment(other, {0, 40}), DropReason::kFragmentOverlap);
}

// RFC 5722 4, and the same in IPv4: however it overlaps, all is lost, what comes later too.
TEST_P(Reassembly_Any, AnOverlapRefusesTheWholeDatagram) {
  std::uint32_t id = 100;
  for (const Part& overlapping :
       {Part{16, 16}, Part{32, 32}, Part{32, 8}, Part{24, 24}, Part{24, 40}, Part{0, 48}, Part{40, 61, false}}) {
    ++id;
    feed({24, 16}, id);
    feed({40, 16}, id);
    expect_dropped(version.fragment(payload, overlapping, id), DropReason::kFragmentOverlap);
    expect_dropped(version.fragment(payload, {56, 45, false}, id), DropReason::kFragmentOverlap);
    expect_dropped(version.fragment(payload, {0, 24}, id), DropReason::kFragmentOverlap);
  }
  EXPECT_EQ(pool.in_use(), 0u) << "the buffers are free, only the keys are kept";
  pass(Duration::seconds(61));
  EXPECT_EQ(layer.reassemblies(), 0u);
  EXPECT_TRUE(sent().empty()) << "silently";
}

TEST_P(Reassembly_Any, FragmentsThatContradictTheEndAreOverlaps) {
  feed({80, 21, false}, 1);
  expect_dropped(version.raw(104, true, Bytes(8), 1), DropReason::kFragmentOverlap);  // beyond the last one
  feed({80, 21, false}, 2);
  expect_dropped(version.fragment(payload, {88, 8, false}, 2), DropReason::kFragmentOverlap);  // two ends
  feed({80, 16}, 3);
  expect_dropped(version.fragment(payload, {40, 40, false}, 3), DropReason::kFragmentOverlap);  // an end before what is there
}

TEST_P(Reassembly_Any, ReachesUpToOnePacketBufferAndNoFurther) {
  payload = payload_of(limits::kReassemblyBytes);
  feed({0, 1440}, 1);
  expect_whole({1440, limits::kReassemblyBytes - 1440, false}, 1);
  feed({0, 1440}, 2);
  expect_dropped(version.raw(1440, false, Bytes(limits::kReassemblyBytes - 1439), 2), DropReason::kFragmentTooBig);
  expect_dropped(version.raw(60'000, true, Bytes(8), 3), DropReason::kFragmentTooBig);
  expect_dropped(version.fragment(payload, {0, 1440}, 3), DropReason::kFragmentTooBig);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, BoundsTheFragmentsOfADatagram) {
  payload = payload_of(1024);
  for (std::size_t i = 0; i < limits::kReassemblyFragments; ++i) {
    if (i == 0) {
      feed({0, 24});
    } else {
      feed({16 + 8 * i, 8});
    }
  }
  expect_dropped(version.fragment(payload, {800, 8}), DropReason::kFragmentTooMany);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, EmptyFragmentsAreBad) {
  const Bytes frame = version.raw(0, true, {});
  EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(frame)));
  EXPECT_EQ(drops(version.bad()), 1u);
  EXPECT_EQ(layer.reassemblies(), 0u);
}

// RFC 792, RFC 4443 3.3: code 1, quoting the first fragment.
TEST_P(Reassembly_Any, ATimeoutIsReportedIfTheFirstFragmentCame) {
  const Bytes first = version.fragment(payload, {0, 40});
  receive(first);
  feed({48, 8});
  const Duration timeout = version.v6 ? Reassembly::kTimeoutIpv6 : Reassembly::kTimeoutIpv4;
  pass(timeout - Duration::milliseconds(20));
  sent();
  EXPECT_EQ(layer.reassemblies(), 1u);
  resolve();
  pass(Duration::milliseconds(40));
  EXPECT_EQ(layer.reassemblies(), 0u);
  EXPECT_EQ(drops(DropReason::kReassemblyTimeout), 1u);
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  const Bytes quote(first.begin() + 14, first.end());
  if (version.v6) {
    EXPECT_EQ(without_label(frames[0]),
              ethernet(0x86dd, ipv6(icmp(3, 1, 0, quote, kUs6, kPeer6), 58, kUs6, kPeer6), kPeerMac, kOurMac));
  } else {
    EXPECT_EQ(frames[0], ethernet(0x0800, ipv4(icmp(11, 1, 0, quote, kUs, kPeer), 1, kUs, kPeer), kPeerMac, kOurMac));
  }
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, ATimeoutWithoutTheFirstFragmentIsSilent) {
  feed({40, 40});
  pass(Duration::seconds(61));
  EXPECT_EQ(drops(DropReason::kReassemblyTimeout), 1u);
  EXPECT_EQ(drops(DropReason::kIcmpRateLimited), 0u);
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, TimeoutsOfManyDatagramsAreRateLimited) {
  for (std::uint32_t id = 0; id < 100; ++id) feed({0, 40}, id);
  pass(Duration::seconds(version.v6 ? 60 : 30) - Duration::milliseconds(20));
  resolve();
  pass(Duration::milliseconds(30));
  EXPECT_EQ(sent().size(), static_cast<std::size_t>(limits::kIcmpErrorBurst));
  EXPECT_EQ(drops(DropReason::kIcmpRateLimited), 100u - limits::kIcmpErrorBurst);
}

TEST_P(Reassembly_Any, NoTimeoutIsReportedAboutAnIcmpError) {
  receive(
      version.raw(0, true, Bytes{static_cast<std::uint8_t>(version.v6 ? 1 : 3), 0, 0, 0, 0, 0, 0, 0}, 5, version.v6 ? 58 : 1));
  EXPECT_EQ(layer.reassemblies(), 1u);
  pass(Duration::seconds(61));
  EXPECT_EQ(drops(DropReason::kReassemblyTimeout), 1u);
  EXPECT_TRUE(sent().empty());
}

TEST_P(Reassembly_Any, UnderAFloodTheOldestGivesWay) {
  for (std::uint32_t id = 0; id < limits::kReassemblyDatagrams; ++id) feed({0, 80}, id);
  EXPECT_EQ(pool.in_use(), limits::kReassemblyDatagrams);
  feed({0, 80}, 9000);
  EXPECT_EQ(drops(DropReason::kReassemblyEvicted), 1u);
  EXPECT_EQ(pool.in_use(), limits::kReassemblyDatagrams);
  feed({80, 21, false}, 0);  // its beginning is gone
  expect_whole({80, 21, false}, 9000);
  pass(Duration::seconds(61));
  pass(Duration::seconds(5));  // the neighbour of whom the reports wait is asked for in vain
  sent();
  EXPECT_EQ(layer.reassemblies(), 0u);
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST_P(Reassembly_Any, WithoutABufferAFragmentIsDropped) {
  std::vector<nic::Packet> hoard;
  while (pool.in_use() + 1 < pool.capacity()) hoard.push_back(pool.allocate());
  expect_dropped(version.fragment(payload, {0, 80}), DropReason::kFragmentNoBuffer);
  EXPECT_EQ(layer.reassemblies(), 0u);
}

// RFC 3168 5.3.
TEST_P(Reassembly_Any, AMarkOfCongestionOnAnyFragmentMarksTheDatagram) {
  const auto marked = [&](const Part& part, std::uint8_t ecn, std::uint32_t id) {
    Bytes frame = version.fragment(payload, part, id);
    if (version.v6) {
      frame[15] = static_cast<std::uint8_t>(frame[15] | ecn << 4);
      return frame;
    }
    frame[15] = static_cast<std::uint8_t>(frame[15] | ecn);
    return frame4(with_checksum({frame.begin() + 14, frame.end()}));
  };
  receive(marked({0, 80}, 2, 1));
  EXPECT_EQ(std::get<Datagram>(receive(marked({80, 21, false}, 3, 1))).traffic_class, 3);
  receive(marked({0, 80}, 2, 2));
  EXPECT_EQ(std::get<Datagram>(receive(marked({80, 21, false}, 2, 2))).traffic_class, 2);
  receive(marked({0, 80}, 0, 3));
  expect_dropped(marked({80, 21, false}, 3, 3), DropReason::kFragmentOverlap);
}

TEST_P(Reassembly_Any, FragmentedEchoIsAnswered) {
  const IpAddress& from = version.v6 ? kPeer6 : kPeer;
  const IpAddress& us = version.v6 ? kUs6 : kUs;
  const std::uint8_t protocol = version.v6 ? 58 : 1;
  const Bytes ping = icmp(version.v6 ? 128 : 8, 0, 0x00070001, Bytes(1200, 0x61), from, us);
  receive(version.raw(0, true, cut(ping, {0, 800}), 5, protocol));
  receive(version.raw(800, false, cut(ping, {800, ping.size() - 800}), 5, protocol));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  const Bytes pong = icmp(version.v6 ? 129 : 0, 0, 0x00070001, Bytes(1200, 0x61), us, from);
  EXPECT_EQ(Bytes(frames[0].end() - static_cast<std::ptrdiff_t>(pong.size()), frames[0].end()), pong);
}

TEST_P(Reassembly_Any, AnEchoReplyThatDoesNotFitTheLinkIsSentInFragments) {
  const IpAddress& from = version.v6 ? kPeer6 : kPeer;
  const IpAddress& us = version.v6 ? kUs6 : kUs;
  const std::uint8_t protocol = version.v6 ? 58 : 1;
  Bytes body(2'000);
  std::iota(body.begin(), body.end(), std::uint8_t{0});
  const Bytes ping = icmp(version.v6 ? 128 : 8, 0, 0x00070001, body, from, us);
  const Bytes pong = icmp(version.v6 ? 129 : 0, 0, 0x00070001, body, us, from);
  layer.learn_path_mtu(from, 1'300, now);
  receive(version.raw(0, true, cut(ping, {0, 1440}), 5, protocol));
  receive(version.raw(1440, false, cut(ping, {1440, ping.size() - 1440}), 5, protocol));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 2u);
  // The other side puts them together with the same code.
  Rng other_rng(9);
  TimerWheel other_timers(now);
  IpLayer other({{{.mac = kPeerMac, .addresses = {net("198.18.0.1/24"), net("2001:db8::1/64")}}}}, {}, other_timers, pool,
                other_rng, now);
  for (const Bytes& frame : frames) {
    EXPECT_LE(frame.size(), 1'314u);
    nic::Packet packet = pool.copy_of(frame);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(other.receive(std::move(packet), now)));
  }
  EXPECT_EQ(wire::counted(other.drops(), DropReason::kIcmpIgnored), 1u) << "the whole reply, its checksum right";
  EXPECT_EQ(other.reassemblies(), 0u);
}

TEST_P(Reassembly_Any, AnErrorAboutADatagramQuotesItWhole) {
  Bytes udp = Bytes{0x30, 0x39, 0, 53, 0, 101, 0, 0} + Bytes(93, 0x62);
  const std::uint32_t pseudo =
      version.v6 ? wire::pseudo_header_sum(kPeer6, kUs6, 17, 101) : wire::pseudo_header_sum(kPeer, kUs, 17, 101);
  wire::store_be16(udp.data() + 6, wire::checksum_finish(wire::checksum_add(pseudo, udp)));
  receive(version.raw(80, false, cut(udp, {80, 21}), 5, 17));
  receive(version.raw(0, true, cut(udp, {0, 80}), 5, 17));
  const auto frames = sent();
  ASSERT_EQ(frames.size(), 1u);
  const Bytes quote(frames[0].begin() + (version.v6 ? 62 : 42), frames[0].end());
  Bytes expected = version.v6 ? ipv6(udp, 17) : ipv4(udp, 17);
  if (!version.v6) {
    wire::store_be16(expected.data() + 4, 5);
    wire::store_be16(expected.data() + 6, 0);
    expected = with_checksum(expected);
  }
  EXPECT_EQ(quote, expected);
}

TEST_P(Reassembly_Any, FragmentsOfOthersAndOfMartiansAreNotKept) {
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    Bytes frame = version.fragment(payload, {0, 80});
    frame[at] = value;
    return version.v6 ? frame : frame4(with_checksum({frame.begin() + 14, frame.end()}));
  };
  expect_dropped(changed(version.v6 ? 53 : 33, 99), DropReason::kNotForUs);
  expect_dropped(changed(version.v6 ? 22 : 26, version.v6 ? 0xff : 127), DropReason::kMartianSource);
  EXPECT_EQ(layer.reassemblies(), 0u);
}

class Reassembly_V4 : public IpLayerTest {};

TEST_F(Reassembly_V4, FragmentsNotCutAtEightBytesAreBad) {
  expect_dropped(Version{false}.raw(0, true, Bytes(13)), DropReason::kIpv4BadFragment);
  EXPECT_EQ(layer.reassemblies(), 0u);
}

TEST_F(Reassembly_V4, ThePingOfDeathIsBad) {
  expect_dropped(Version{false}.raw(65'528, false, Bytes(9)), DropReason::kIpv4BadFragment);
  expect_dropped(Version{false}.raw(65'512, true, Bytes(8)), DropReason::kIpv4BadFragment);  // 20 + 65,512 + 8 bytes
}

TEST_F(Reassembly_V4, TheSameIdentificationOfAnotherProtocolIsAnotherDatagram) {
  receive(Version{false}.raw(0, true, Bytes(8), 5, 6));
  receive(Version{false}.raw(8, false, Bytes(8), 5, 17));
  EXPECT_EQ(layer.reassemblies(), 2u);
}

// RFC 791: every host puts together what is cut as small as 8 bytes.
TEST_F(Reassembly_V4, TinyFragmentsAreAsGoodAsOthers) {
  const Bytes payload = tcp_segment();
  for (std::size_t at = 0; at + 8 < payload.size(); at += 8) {
    receive(Version{false}.raw(at, true, cut(payload, {at, 8})));
  }
  const std::size_t last = payload.size() / 8 * 8;
  auto received = receive(Version{false}.raw(last, false, cut(payload, {last, payload.size() - last})));
  EXPECT_EQ(std::get<Datagram>(received).packet.size(), payload.size());
}

TEST_F(Reassembly_V4, OptionsOfTheFirstFragmentStay) {
  const Bytes payload = payload_of(64);
  Bytes first = ipv4(Bytes{1, 1, 1, 0} + cut(payload, {0, 40}), 6);
  first[0] = 0x46;
  wire::store_be16(first.data() + 4, 77);
  wire::store_be16(first.data() + 6, 0x2000);
  receive(Version{false}.raw(40, false, cut(payload, {40, 24})));
  auto received = receive(frame4(with_checksum(first)));
  EXPECT_EQ(std::get<Datagram>(received).packet.size(), 64u);
}

class Reassembly_V6 : public IpLayerTest {
 protected:
  Reassembly_V6() { resolve(); }
  /// The parameter problem that `frame` provokes.
  void expect_problem(const Bytes& frame, DropReason reason, std::uint8_t code, std::uint32_t pointer) {
    const std::uint64_t before = drops(reason);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(frame)));
    EXPECT_EQ(drops(reason), before + 1);
    const auto frames = sent();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0][54], 4);
    EXPECT_EQ(frames[0][55], code);
    EXPECT_EQ(wire::load_be32(frames[0].data() + 58), pointer);
    EXPECT_EQ(Bytes(frames[0].begin() + 62, frames[0].end()), Bytes(frame.begin() + 14, frame.end()));
  }
};

TEST_F(Reassembly_V6, AtomicFragmentsAreWholeDatagramsBesideAFragmentedOne) {  // RFC 6946
  receive(Version{true}.raw(0, true, payload_of(40)));
  auto received = receive(Version{true}.raw(0, false, tcp_segment()));
  EXPECT_EQ(std::get<Datagram>(received).packet.size(), tcp_segment().size());
  EXPECT_EQ(layer.reassemblies(), 1u);
}

TEST_F(Reassembly_V6, FragmentsNotCutAtEightBytesAreAParameterProblem) {  // RFC 8200 4.5
  expect_problem(Version{true}.raw(0, true, payload_of(45)), DropReason::kIpv6BadFragment, ParameterProblem::kBadField, 4);
}

TEST_F(Reassembly_V6, OverlongDatagramsAreAParameterProblem) {  // RFC 8200 4.5
  expect_problem(Version{true}.raw(65'528, false, Bytes(9)), DropReason::kIpv6BadFragment, ParameterProblem::kBadField, 42);
}

TEST_F(Reassembly_V6, AFirstFragmentWithoutItsHeadersIsAParameterProblem) {  // RFC 7112 5
  expect_problem(Version{true}.raw(0, true, payload_of(16)), DropReason::kIpv6FirstFragmentTooSmall,
                 ParameterProblem::kIncompleteHeaderChain, 0);
  EXPECT_EQ(layer.reassemblies(), 0u);
}

TEST_F(Reassembly_V6, ExtensionHeadersOnBothSidesOfTheFragmentHeaderAreWalked) {
  const Bytes payload = payload_of(64);
  const Bytes hop_by_hop{44, 0, 1, 4, 0, 0, 0, 0};
  const Bytes options{6, 0, 1, 4, 0, 0, 0, 0};
  const Bytes behind = options + payload;
  receive(frame6(ipv6(hop_by_hop + Bytes{60, 0, 0, 1, 0, 0, 0, 9} + cut(behind, {0, 40}), 0)));
  auto received = receive(frame6(ipv6(hop_by_hop + Bytes{60, 0, 0, 40, 0, 0, 0, 9} + cut(behind, {40, 32}), 0)));
  auto& datagram = std::get<Datagram>(received);
  EXPECT_EQ(Bytes(datagram.packet.bytes().begin(), datagram.packet.bytes().end()), payload);
}

TEST_F(Reassembly_V6, FragmentsInFragmentsAreBad) {
  const Bytes inner = Bytes{6, 0, 0, 1, 0, 0, 0, 3} + payload_of(40);
  receive(Version{true}.raw(0, true, inner, 9, 44));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(receive(Version{true}.raw(48, false, Bytes(8), 9, 44))));
  EXPECT_EQ(drops(DropReason::kIpv6BadFragment), 1u);
  EXPECT_EQ(layer.reassemblies(), 0u);
}

TEST_F(Reassembly_V6, TheProtocolIsTheFirstFragmentsWhateverOthersSay) {  // RFC 8200 4.5
  const Bytes payload = payload_of(64);
  receive(Version{true}.raw(40, false, cut(payload, {40, 24}), 9, 99));
  auto received = receive(Version{true}.raw(0, true, cut(payload, {0, 40}), 9, 6));
  EXPECT_EQ(std::get<Datagram>(received).protocol, 6);
}

TEST_F(Reassembly_V6, NeighbourDiscoveryInFragmentsIsDropped) {  // RFC 6980
  wire::NeighbourMessage message{.target = kUs6, .link_address = kOtherMac};
  Bytes bytes(message.size());
  message.write(bytes);
  wire::write_icmp_checksum(bytes, kPeer6, kUs6);
  expect_dropped(frame6(ipv6(Bytes{58, 0, 0, 0, 0, 0, 0, 1} + bytes, 44, kPeer6, kUs6, 255)), DropReason::kNdFragmented);
  receive(frame6(ipv6(Bytes{58, 0, 0, 1, 0, 0, 0, 1} + cut(bytes, {0, 24}), 44, kPeer6, kUs6, 255)));
  expect_dropped(frame6(ipv6(Bytes{58, 0, 0, 24, 0, 0, 0, 1} + cut(bytes, {24, 8}), 44, kPeer6, kUs6, 255)),
                 DropReason::kNdFragmented);
}

TEST_F(Reassembly_V6, ALongUnfragmentablePartIsTooBig) {
  Bytes options = Bytes{44, 15, 1, 124} + Bytes(124);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(
      receive(frame6(ipv6(options + Bytes{6, 0, 0, 1, 0, 0, 0, 9} + payload_of(40), 60)))));
  EXPECT_EQ(drops(DropReason::kFragmentTooBig), 1u);
  EXPECT_EQ(pool.in_use(), 0u);
}

class Reassembly_Off : public IpLayerTest {
 protected:
  static InterfaceConfig off() {
    InterfaceConfig config = interface();
    config.reassemble = false;
    return config;
  }
  Reassembly_Off() : IpLayerTest({off()}) {}
};

TEST_F(Reassembly_Off, DropsAndCountsFragments) {
  expect_dropped(Version{false}.raw(0, true, Bytes(8)), DropReason::kIpv4Fragment);
  expect_dropped(Version{false}.raw(8, false, Bytes(8)), DropReason::kIpv4Fragment);
  expect_dropped(Version{true}.raw(0, true, payload_of(40)), DropReason::kIpv6Fragment);
  EXPECT_TRUE(std::holds_alternative<Datagram>(receive(Version{true}.raw(0, false, tcp_segment())))) << "atomic";
}

}  // namespace
}  // namespace millrace::ip::test
