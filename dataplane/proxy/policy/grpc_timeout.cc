#include "dataplane/proxy/policy/grpc_timeout.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "dataplane/proxy/policy/field_tools.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kName = "grpc-timeout";
constexpr std::size_t kMostDigits = 8;
constexpr std::int64_t kLargest = 99'999'999;

struct Unit {
  char letter;
  std::int64_t nanoseconds;
};
constexpr std::array<Unit, 6> kUnits = {
    {{'n', 1}, {'u', 1'000}, {'m', 1'000'000}, {'S', 1'000'000'000}, {'M', 60'000'000'000}, {'H', 3'600'000'000'000}}};
constexpr std::size_t kMilliseconds = 2;

}  // namespace

std::optional<Duration> grpc_timeout(const http::HeaderMap& headers) {
  const std::string_view text = headers.value(kName);
  if (text.size() < 2 || text.size() > kMostDigits + 1) return std::nullopt;
  const auto* unit = std::ranges::find(kUnits, text.back(), &Unit::letter);
  std::uint32_t count = 0;
  const char* end = text.data() + text.size() - 1;
  const auto result = std::from_chars(text.data(), end, count);
  if (unit == kUnits.end() || result.ec != std::errc() || result.ptr != end) return std::nullopt;
  // 99,999,999 hours are more than nanoseconds can count: what has no end for anybody.
  constexpr std::int64_t kMillisecond = kUnits[kMilliseconds].nanoseconds;
  const std::int64_t per_unit = unit->nanoseconds;
  if (per_unit >= kMillisecond && count > Duration::infinite().to_milliseconds() / (per_unit / kMillisecond)) {
    return Duration::infinite();
  }
  if (per_unit >= kMillisecond) return Duration::milliseconds(count * (per_unit / kMillisecond));
  return Duration::milliseconds((count * per_unit + kMillisecond - 1) / kMillisecond);
}

bool set_grpc_timeout(http::HeaderMap& headers, Duration timeout) {
  std::size_t unit = kMilliseconds;
  std::int64_t count = std::max<std::int64_t>(timeout.to_milliseconds(), 0);
  for (; count > kLargest && unit + 1 < kUnits.size(); ++unit) count /= kUnits[unit + 1].nanoseconds / kUnits[unit].nanoseconds;
  std::array<char, kMaxDecimalBytes> digits;
  std::array<char, kMostDigits + 1> text;
  const std::string_view number = write_decimal(static_cast<std::uint64_t>(std::min(count, kLargest)), digits);
  *std::ranges::copy(number, text.begin()).out = kUnits[unit].letter;
  return headers.set_copy(kName, {text.data(), number.size() + 1});
}

}  // namespace millrace::proxy
