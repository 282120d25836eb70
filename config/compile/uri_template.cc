// One pass over the text. A path is segments between slashes: a literal, "*" (one segment), "**" (any number of them), or a
// variable that stands for one segment or, as "{name=...}", for what segments of its own match. What is no segment of its own may
// end the template as a suffix: "/**.m3u8".
#include "config/compile/uri_template.h"

#include <algorithm>
#include <utility>

namespace millrace::config {
namespace {

// RFC 3986 pchar without "*" and "=", which have a meaning of their own.
constexpr std::string_view kLiteralMarks = "-._~%!$&'()+,;:@";
constexpr std::string_view kSegment = "[a-zA-Z0-9\\-._~%!$&'()+,;:@]+";
constexpr std::string_view kSegments = "[a-zA-Z0-9\\-._~%!$&'()+,;:@/]*";

constexpr bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_literal(char c) { return is_alpha(c) || is_digit(c) || kLiteralMarks.find(c) != std::string_view::npos; }

bool is_variable_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTemplateVariableBytes && is_alpha(name.front()) &&
         std::ranges::all_of(name, [](char c) { return is_alpha(c) || is_digit(c) || c == '_'; });
}

class TemplateParser {
 public:
  explicit TemplateParser(std::string_view text) : rest_(text) {}

  Result<UriTemplate, std::string> parse() && {
    if (!take("/")) return Error<std::string>("must begin with \"/\"");
    out_.pattern = "/";
    while (!rest_.empty() && error_.empty()) {
      segment();
      if (!error_.empty() || rest_.empty()) break;
      if (take("/")) {
        out_.pattern += '/';
      } else {
        literal();
        if (!rest_.empty())
          fail("\"" + std::string(rest_) + "\" behind a wildcard: only the end of the template may follow a suffix");
      }
    }
    if (!error_.empty()) return Error<std::string>(std::move(error_));
    return std::move(out_);
  }

 private:
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  void fail(std::string reason) {
    if (error_.empty()) error_ = std::move(reason);
  }

  void segment() {
    if (take("{")) {
      variable();
    } else if (!glob()) {
      literal();
    }
  }

  bool glob() {
    if (!rest_.starts_with('*')) return false;
    if (any_number_) fail("no wildcard may follow \"**\"");
    any_number_ = take("**");
    if (!any_number_) take("*");
    out_.pattern += any_number_ ? kSegments : kSegment;
    return true;
  }

  void literal() {
    const auto end = std::ranges::find_if_not(rest_, is_literal);
    const auto size = static_cast<std::size_t>(end - rest_.begin());
    if (size == 0) {
      fail(rest_.empty() ? "a segment must not be empty" : "\"" + std::string(rest_.substr(0, 1)) + "\" may not stand there");
      return;
    }
    for (const char c : rest_.substr(0, size)) {
      if (!is_alpha(c) && !is_digit(c)) out_.pattern += '\\';
      out_.pattern += c;
    }
    rest_.remove_prefix(size);
  }

  // Behind its "{".
  void variable() {
    const std::size_t end = rest_.find_first_of("=}");
    const std::string name(rest_.substr(0, end));
    if (end == std::string_view::npos) return fail("a \"{\" has no \"}\"");
    if (!is_variable_name(name))
      return fail("\"" + name + "\" is no name of a variable: a letter, then at most 15 letters, digits, \"_\"");
    if (std::ranges::find(out_.variables, name) != out_.variables.end())
      return fail("the variable \"" + name + "\" is there twice");
    if (out_.variables.size() == kMaxTemplateVariables) return fail("there are more than 5 variables");
    out_.variables.push_back(name);
    rest_.remove_prefix(end);
    out_.pattern += '(';
    if (take("=")) {
      if (!glob()) literal();
      while (error_.empty() && take("/")) {
        out_.pattern += '/';
        if (!glob()) literal();
      }
    } else {
      if (any_number_) fail("no wildcard may follow \"**\"");
      out_.pattern += kSegment;
    }
    out_.pattern += ')';
    if (!take("}")) fail("the variable \"" + name + "\" has no \"}\"");
  }

  std::string_view rest_;
  UriTemplate out_;
  std::string error_;
  bool any_number_ = false;  // there was a "**"
};

}  // namespace

Result<UriTemplate, std::string> compile_uri_template(std::string_view text) { return TemplateParser(text).parse(); }

Result<std::string, std::string> compile_uri_rewrite(std::string_view text, const UriTemplate& from) {
  if (!text.starts_with('/')) return Error<std::string>("must begin with \"/\"");
  std::string out;
  while (!text.empty()) {
    if (text.front() != '{') {
      if (!is_literal(text.front()) && text.front() != '/')
        return Error<std::string>("\"" + std::string(text.substr(0, 1)) + "\" may not stand there");
      out += text.front();
      text.remove_prefix(1);
      continue;
    }
    const std::size_t end = text.find('}');
    if (end == std::string_view::npos) return Error<std::string>("a \"{\" has no \"}\"");
    const std::string_view name = text.substr(1, end - 1);
    const auto variable = std::ranges::find(from.variables, name);
    if (variable == from.variables.end())
      return Error<std::string>("\"" + std::string(name) + "\" is no variable of the route's path template");
    out += '\\' + std::to_string(variable - from.variables.begin() + 1);
    text.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace millrace::config
