// envoy.type.matcher.v3 and the matchers of envoy.config.route.v3.
#include <utility>

#include "config/compile/regex_compiler.h"
#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace route = envoy::config::route::v3;
namespace matcher = envoy::type::matcher::v3;
using config::StringMatcher;

namespace {

StringMatcher text_matcher(StringMatcher::Kind kind, std::string text, bool ignore_case = false) {
  StringMatcher out;
  out.kind = kind;
  out.ignore_case = ignore_case;
  out.text = ignore_case ? lower(text) : std::move(text);
  return out;
}

StringMatcher regex_matcher(config::Regex regex) {
  StringMatcher out;
  out.kind = StringMatcher::Kind::kRegex;
  out.regex = std::move(regex);
  return out;
}

}  // namespace

config::Regex translate_regex(const matcher::RegexMatcher& regex, const std::string& path, TranslateContext& context) {
  auto compiled = config::compile_regex(regex.regex(), context.workers);
  if (compiled) return std::move(*compiled);
  context.diagnostics.error(join_path(path, "regex"), std::move(compiled.error()));
  return {};
}

StringMatcher translate_string_matcher(const matcher::StringMatcher& matcher, const std::string& path,
                                       TranslateContext& context) {
  using Kind = StringMatcher::Kind;
  const bool ignore_case = matcher.ignore_case();
  switch (matcher.match_pattern_case()) {
    case matcher::StringMatcher::kExact: return text_matcher(Kind::kExact, matcher.exact(), ignore_case);
    case matcher::StringMatcher::kPrefix: return text_matcher(Kind::kPrefix, matcher.prefix(), ignore_case);
    case matcher::StringMatcher::kSuffix: return text_matcher(Kind::kSuffix, matcher.suffix(), ignore_case);
    case matcher::StringMatcher::kContains: return text_matcher(Kind::kContains, matcher.contains(), ignore_case);
    case matcher::StringMatcher::kSafeRegex:
      if (ignore_case) {
        context.diagnostics.error(join_path(path, "ignore_case"),
                                  "has no effect on safe_regex: start the expression with (?i) instead");
      }
      return regex_matcher(translate_regex(matcher.safe_regex(), join_path(path, "safe_regex"), context));
    default: context.diagnostics.error(path, "one of exact, prefix, suffix, contains, safe_regex must be set"); return {};
  }
}

config::HeaderMatcher translate_header_matcher(const route::HeaderMatcher& matcher, const std::string& path,
                                               TranslateContext& context) {
  using Kind = StringMatcher::Kind;
  config::HeaderMatcher out;
  out.name = lower(matcher.name());
  if (out.name == "host") out.name = ":authority";
  out.invert = matcher.invert_match();
  out.treat_missing_as_empty = matcher.treat_missing_header_as_empty();
  out.kind = config::HeaderMatcher::Kind::kString;
  switch (matcher.header_match_specifier_case()) {
    case route::HeaderMatcher::kExactMatch: out.string = text_matcher(Kind::kExact, matcher.exact_match()); break;
    case route::HeaderMatcher::kPrefixMatch: out.string = text_matcher(Kind::kPrefix, matcher.prefix_match()); break;
    case route::HeaderMatcher::kSuffixMatch: out.string = text_matcher(Kind::kSuffix, matcher.suffix_match()); break;
    case route::HeaderMatcher::kContainsMatch: out.string = text_matcher(Kind::kContains, matcher.contains_match()); break;
    case route::HeaderMatcher::kSafeRegexMatch:
      out.string = regex_matcher(translate_regex(matcher.safe_regex_match(), join_path(path, "safe_regex_match"), context));
      break;
    case route::HeaderMatcher::kStringMatch:
      out.string = translate_string_matcher(matcher.string_match(), join_path(path, "string_match"), context);
      break;
    case route::HeaderMatcher::kRangeMatch:
      out.kind = config::HeaderMatcher::Kind::kRange;
      out.range_start = matcher.range_match().start();
      out.range_end = matcher.range_match().end();
      break;
    case route::HeaderMatcher::kPresentMatch:
      out.kind = config::HeaderMatcher::Kind::kPresent;
      out.present = matcher.present_match();
      break;
    case route::HeaderMatcher::HEADER_MATCH_SPECIFIER_NOT_SET: out.kind = config::HeaderMatcher::Kind::kPresent; break;
  }
  return out;
}

std::vector<config::HeaderMatcher> translate_header_matchers(
    const google::protobuf::RepeatedPtrField<envoy::config::route::v3::HeaderMatcher>& matchers, const std::string& path,
    TranslateContext& context) {
  std::vector<config::HeaderMatcher> out;
  for (int i = 0; i < matchers.size(); ++i) {
    out.push_back(translate_header_matcher(matchers[i], index_path(path, static_cast<std::size_t>(i)), context));
  }
  return out;
}

config::Fraction translate_fraction(const envoy::type::v3::FractionalPercent& percent) {
  switch (percent.denominator()) {
    case envoy::type::v3::FractionalPercent::TEN_THOUSAND: return {percent.numerator(), 10'000};
    case envoy::type::v3::FractionalPercent::MILLION: return {percent.numerator(), 1'000'000};
    default: return {percent.numerator(), 100};
  }
}

config::QueryParameterMatcher translate_query_matcher(const route::QueryParameterMatcher& matcher, const std::string& path,
                                                      TranslateContext& context) {
  config::QueryParameterMatcher out;
  out.name = matcher.name();
  if (matcher.has_string_match()) {
    out.present_only = false;
    out.string = translate_string_matcher(matcher.string_match(), join_path(path, "string_match"), context);
  } else if (matcher.query_parameter_match_specifier_case() == route::QueryParameterMatcher::kPresentMatch) {
    out.present = matcher.present_match();
  }
  return out;
}

}  // namespace millrace::agent
