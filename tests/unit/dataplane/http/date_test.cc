#include "dataplane/http/date.h"

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <string>

namespace millrace::http {
namespace {

std::string date(std::int64_t seconds) {
  std::array<char, kDateBytes> out;
  return std::string(format_date(seconds, out));
}

TEST(Date, IsTheExampleOfRfc9110_5_6_7) { EXPECT_EQ(date(784'111'777), "Sun, 06 Nov 1994 08:49:37 GMT"); }

TEST(Date, AgreesWithTheLibraryOnEveryDayOfEightCenturies) {
  for (std::int64_t day = -146'097; day < 146'097; ++day) {
    const std::time_t seconds = day * 86'400 + (day & 0xffff);
    std::tm parts{};
    ASSERT_NE(gmtime_r(&seconds, &parts), nullptr);
    char expected[64];
    ASSERT_EQ(std::strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &parts), kDateBytes);
    ASSERT_EQ(date(seconds), expected);
  }
}

TEST(Date, StaysWithinFourDigitsOfYear) {
  EXPECT_EQ(date(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(date(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

}  // namespace
}  // namespace millrace::http
