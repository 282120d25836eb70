#include "config/compile/regex_compiler.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace millrace::config {

Result<Regex, std::string> compile_regex(std::string_view pattern, std::size_t workers) {
  RE2::Options options;
  options.set_max_mem(static_cast<std::int64_t>(kRegexMaxMemoryBytes));
  options.set_log_errors(false);

  Regex regex;
  regex.pattern = pattern;
  const std::size_t count = std::max<std::size_t>(workers, 1);
  for (std::size_t worker = 0; worker < count; ++worker) {
    auto program = std::make_shared<const RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
    if (!program->ok()) {
      return Error<std::string>("\"" + regex.pattern + "\" is not a valid regular expression (RE2 syntax): " + program->error());
    }
    regex.programs.push_back(std::move(program));
  }
  return regex;
}

std::string literal_prefix(const Regex& regex) {
  constexpr int kMostBytes = 256;
  std::string least;
  std::string greatest;
  if (regex.programs.empty() || !regex.programs.front()->PossibleMatchRange(&least, &greatest, kMostBytes)) return {};
  least.erase(std::ranges::mismatch(least, greatest).in1, least.end());
  return least;
}

Result<RegexRewrite, std::string> compile_rewrite(std::string_view pattern, std::string_view substitution, std::size_t workers) {
  auto regex = compile_regex(pattern, workers);
  if (!regex) return Error<std::string>(std::move(regex.error()));
  std::string reason;
  if (!regex->programs.front()->CheckRewriteString(re2::StringPiece(substitution.data(), substitution.size()), &reason)) {
    return Error<std::string>("the substitution \"" + std::string(substitution) + "\" does not fit the pattern: " + reason);
  }
  return RegexRewrite{std::move(*regex), std::string(substitution)};
}

}  // namespace millrace::config
