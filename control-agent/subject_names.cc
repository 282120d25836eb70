#include "control-agent/subject_names.h"

#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "config/compile/regex_compiler.h"
#include "control-agent/translate_common.h"
#include "tls/certificate.h"

namespace millrace::agent {

using Kind = config::StringMatcher::Kind;
using envoy::type::matcher::v3::StringMatcher;

namespace {

bool text_matches(const config::StringMatcher& matcher, const std::string& value) {
  switch (matcher.kind) {
    case Kind::kExact: return value == matcher.text;
    case Kind::kPrefix: return value.starts_with(matcher.text);
    case Kind::kSuffix: return value.ends_with(matcher.text);
    case Kind::kContains: return value.contains(matcher.text);
    // One program for all threads: RE2's lock is no matter for a handshake.
    case Kind::kRegex: return re2::RE2::FullMatch(value, *matcher.regex.programs.front());
  }
  return false;
}

}  // namespace

Result<SubjectNameMatcher, MatcherError> make_name_matcher(const StringMatcher& matcher, std::vector<tls::NameKind> kinds) {
  SubjectNameMatcher out{.kinds = std::move(kinds), .value = {}};
  config::StringMatcher& value = out.value;
  switch (matcher.match_pattern_case()) {
    case StringMatcher::kExact: value.text = matcher.exact(); break;
    case StringMatcher::kPrefix: value.kind = Kind::kPrefix, value.text = matcher.prefix(); break;
    case StringMatcher::kSuffix: value.kind = Kind::kSuffix, value.text = matcher.suffix(); break;
    case StringMatcher::kContains: value.kind = Kind::kContains, value.text = matcher.contains(); break;
    case StringMatcher::kSafeRegex: {
      if (matcher.ignore_case()) {
        return Error<MatcherError>({"ignore_case", "has no effect on safe_regex: start the expression with (?i) instead"});
      }
      auto regex = config::compile_regex(matcher.safe_regex().regex(), 1);
      if (!regex) return Error<MatcherError>({"safe_regex.regex", std::move(regex.error())});
      value.kind = Kind::kRegex;
      value.regex = std::move(*regex);
      break;
    }
    default: return Error<MatcherError>({"", "one of exact, prefix, suffix, contains, safe_regex must be set"});
  }
  value.ignore_case = matcher.ignore_case();
  if (value.ignore_case) value.text = lower(value.text);
  return out;
}

bool matches(const SubjectNameMatcher& matcher, const tls::SubjectName& name) {
  if (std::ranges::find(matcher.kinds, name.kind) == matcher.kinds.end()) return false;
  if (name.kind == tls::NameKind::kDns && matcher.value.kind == Kind::kExact) {
    return tls::matches_dns_name(name.value, matcher.value.text);
  }
  return text_matches(matcher.value, matcher.value.ignore_case ? lower(name.value) : name.value);
}

std::function<bool(std::span<const tls::SubjectName>)> accept_any_of(std::vector<SubjectNameMatcher> matchers) {
  if (matchers.empty()) return {};
  // Shared, since whoever holds the function may copy it.
  auto shared = std::make_shared<const std::vector<SubjectNameMatcher>>(std::move(matchers));
  return [shared](std::span<const tls::SubjectName> names) {
    return std::ranges::any_of(names, [&](const tls::SubjectName& name) {
      return std::ranges::any_of(*shared, [&](const SubjectNameMatcher& matcher) { return matches(matcher, name); });
    });
  };
}

}  // namespace millrace::agent
