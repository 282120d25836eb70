// The rules of protoc-gen-validate for single values, one function per kind. Each returns what is wrong with the value, as the
// end of a sentence that starts with the field ("must be at least 1"); empty: nothing. Used by validate_rules.h only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>

#include "validate/validate.pb.h"

namespace millrace::agent {

[[nodiscard]] std::string check_string(const validate::StringRules& rules, const std::string& value);
[[nodiscard]] std::string check_bytes(const validate::BytesRules& rules, const std::string& value);

/// What the value means for a reader: 1.5 for a double, "1.5s" for a duration in nanoseconds.
struct PlainText {
  template <typename T>
  std::string operator()(T value) const {
    std::ostringstream out;
    out << value;
    return out.str();
  }
};

template <typename T, typename Text>
std::string check_range(bool has_lower, bool lower_inclusive, T lower, bool has_upper, bool upper_inclusive, T upper, T value,
                        Text text) {
  const bool above = !has_lower || value > lower || (lower_inclusive && value == lower);
  const bool below = !has_upper || value < upper || (upper_inclusive && value == upper);
  const std::string at_least = (lower_inclusive ? "at least " : "greater than ") + text(lower);
  const std::string at_most = (upper_inclusive ? "at most " : "less than ") + text(upper);
  // An upper bound below the lower one means: outside of what lies between.
  if (has_lower && has_upper && upper < lower) return above || below ? "" : "must be " + at_most + " or " + at_least;
  if (above && below) return {};
  if (has_lower && has_upper) return "must be " + at_least + " and " + at_most;
  return "must be " + (has_lower ? at_least : at_most);
}

/// Any of the numeric rule messages; `to_number` maps their members (numbers, or durations) to T.
template <typename T, typename Rules, typename ToNumber, typename Text>
std::string check_ordered(const Rules& rules, T value, ToNumber to_number, Text text) {
  if (rules.has_const_() && value != to_number(rules.const_())) return "must be " + text(to_number(rules.const_()));
  const bool lower_inclusive = rules.has_gte();
  const bool upper_inclusive = rules.has_lte();
  auto reason = check_range<T>(rules.has_gt() || rules.has_gte(), lower_inclusive,
                               to_number(lower_inclusive ? rules.gte() : rules.gt()), rules.has_lt() || rules.has_lte(),
                               upper_inclusive, to_number(upper_inclusive ? rules.lte() : rules.lt()), value, text);
  if (!reason.empty()) return reason + ", is " + text(value);
  const auto list = [&](const auto& values) {
    std::string out;
    for (const auto& other : values) out += (out.empty() ? "" : ", ") + text(to_number(other));
    return out;
  };
  const auto contains = [&](const auto& values) {
    for (const auto& other : values) {
      if (value == to_number(other)) return true;
    }
    return false;
  };
  if (rules.in_size() > 0 && !contains(rules.in())) return "must be one of " + list(rules.in()) + ", is " + text(value);
  if (contains(rules.not_in())) return "must not be " + text(value);
  return {};
}

template <typename T, typename Rules>
std::string check_number(const Rules& rules, T value) {
  if (rules.ignore_empty() && value == T{}) return {};
  return check_ordered<T>(rules, value, [](auto number) { return static_cast<T>(number); }, PlainText{});
}

}  // namespace millrace::agent
