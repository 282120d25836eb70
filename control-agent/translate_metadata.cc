// envoy.type.matcher.v3.MetadataMatcher -> config::MetadataMatcher.
#include "control-agent/translate_metadata.h"

#include "control-agent/translate_common.h"

namespace millrace::agent {

namespace matcher = envoy::type::matcher::v3;

namespace {

constexpr int kMaxDepth = 16;

config::ValueMatcher translate_value(const matcher::ValueMatcher& value, const std::string& path, TranslateContext& context,
                                     int depth) {
  using Kind = config::ValueMatcher::Kind;
  config::ValueMatcher out;
  if (depth > kMaxDepth) {
    context.diagnostics.error(path, "is nested deeper than " + std::to_string(kMaxDepth) + " levels");
    return out;
  }
  switch (value.match_pattern_case()) {
    case matcher::ValueMatcher::kNullMatch: out.kind = Kind::kNull; break;
    case matcher::ValueMatcher::kDoubleMatch:
      out.kind = value.double_match().has_range() ? Kind::kRange : Kind::kNumber;
      out.start = value.double_match().has_range() ? value.double_match().range().start() : value.double_match().exact();
      out.end = value.double_match().range().end();
      break;
    case matcher::ValueMatcher::kStringMatch:
      out.kind = Kind::kString;
      out.string = translate_string_matcher(value.string_match(), join_path(path, "string_match"), context);
      break;
    case matcher::ValueMatcher::kBoolMatch:
      out.kind = Kind::kBool;
      out.boolean = value.bool_match();
      break;
    case matcher::ValueMatcher::kPresentMatch: out.boolean = value.present_match(); break;
    case matcher::ValueMatcher::kListMatch:
      out.kind = Kind::kListOneOf;
      out.others.push_back(
          translate_value(value.list_match().one_of(), join_path(path, "list_match.one_of"), context, depth + 1));
      break;
    case matcher::ValueMatcher::kOrMatch: {
      out.kind = Kind::kOr;
      const std::string list = join_path(path, "or_match.value_matchers");
      for (int i = 0; i < value.or_match().value_matchers_size(); ++i) {
        out.others.push_back(translate_value(value.or_match().value_matchers(i), index_path(list, static_cast<std::size_t>(i)),
                                             context, depth + 1));
      }
      break;
    }
    default: context.diagnostics.error(path, "must say what to match");
  }
  return out;
}

}  // namespace

config::MetadataMatcher translate_metadata_matcher(const matcher::MetadataMatcher& metadata, const std::string& path,
                                                   TranslateContext& context) {
  config::MetadataMatcher out;
  out.filter = metadata.filter();
  for (const auto& segment : metadata.path()) out.path.push_back(segment.key());
  out.value = translate_value(metadata.value(), join_path(path, "value"), context, 0);
  out.invert = metadata.invert();
  return out;
}

}  // namespace millrace::agent
