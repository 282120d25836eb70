// Reading the query of a page. Whoever writes a parameter wrongly is told what is allowed, instead of getting an answer to
// another question.
#pragma once

#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::agent {

/// Name -> value.
using Parameters = std::multimap<std::string, std::string>;

/// A decimal number from `least` to `most`; none for anything else.
[[nodiscard]] inline std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

/// What is wrong with the names of `parameters`: one that is not in `known`, or one that is given twice; empty when nothing is.
[[nodiscard]] inline std::string check_names(const Parameters& parameters, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : parameters) {
    std::string all;
    bool found = false;
    for (const std::string_view other : known) {
      found |= other == name;
      all.append(all.empty() ? "" : ", ").append(other);
    }
    if (!found) return "unknown parameter \"" + name + "\"; there are " + all;
    if (parameters.count(name) > 1) return "parameter \"" + name + "\" is given twice";
  }
  return {};
}

}  // namespace millrace::agent
