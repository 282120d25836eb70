// Global replacement with RE2. The text is matched twice: once to measure the result, once to write it, so that nothing but the
// arena is asked for memory.
#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "dataplane/proxy/policy/path.h"

namespace millrace::proxy {
namespace {

using Groups = std::array<re2::StringPiece, 10>;  // the match and \1 to \9

template <typename Sink>
void put_substitution(std::string_view substitution, const Groups& groups, Sink&& put) {
  while (!substitution.empty()) {
    const std::size_t backslash = std::min(substitution.find('\\'), substitution.size());
    put(substitution.substr(0, backslash));
    substitution.remove_prefix(backslash);
    if (substitution.size() < 2) return;
    const char c = substitution[1];
    if (c >= '0' && c <= '9') {
      const re2::StringPiece& group = groups[static_cast<std::size_t>(c - '0')];
      if (group.data() != nullptr) put(std::string_view(group.data(), group.size()));
    } else {
      put(substitution.substr(1, 1));
    }
    substitution.remove_prefix(2);
  }
}

// Hands the pieces of the result to `put`; returns whether anything matched.
template <typename Sink>
bool put_replaced(const re2::RE2& program, std::string_view substitution, std::string_view text, Sink&& put) {
  const re2::StringPiece whole(text.data(), text.size());
  const int group_count = std::min(program.NumberOfCapturingGroups() + 1, static_cast<int>(Groups().size()));
  std::size_t at = 0;
  std::size_t last_end = std::string_view::npos;
  bool matched = false;
  while (at <= text.size()) {
    Groups groups{};
    if (!program.Match(whole, at, text.size(), re2::RE2::UNANCHORED, groups.data(), group_count)) break;
    const auto begin = static_cast<std::size_t>(groups[0].data() - text.data());
    put(text.substr(at, begin - at));
    at = begin;
    if (groups[0].empty() && begin == last_end) {  // an empty match right behind a match: step over one byte
      put(text.substr(at, 1));
      ++at;
      continue;
    }
    matched = true;
    put_substitution(substitution, groups, put);
    at = begin + groups[0].size();
    last_end = at;
  }
  if (at < text.size()) put(text.substr(at));
  return matched;
}

}  // namespace

std::string_view replace_all(const config::RegexRewrite& rewrite, std::string_view text, std::uint32_t worker, Arena& arena) {
  if (worker >= rewrite.regex.programs.size()) return text;
  const re2::RE2& program = *rewrite.regex.programs[worker];
  std::size_t size = 0;
  const auto count = [&](std::string_view piece) { size += piece.size(); };
  if (!put_replaced(program, rewrite.substitution, text, count)) return text;
  if (size == 0) return "";
  const std::span<char> bytes = arena.make_array<char>(size);
  if (bytes.empty()) return {};
  char* next = bytes.data();
  put_replaced(program, rewrite.substitution, text, [&](std::string_view piece) { next = std::ranges::copy(piece, next).out; });
  return {bytes.data(), size};
}

}  // namespace millrace::proxy
