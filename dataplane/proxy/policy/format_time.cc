// Calendar text without strftime: no locale, no time zone database, no lock.
#include <algorithm>
#include <array>

#include "dataplane/proxy/policy/format.h"
#include "dataplane/proxy/policy/text_writer.h"

namespace millrace::proxy {
namespace {

constexpr std::array<std::string_view, 7> kDays = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"January", "February", "March",     "April",   "May",      "June",
                                                      "July",    "August",   "September", "October", "November", "December"};

struct Calendar {
  std::int64_t epoch_seconds;
  std::uint32_t nanosecond;
  std::int64_t year;
  unsigned month, day, hour, minute, second, weekday, yearday;  // month and day from 1, yearday and weekday (Sunday) from 0
};

Calendar calendar_of(std::int64_t nanoseconds) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  Calendar c{};
  c.epoch_seconds = nanoseconds / kSecond - (nanoseconds % kSecond < 0 ? 1 : 0);
  c.nanosecond = static_cast<std::uint32_t>(nanoseconds - c.epoch_seconds * kSecond);
  const std::int64_t days = c.epoch_seconds / 86'400 - (c.epoch_seconds % 86'400 < 0 ? 1 : 0);
  const auto of_day = static_cast<unsigned>(c.epoch_seconds - days * 86'400);
  c.hour = of_day / 3'600;
  c.minute = of_day / 60 % 60;
  c.second = of_day % 60;
  c.weekday = static_cast<unsigned>(((days + 4) % 7 + 7) % 7);  // 1 January 1970 was a Thursday
  // Years that begin in March, in eras of 400 years, so that the leap day is a year's last.
  const std::int64_t shifted = days + 719'468;
  const std::int64_t era = (shifted >= 0 ? shifted : shifted - 146'096) / 146'097;
  const auto of_era = static_cast<unsigned>(shifted - era * 146'097);
  const unsigned year_of_era = (of_era - of_era / 1'460 + of_era / 36'524 - of_era / 146'096) / 365;
  const unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned march_month = (5 * of_year + 2) / 153;
  c.day = of_year - (153 * march_month + 2) / 5 + 1;
  c.month = march_month < 10 ? march_month + 3 : march_month - 9;
  c.year = static_cast<std::int64_t>(year_of_era) + era * 400 + (c.month <= 2 ? 1 : 0);
  const bool leap = (c.year % 4 == 0 && c.year % 100 != 0) || c.year % 400 == 0;
  constexpr std::array<unsigned, 12> kBefore = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  c.yearday = kBefore[c.month - 1] + c.day - 1 + (leap && c.month > 2 ? 1 : 0);
  return c;
}

// The first `digits` (1 to 9) digits of the fraction of the second.
void put_fraction(TextWriter& out, const Calendar& c, unsigned digits) {
  std::uint32_t value = c.nanosecond;
  for (unsigned i = digits; i < 9; ++i) value /= 10;
  out.put_padded(value, digits);
}

void put_specifier(TextWriter& out, const Calendar& c, char specifier) {
  const unsigned hour12 = c.hour % 12 == 0 ? 12 : c.hour % 12;
  const auto year = static_cast<std::uint64_t>(std::max<std::int64_t>(c.year, 0));
  switch (specifier) {
    case 'Y': return out.put_number(year);
    case 'y': return out.put_padded(year % 100, 2);
    case 'C': return out.put_padded(year / 100, 2);
    case 'm': return out.put_padded(c.month, 2);
    case 'd': return out.put_padded(c.day, 2);
    case 'e': return out.put_padded(c.day, 2, ' ');
    case 'H': return out.put_padded(c.hour, 2);
    case 'I': return out.put_padded(hour12, 2);
    case 'M': return out.put_padded(c.minute, 2);
    case 'S': return out.put_padded(c.second, 2);
    case 'p': return out.put(c.hour < 12 ? "AM" : "PM");
    case 'j': return out.put_padded(c.yearday + 1, 3);
    case 'u': return out.put_number(c.weekday == 0 ? 7 : c.weekday);
    case 'w': return out.put_number(c.weekday);
    case 'a': return out.put(kDays[c.weekday].substr(0, 3));
    case 'A': return out.put(kDays[c.weekday]);
    case 'b':
    case 'h': return out.put(kMonths[c.month - 1].substr(0, 3));
    case 'B': return out.put(kMonths[c.month - 1]);
    case 'z': return out.put("+0000");
    case 'Z': return out.put("UTC");
    case 'n': return out.put("\n");
    case 't': return out.put("\t");
    case '%': return out.put("%");
    default: out.put("%"); return out.put({&specifier, 1});
  }
}

std::string_view composite(char specifier) {
  switch (specifier) {
    case 'F': return "%Y-%m-%d";
    case 'T': return "%H:%M:%S";
    case 'R': return "%H:%M";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'X': return "%H:%M:%S";
    case 'c': return "%a %b %e %H:%M:%S %Y";
    case 'r': return "%I:%M:%S %p";
    default: return {};
  }
}

void put_pattern(TextWriter& out, const Calendar& c, std::string_view pattern);

// What follows a '%'; returns how much of `rest` it was.
std::size_t put_directive(TextWriter& out, const Calendar& c, std::string_view rest) {
  if (rest.empty()) {
    out.put("%");
    return 0;
  }
  const auto digit_at = [&](std::size_t i) { return i < rest.size() && rest[i] >= '1' && rest[i] <= '9'; };
  const unsigned digits = digit_at(0) ? static_cast<unsigned>(rest[0] - '0') : 0;
  const std::size_t at = digits > 0 ? 1 : 0;
  if (at < rest.size() && rest[at] == 'f') {
    put_fraction(out, c, digits > 0 ? digits : 9);
    return at + 1;
  }
  if (at < rest.size() && rest[at] == 's') {
    out.put_number(static_cast<std::uint64_t>(std::max<std::int64_t>(c.epoch_seconds, 0)));
    if (digits > 0) put_fraction(out, c, digits);
    return at + 1;
  }
  if (rest[0] == 'E' && rest.size() > 2 && (digit_at(1) || rest[1] == '*') && (rest[2] == 'S' || rest[2] == 'f')) {
    if (rest[2] == 'S') {
      out.put_padded(c.second, 2);
      out.put(".");
    }
    put_fraction(out, c, rest[1] == '*' ? 9 : static_cast<unsigned>(rest[1] - '0'));
    return 3;
  }
  const std::string_view expansion = composite(rest[0]);
  if (expansion.empty()) {
    put_specifier(out, c, rest[0]);
  } else {
    put_pattern(out, c, expansion);
  }
  return 1;
}

void put_pattern(TextWriter& out, const Calendar& c, std::string_view pattern) {
  while (true) {
    const std::size_t percent = pattern.find('%');
    out.put(pattern.substr(0, percent));
    if (percent == std::string_view::npos) return;
    pattern.remove_prefix(percent + 1);
    pattern.remove_prefix(put_directive(out, c, pattern));
  }
}

constexpr std::string_view kDefaultPattern = "%Y-%m-%dT%H:%M:%S.%3fZ";

// The same without looking at a pattern: every line of an access log begins with it. The year has four digits.
std::array<char, 24> default_text(const Calendar& c) {
  std::array<char, 24> text = {'0', '0', '0', '0', '-', '0', '0', '-', '0', '0', 'T', '0',
                               '0', ':', '0', '0', ':', '0', '0', '.', '0', '0', '0', 'Z'};
  const auto put = [&text](std::size_t end, unsigned value) {
    for (; value > 0; value /= 10) text[--end] = static_cast<char>('0' + value % 10);
  };
  put(4, static_cast<unsigned>(c.year));
  put(7, c.month);
  put(10, c.day);
  put(13, c.hour);
  put(16, c.minute);
  put(19, c.second);
  put(23, c.nanosecond / 1'000'000);
  return text;
}

}  // namespace

std::size_t format_time(std::int64_t wall_nanoseconds, std::string_view pattern, std::span<char> out) {
  const Calendar calendar = calendar_of(wall_nanoseconds);
  TextWriter writer(out);
  if (!pattern.empty()) {
    put_pattern(writer, calendar, pattern);
  } else if (calendar.year >= 0 && calendar.year <= 9'999) {
    const auto text = default_text(calendar);
    writer.put({text.data(), text.size()});
  } else {
    put_pattern(writer, calendar, kDefaultPattern);
  }
  return writer.size();
}

}  // namespace millrace::proxy
