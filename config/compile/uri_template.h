// Path templates such as "/users/{id}/**" as regular expressions, and what they are rewritten to. Source:
// envoy.extensions.path.match.uri_template.v3 and envoy.extensions.path.rewrite.uri_template.v3.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace millrace::config {

inline constexpr std::size_t kMaxTemplateVariables = 5;
inline constexpr std::size_t kMaxTemplateVariableBytes = 16;

struct UriTemplate {
  std::string pattern;                 ///< RE2 syntax, for a match of the whole path; a group for each variable
  std::vector<std::string> variables;  ///< in the order of their groups
};

/// The error says what is wrong with `text`.
[[nodiscard]] Result<UriTemplate, std::string> compile_uri_template(std::string_view text);

/// A substitution (RE2 rewrite syntax) for matches of `from`'s pattern; `text` may name its variables only.
[[nodiscard]] Result<std::string, std::string> compile_uri_rewrite(std::string_view text, const UriTemplate& from);

}  // namespace millrace::config
