// Conditions on values that filters leave for each other. Sources: envoy.type.matcher.v3.MetadataMatcher, ValueMatcher.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model/matcher.h"

namespace millrace::config {

struct ValueMatcher {
  enum class Kind : std::uint8_t {
    kNull,
    kNumber,  ///< equal to `start`
    kRange,   ///< in [start, end)
    kString,
    kBool,
    kPresent,    ///< `boolean`: must it be there
    kListOneOf,  ///< a list, one element of which matches the first of `others`
    kOr,         ///< one of `others` matches
  };
  Kind kind = Kind::kPresent;
  double start = 0;
  double end = 0;
  bool boolean = true;  ///< for kBool and kPresent
  StringMatcher string = {};
  std::vector<ValueMatcher> others = {};
};

struct MetadataMatcher {
  std::string filter;             ///< whose metadata: a namespace, such as "envoy.filters.http.jwt_authn"
  std::vector<std::string> path;  ///< keys, from the outermost on; at least one
  ValueMatcher value;
  bool invert = false;
};

}  // namespace millrace::config
