// A regular expression of stats_config.stats_tags. Those have look-ahead, which RE2 refuses: PCRE2 runs them, with a limit on its
// work, on names of statistics only and never on a worker.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace millrace::agent {

/// What an expression finds in a name.
struct TagMatch {
  std::size_t begin = 0;  ///< its first group, which the name loses: [begin, end)
  std::size_t end = 0;
  std::string value;  ///< its second group, or the first where there is none
};

/// Any thread may search.
class TagRegex {
 public:
  /// An error says what is wrong with the pattern, and where.
  [[nodiscard]] static Result<std::shared_ptr<const TagRegex>, std::string> compile(const std::string& pattern);
  ~TagRegex();
  TagRegex(const TagRegex&) = delete;
  TagRegex& operator=(const TagRegex&) = delete;

  /// None where it does not match, has no group, or would take too long.
  [[nodiscard]] std::optional<TagMatch> search(std::string_view name) const;

 private:
  struct Program;
  explicit TagRegex(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace millrace::agent
