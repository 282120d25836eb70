// Regular expressions (RE2 syntax) become one program per worker. RE2 runs in time linear in its input; its memory is bounded
// here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "config/model/matcher.h"
#include "config/model/route.h"
#include "dataplane/base/result.h"

namespace millrace::config {

/// Bytes that one program and its DFA cache may take (RE2's max_mem). A pattern whose program does not fit is refused.
inline constexpr std::size_t kRegexMaxMemoryBytes = 2 * 1024 * 1024;

/// Compiles `pattern` once per worker (at least once). The error is a text that says why the pattern is refused.
[[nodiscard]] Result<Regex, std::string> compile_regex(std::string_view pattern, std::size_t workers);

/// What every text that `regex` matches as a whole begins with; empty: nothing is known.
[[nodiscard]] std::string literal_prefix(const Regex& regex);

/// As compile_regex, and checks that the substitution names only groups ("\1") that the pattern has.
[[nodiscard]] Result<RegexRewrite, std::string> compile_rewrite(std::string_view pattern, std::string_view substitution,
                                                                std::size_t workers);

}  // namespace millrace::config
