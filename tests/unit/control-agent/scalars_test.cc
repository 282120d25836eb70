#include "control-agent/scalars.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace millrace::agent {
namespace {

TEST(Scalars, ReadsWholeNumbersToTheirBounds) {
  EXPECT_EQ(parse_int64("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(parse_int64("9223372036854775807"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse_int64("9223372036854775808"), std::nullopt);
  EXPECT_EQ(parse_uint64("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_uint64("-1"), std::nullopt);
  EXPECT_EQ(parse_uint64("18446744073709551616"), std::nullopt);
}

TEST(Scalars, ReadsWholeNumbersInFloatingForm) {
  EXPECT_EQ(parse_int64("1.0"), 1);
  EXPECT_EQ(parse_int64("1e3"), 1000);
  EXPECT_EQ(parse_uint64("25E1"), 250U);
  EXPECT_EQ(parse_int64("1.5"), std::nullopt);
  EXPECT_EQ(parse_uint64("1e30"), std::nullopt);
  EXPECT_EQ(parse_uint64("-1.0"), std::nullopt);
}

TEST(Scalars, RefusesWhatIsNoJsonNumber) {
  for (const char* text : {"", "-", "01", "1.", ".5", "1e", "0x10", "1 ", " 1", "+1", "1_000"}) {
    EXPECT_FALSE(is_json_number(text)) << text;
    EXPECT_EQ(parse_double(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_int64("0x10"), std::nullopt);
}

TEST(Scalars, ReadsDoublesAndTheirSpecialNames) {
  EXPECT_EQ(parse_double("-2.5e-1"), -0.25);
  EXPECT_TRUE(std::isnan(*parse_double("NaN")));
  EXPECT_EQ(parse_double("-Infinity"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(parse_double("1e999"), std::nullopt);
}

TEST(Scalars, DecodesBothBase64AlphabetsWithAndWithoutPadding) {
  EXPECT_EQ(decode_base64("aGk="), "hi");
  EXPECT_EQ(decode_base64("aGk"), "hi");
  EXPECT_EQ(decode_base64("+/+/"), decode_base64("-_-_"));
  EXPECT_EQ(decode_base64(""), "");
  for (const char* text : {"a", "a===", "aGk==", "aG k", "=", "aGk=x"}) EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

TEST(Scalars, EncodesWhatItDecodes) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
  EXPECT_EQ(encode_base64("hi"), "aGk=");
}

TEST(Scalars, ReadsDurations) {
  EXPECT_EQ(parse_duration("1.5s")->nanos, 500'000'000);
  EXPECT_EQ(parse_duration("0.250s")->nanos, 250'000'000);
  EXPECT_EQ(parse_duration("-3.000000001s")->seconds, -3);
  EXPECT_EQ(parse_duration("-3.000000001s")->nanos, -1);
  EXPECT_EQ(parse_duration("315576000000s")->seconds, 315'576'000'000);
  for (const char* text : {"", "s", "1", "1m", "1.s", ".5s", "1.0000000001s", "315576000001s", "1e3s", "+1s", "1 s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Scalars, PrintsDurationsInThreeSixOrNineDigits) {
  EXPECT_EQ(print_duration(3, 0), "3s");
  EXPECT_EQ(print_duration(0, 250'000'000), "0.250s");
  EXPECT_EQ(print_duration(1, 1'000), "1.000001s");
  EXPECT_EQ(print_duration(-1, -5), "-1.000000005s");
}

TEST(Scalars, KnowsUtf8) {
  EXPECT_TRUE(is_valid_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
  for (const char* text : {"\x80", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe2\x82"}) {
    EXPECT_FALSE(is_valid_utf8(text));
  }
}

}  // namespace
}  // namespace millrace::agent
