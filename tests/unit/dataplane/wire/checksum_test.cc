#include "dataplane/wire/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/base/rng.h"

namespace millrace::wire {
namespace {

using Bytes = std::vector<std::uint8_t>;

// RFC 1071 section 4.1, word by word.
std::uint16_t naive(const Bytes& bytes) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint64_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

TEST(Checksum, OfTheExampleInRfc1071) {
  EXPECT_EQ(internet_checksum(Bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}), 0xffff - 0xddf2);
}

TEST(Checksum, OfNothingIsAllOnes) { EXPECT_EQ(internet_checksum({}), 0xffff); }

TEST(Checksum, AgreesWithTheDefinitionAtEveryLengthAndAlignment) {
  Rng rng(1);
  for (std::size_t size = 0; size < 300; ++size) {
    Bytes bytes(size);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(rng.next());
    ASSERT_EQ(internet_checksum(bytes), naive(bytes)) << size;
    for (std::size_t skip = 1; skip < 4 && skip <= size; ++skip) {
      ASSERT_EQ(internet_checksum(std::span(bytes).subspan(skip)),
                naive(Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(skip), bytes.end())));
    }
  }
}

TEST(Checksum, CarriesOfTheLargestPacketAreNotLost) {
  EXPECT_EQ(internet_checksum(Bytes(65534, 0xff)), naive(Bytes(65534, 0xff)));
  EXPECT_EQ(internet_checksum(Bytes(65535, 0xff)), naive(Bytes(65535, 0xff)));
}

TEST(Checksum, SumsOfPartsAtEvenOffsetsAdd) {
  Rng rng(2);
  Bytes bytes(301);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(rng.next());
  for (std::size_t cut = 0; cut <= bytes.size(); cut += 2) {
    const auto all = std::span<const std::uint8_t>(bytes);
    EXPECT_EQ(checksum_finish(checksum_add(checksum_add(0, all.first(cut)), all.subspan(cut))), naive(bytes));
  }
}

TEST(Checksum, OverDataThatContainsItIsZero) {
  Bytes bytes{1, 2, 3, 4, 0, 0, 7, 8, 9};
  store_be16(bytes.data() + 4, internet_checksum(bytes));
  EXPECT_EQ(internet_checksum(bytes), 0);
}

TEST(Checksum, PseudoHeadersAreThoseOfTheRfcs) {
  const IpAddress a = *IpAddress::parse("198.18.0.1");
  const IpAddress b = *IpAddress::parse("203.0.113.255");
  const Bytes v4{198, 18, 0, 1, 203, 0, 113, 255, 0, 6, 0x04, 0xd2};
  EXPECT_EQ(checksum_finish(pseudo_header_sum(a, b, 6, 1234)), naive(v4));
  EXPECT_EQ(checksum_fold(pseudo_header_sum(a, b, 6, 1234)), static_cast<std::uint16_t>(~naive(v4)));
  const IpAddress c = *IpAddress::parse("2001:db8:1:2:3:4:5:6");
  const IpAddress d = *IpAddress::parse("fe80::ffff:ffff:1");
  Bytes v6(c.bytes().begin(), c.bytes().end());
  v6.insert(v6.end(), d.bytes().begin(), d.bytes().end());
  const Bytes length_and_protocol{0, 1, 0, 2, 0, 0, 0, 58};
  v6.insert(v6.end(), length_and_protocol.begin(), length_and_protocol.end());
  EXPECT_EQ(checksum_finish(pseudo_header_sum(c, d, 58, 65538)), naive(v6));
}

}  // namespace
}  // namespace millrace::wire
