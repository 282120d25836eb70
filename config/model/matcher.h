// Strings and their conditions as configuration states them. Sources: envoy.type.matcher.v3.StringMatcher, RegexMatcher.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace millrace::config {

/// A regular expression with one compiled program per worker: RE2 guards its DFA cache by a lock that workers must not share.
/// The cache is bounded (RE2's max_mem); its growth is the one allocation that the fast path may cause.
struct Regex {
  std::string pattern;
  std::vector<std::shared_ptr<const re2::RE2>> programs;  ///< indexed by worker
};

struct StringMatcher {
  enum class Kind : std::uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex };
  Kind kind = Kind::kExact;
  std::string text;  ///< for kRegex unused; in lower case when ignore_case
  bool ignore_case = false;
  Regex regex;
};

/// envoy.config.route.v3.HeaderMatcher
struct HeaderMatcher {
  enum class Kind : std::uint8_t { kPresent, kString, kRange };
  std::string name;  ///< lower case; ":authority", ":path", ":method", ":scheme" name the pseudo fields
  Kind kind = Kind::kPresent;
  bool present = true;  ///< for kPresent: must the field be there
  StringMatcher string;
  std::int64_t range_start = 0;  ///< kRange: [start, end)
  std::int64_t range_end = 0;
  bool invert = false;
  bool treat_missing_as_empty = false;
};

/// envoy.config.route.v3.QueryParameterMatcher
struct QueryParameterMatcher {
  std::string name;
  bool present_only = true;
  bool present = true;   ///< for present_only: must the parameter be there
  StringMatcher string;  ///< when not present_only
};

/// A true/false decision by chance: envoy.type.v3.FractionalPercent.
struct Fraction {
  std::uint32_t numerator = 100;
  std::uint32_t denominator = 100;
};

}  // namespace millrace::config
