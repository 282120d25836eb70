#include "dataplane/proxy/http_inspector.h"

namespace millrace::proxy {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kVersion = "HTTP/1.";

// RFC 9110 5.6.2
constexpr bool is_token(char c) {
  constexpr std::string_view kSigns = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kSigns.find(c) != std::string_view::npos;
}

}  // namespace

HttpInspector::Status HttpInspector::feed(std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    if (status_ != Status::kNeedMore) break;
    const char c = static_cast<char>(byte);
    is_preface_ = is_preface_ && c == kPreface[taken_];
    if (++taken_ > kMaxLineBytes) {
      status_ = Status::kNotHttp;
      break;
    }
    if (line_ == Status::kNeedMore) line_ = take(c);
    if (!is_preface_) {
      status_ = line_;
    } else if (taken_ == kPreface.size()) {
      status_ = Status::kHttp2;
    }
  }
  return status_;
}

HttpInspector::Status HttpInspector::take(char c) {
  switch (part_) {
    case Part::kMethod:
      if (c == ' ' && part_bytes_ > 0) {
        part_ = Part::kTarget;
        part_bytes_ = 0;
        return Status::kNeedMore;
      }
      if (part_bytes_ == 0 && (c == '\r' || c == '\n')) return Status::kNeedMore;  // RFC 9112 2.2: empty lines before it
      ++part_bytes_;
      return is_token(c) ? Status::kNeedMore : Status::kNotHttp;
    case Part::kTarget:
      if (c == ' ' && part_bytes_ > 0) {
        part_ = Part::kVersion;
        part_bytes_ = 0;
        return Status::kNeedMore;
      }
      ++part_bytes_;
      return static_cast<unsigned char>(c) > 0x20 && c != 0x7f ? Status::kNeedMore : Status::kNotHttp;
    case Part::kVersion: return take_version(c);
  }
  return Status::kNotHttp;
}

HttpInspector::Status HttpInspector::take_version(char c) {
  const std::size_t at = part_bytes_++;
  if (at < kVersion.size()) return c == kVersion[at] ? Status::kNeedMore : Status::kNotHttp;
  if (at == kVersion.size()) {
    is_http_10_ = c == '0';
    return c == '0' || c == '1' ? Status::kNeedMore : Status::kNotHttp;
  }
  if (c == '\n') return is_http_10_ ? Status::kHttp10 : Status::kHttp11;
  return c == '\r' && at == kVersion.size() + 1 ? Status::kNeedMore : Status::kNotHttp;
}

std::string_view HttpInspector::protocol() const {
  switch (status_) {
    case Status::kHttp10: return "http/1.0";
    case Status::kHttp11: return "http/1.1";
    case Status::kHttp2: return "h2c";
    case Status::kNeedMore:
    case Status::kNotHttp: break;
  }
  return {};
}

}  // namespace millrace::proxy
