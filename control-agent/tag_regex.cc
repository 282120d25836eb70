#include "control-agent/tag_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <utility>

namespace millrace::agent {
namespace {

// Names have some dozens of bytes; what needs more steps than that backtracks without end.
constexpr std::uint32_t kMatchLimit = 20'000;
constexpr std::uint32_t kDepthLimit = 1'000;
constexpr std::uint32_t kHeapLimitKilobytes = 64;
// The whole match, what is taken out, and the value: the rest is not asked for.
constexpr std::uint32_t kGroups = 3;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};

using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;

PCRE2_SPTR bytes_of(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string error_text(int error) {
  std::array<unsigned char, 128> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct TagRegex::Program {
  Code code;
  MatchContext context;
};

TagRegex::TagRegex(std::unique_ptr<Program> program) : program_(std::move(program)) {}
TagRegex::~TagRegex() = default;

Result<std::shared_ptr<const TagRegex>, std::string> TagRegex::compile(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE at = 0;
  // "$" is the end, as in ECMAScript, which Envoy's expressions are written in; without the option also before a last line break.
  Code code(
      pcre2_compile(bytes_of(pattern), pattern.size(), PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr));
  if (code == nullptr)
    return Error<std::string>("is not a regular expression: " + error_text(error) + " at byte " + std::to_string(at));
  // Where the machine forbids it, patterns are interpreted.
  (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  MatchContext context(pcre2_match_context_create(nullptr));
  if (context == nullptr) return Error<std::string>("cannot be compiled: there is no memory");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  pcre2_set_depth_limit(context.get(), kDepthLimit);
  pcre2_set_heap_limit(context.get(), kHeapLimitKilobytes);
  auto program = std::make_unique<Program>(Program{std::move(code), std::move(context)});
  return std::shared_ptr<const TagRegex>(new TagRegex(std::move(program)));
}

std::optional<TagMatch> TagRegex::search(std::string_view name) const {
  const MatchData data(pcre2_match_data_create(kGroups, nullptr));
  if (data == nullptr) return std::nullopt;
  const int found = pcre2_match(program_->code.get(), bytes_of(name), name.size(), 0, 0, data.get(), program_->context.get());
  if (found < 0 || found == 1) return std::nullopt;
  // 0: there are more groups than asked for.
  const std::size_t groups = found == 0 ? kGroups : static_cast<std::size_t>(found);
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
  if (bounds[2] == PCRE2_UNSET) return std::nullopt;
  const std::size_t value = groups > 2 && bounds[4] != PCRE2_UNSET ? 4 : 2;
  return TagMatch{
      .begin = bounds[2], .end = bounds[3], .value = std::string(name.substr(bounds[value], bounds[value + 1] - bounds[value]))};
}

}  // namespace millrace::agent
