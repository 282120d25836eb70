#include "config/compile/format_compiler.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

namespace millrace::config {
namespace {

constexpr std::array kCommands{
#define MR_FORMAT(command, name) std::pair<std::string_view, FormatCommand>{name, FormatCommand::command},
#include "config/model/format_command.def"
#undef MR_FORMAT
};

bool is_name_char(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// One "%...%": the parts as they stand in the text.
struct Operator {
  std::string_view name;
  std::string_view argument;
  bool has_argument = false;
  std::string_view length;
  bool has_length = false;
  std::size_t size = 0;  ///< of the whole, percent signs included; 0: not an operator
};

/// Reads ":digits%" or "%" at `at`, which end an operator.
bool read_end(std::string_view text, std::size_t at, Operator& op) {
  op.has_length = at < text.size() && text[at] == ':';
  if (op.has_length) {
    const std::size_t first = ++at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    op.length = text.substr(first, at - first);
    if (op.length.empty()) return false;
  }
  if (at >= text.size() || text[at] != '%') return false;
  op.size = at + 1;
  return true;
}

/// `text` starts with "%". The argument of START_TIME may hold percent signs and colons itself: it ends at the first ")" that
/// an end of the operator follows.
Operator read_operator(std::string_view text) {
  Operator op;
  std::size_t at = 1;
  while (at < text.size() && is_name_char(text[at])) ++at;
  op.name = text.substr(1, at - 1);
  if (op.name.empty()) return op;
  if (at >= text.size() || text[at] != '(') {
    read_end(text, at, op);
    return op;
  }
  op.has_argument = true;
  const std::size_t first = at + 1;
  for (std::size_t close = text.find(')', first); close != std::string_view::npos; close = text.find(')', close + 1)) {
    if (read_end(text, close + 1, op)) {
      op.argument = text.substr(first, close - first);
      break;
    }
  }
  return op;
}

bool takes_field_name(FormatCommand command) {
  return command == FormatCommand::kReq || command == FormatCommand::kReqWithoutQuery || command == FormatCommand::kResp ||
         command == FormatCommand::kTrailer;
}

Result<FormatElement, std::string> field_element(const Operator& op, FormatElement element) {
  const std::size_t question = op.argument.find('?');
  const auto first = op.argument.substr(0, question);
  const auto second = question == std::string_view::npos ? std::string_view() : op.argument.substr(question + 1);
  if (first.empty() || (question != std::string_view::npos && second.empty()) || second.find('?') != std::string_view::npos) {
    return Error<std::string>("%" + std::string(op.name) + "% needs one or two field names, as in %" + std::string(op.name) +
                              "(FIRST?SECOND)%");
  }
  element.text = lower(first);
  element.alternative = lower(second);
  return element;
}

// "FILTER:KEY:KEY": names hold no colons, as in Envoy.
Result<FormatElement, std::string> metadata_element(const Operator& op, FormatElement element) {
  for (std::size_t at = 0; at <= op.argument.size();) {
    const std::size_t end = std::min(op.argument.find(':', at), op.argument.size());
    if (end == at) {
      return Error<std::string>(
          "%DYNAMIC_METADATA% needs the name of a filter, and keys if not all is wanted, as in "
          "%DYNAMIC_METADATA(FILTER:KEY:KEY)%");
    }
    element.path.emplace_back(op.argument.substr(at, end - at));
    at = end + 1;
  }
  element.text = std::move(element.path.front());
  element.path.erase(element.path.begin());
  return element;
}

Result<FormatElement, std::string> compile_operator(const Operator& op) {
  const auto* known = std::ranges::find(kCommands, op.name, [](const auto& row) { return row.first; });
  if (known == kCommands.end()) {
    return Error<std::string>("the operator %" + std::string(op.name) +
                              "% is not supported; docs/configuration.md lists those that are");
  }
  FormatElement element;
  element.command = known->second;
  if (op.has_length) {
    std::uint32_t length = 0;
    const auto [end, failure] = std::from_chars(op.length.data(), op.length.data() + op.length.size(), length);
    if (failure != std::errc()) return Error<std::string>("the length in %" + std::string(op.name) + "% is too large");
    element.max_length = length;
  }
  if (takes_field_name(element.command)) return field_element(op, std::move(element));
  if (element.command == FormatCommand::kDynamicMetadata) return metadata_element(op, std::move(element));
  if (element.command == FormatCommand::kQueryParam && op.argument.empty())
    return Error<std::string>("%QUERY_PARAM% needs the name of a parameter, as in %QUERY_PARAM(NAME)%");
  if (element.command == FormatCommand::kStartTime || element.command == FormatCommand::kQueryParam) {
    element.text = op.argument;
  } else if (op.has_argument) {
    return Error<std::string>("the operator %" + std::string(op.name) + "% takes no argument");
  }
  return element;
}

}  // namespace

Result<Format, std::string> compile_format(std::string_view source) {
  Format format;
  format.source = source;
  std::string literal;
  const auto flush = [&] {
    if (literal.empty()) return;
    format.elements.push_back({FormatCommand::kLiteral, std::exchange(literal, {}), {}, {}});
  };
  for (std::size_t at = 0; at < source.size();) {
    if (source[at] != '%') {
      literal += source[at++];
      continue;
    }
    const auto rest = source.substr(at);
    if (rest.starts_with("%%")) {
      literal += '%';
      at += 2;
      continue;
    }
    const Operator op = read_operator(rest);
    if (op.size == 0) {
      return Error<std::string>("the \"%\" at column " + std::to_string(at + 1) +
                                " starts no operator such as %PROTOCOL% or %REQ(NAME)%; write %% for a percent sign");
    }
    Operator known = op;
    if (op.name == "UPSTREAM_CLUSTER_RAW")
      known.name = "UPSTREAM_CLUSTER";  // which is the name itself here, not an alt_stat_name
    auto element = compile_operator(known);
    if (!element) return Error<std::string>(std::move(element.error()));
    flush();
    format.elements.push_back(std::move(*element));
    if (format.elements.size() > kMaxFormatElements) {
      return Error<std::string>("the format has more than " + std::to_string(kMaxFormatElements) + " elements");
    }
    at += op.size;
  }
  flush();
  return format;
}

Format literal_format(std::string_view text) {
  Format format;
  format.source = text;
  if (!text.empty()) format.elements.push_back({FormatCommand::kLiteral, std::string(text), {}, {}});
  return format;
}

}  // namespace millrace::config
