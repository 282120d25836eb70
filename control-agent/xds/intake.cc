#include "control-agent/xds/intake.h"

#include <string_view>

namespace millrace::agent {
namespace {

constexpr std::size_t kMostRejectionBytes = 4096;
constexpr std::size_t kMostReasonBytes = 2048;
constexpr std::size_t kMostQuotedBytes = 400;

/// Where `text` may be cut, at or before `at`: not within a character of UTF-8, since a server could not read the message then.
std::size_t boundary(std::string_view text, std::size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

/// Of names and values that are too long their beginning and their end: the path of the field and the reason stand between them.
std::string shortened(const std::string& reason) {
  if (reason.size() <= kMostReasonBytes) return reason;
  std::string out;
  std::string_view rest = reason;
  while (!rest.empty()) {
    const std::size_t quote = rest.find('"');
    const std::string_view part = rest.substr(0, quote);
    if (part.size() > kMostQuotedBytes) {
      out += part.substr(0, boundary(part, kMostQuotedBytes / 2));
      out += "...";
      out += part.substr(boundary(part, part.size() - kMostQuotedBytes / 2));
    } else {
      out += part;
    }
    if (quote == rest.npos) break;
    out += '"';
    rest.remove_prefix(quote + 1);
  }
  return out.substr(0, boundary(out, kMostReasonBytes));
}

}  // namespace

void Rejection::add(const std::string& reason) {
  if (full_) return;
  const std::string more = shortened(reason);
  if (text_.size() + more.size() > kMostRejectionBytes) {
    full_ = true;
    text_ += "; and more";
    return;
  }
  text_ += (text_.empty() ? "" : "; ") + more;
}

void Rejection::add(const std::vector<ConfigError>& errors) {
  for (const ConfigError& error : errors) add(error.to_string());
}

std::string to_text(const std::vector<ConfigError>& errors) {
  Rejection rejection;
  rejection.add(errors);
  return rejection.text();
}

}  // namespace millrace::agent
