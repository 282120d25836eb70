// Civil date from days by eras of 400 years (146,097 days), counted from 1 March of year 0, so that leap days come last.
#include "dataplane/http/date.h"

#include <algorithm>

namespace millrace::http {
namespace {

constexpr std::int64_t kSecondsPerDay = 86'400;
constexpr std::int64_t kDaysPerEra = 146'097;
constexpr std::int64_t kDaysToEpoch = 719'468;                   // from 0000-03-01 to 1970-01-01
constexpr std::int64_t kEarliest = -62'167'219'200;              // 0000-01-01T00:00:00
constexpr std::int64_t kLatest = 253'402'300'799;                // 9999-12-31T23:59:59
constexpr std::string_view kWeekdays = "ThuFriSatSunMonTueWed";  // the epoch was a Thursday
constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

char* put_digits(char* out, std::int64_t value, int digits) {
  for (int i = digits; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
  return out + digits;
}

char* put_text(char* out, std::string_view text) { return std::copy(text.begin(), text.end(), out); }

}  // namespace

std::string_view format_date(std::int64_t seconds, std::span<char, kDateBytes> out) {
  seconds = std::clamp(seconds, kEarliest, kLatest);
  const std::int64_t days = floor_div(seconds, kSecondsPerDay);
  const std::int64_t second_of_day = seconds - days * kSecondsPerDay;

  const std::int64_t era = floor_div(days + kDaysToEpoch, kDaysPerEra);
  const std::int64_t day_of_era = days + kDaysToEpoch - era * kDaysPerEra;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;  // March is 0
  const std::int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const std::int64_t month = shifted_month < 10 ? shifted_month + 2 : shifted_month - 10;  // January is 0
  const std::int64_t year = year_of_era + era * 400 + (month < 2 ? 1 : 0);
  const std::int64_t weekday = ((days % 7) + 7) % 7;

  char* next = put_text(out.data(), kWeekdays.substr(static_cast<std::size_t>(weekday) * 3, 3));
  next = put_text(next, ", ");
  next = put_digits(next, day, 2);
  *next++ = ' ';
  next = put_text(next, kMonths.substr(static_cast<std::size_t>(month) * 3, 3));
  *next++ = ' ';
  next = put_digits(next, year, 4);
  *next++ = ' ';
  next = put_digits(next, second_of_day / 3'600, 2);
  *next++ = ':';
  next = put_digits(next, second_of_day / 60 % 60, 2);
  *next++ = ':';
  next = put_digits(next, second_of_day % 60, 2);
  put_text(next, " GMT");
  return {out.data(), kDateBytes};
}

}  // namespace millrace::http
