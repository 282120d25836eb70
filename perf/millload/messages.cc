#include "perf/millload/messages.h"

#include <cctype>
#include <charconv>
#include <cstring>

#include "dataplane/base/assert.h"

namespace millrace::perf {
namespace {

constexpr std::string_view kEnd = "\r\n\r\n";

class Writer {
 public:
  explicit Writer(HeadBuffer& buffer) : start_(buffer.data()), at_(buffer.data()), end_(buffer.data() + buffer.size()) {}
  Writer& operator<<(std::string_view text) {
    MR_ASSERT(text.size() <= static_cast<std::size_t>(end_ - at_));
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
    return *this;
  }
  Writer& operator<<(std::uint64_t number) {
    at_ = std::to_chars(at_, end_, number).ptr;
    return *this;
  }
  [[nodiscard]] std::string_view text() const { return {start_, at_}; }

 private:
  char* start_;
  char* at_;
  char* end_;
};

/// Reads a number and the one character behind it.
bool take_number(std::string_view& text, std::uint64_t& number, char end) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || rest == text.data() + text.size() || *rest != end) return false;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + 1);
  return true;
}

// Names of fields arrive in lower case from the gateway, and as they were sent from an origin without one.
std::size_t find_field(std::string_view head, std::string_view name) {
  for (std::size_t line = head.find("\r\n"); line != std::string_view::npos; line = head.find("\r\n", line + 2)) {
    const std::string_view field = head.substr(line + 2);
    if (field.size() <= name.size()) return std::string_view::npos;
    if (strncasecmp(field.data(), name.data(), name.size()) == 0 && field[name.size()] == ':') return line + 2 + name.size() + 1;
  }
  return std::string_view::npos;
}

}  // namespace

std::string_view write_request_head(HeadBuffer& buffer, const Exchange& exchange, std::string_view host) {
  Writer out(buffer);
  out << (exchange.request_bytes > 0 ? "POST /" : "GET /") << exchange.response_bytes << "/" << exchange.request_bytes << "/"
      << exchange.number << " HTTP/1.1\r\nHost: " << host << "\r\n";
  if (exchange.request_bytes > 0) out << "Content-Length: " << exchange.request_bytes << "\r\n";
  if (exchange.last) out << "Connection: close\r\n";
  return (out << "\r\n").text();
}

std::string_view write_response_head(HeadBuffer& buffer, const Exchange& exchange) {
  Writer out(buffer);
  out << "HTTP/1.1 200 OK\r\ncontent-length: " << exchange.response_bytes << kEnd;
  return out.text();
}

std::optional<Exchange> read_request_head(std::string_view head) {
  Exchange exchange;
  if (head.starts_with("GET /")) {
    head.remove_prefix(5);
  } else if (head.starts_with("POST /")) {
    head.remove_prefix(6);
  } else {
    return std::nullopt;
  }
  if (!head.ends_with(kEnd)) return std::nullopt;
  if (!take_number(head, exchange.response_bytes, '/') || !take_number(head, exchange.request_bytes, '/') ||
      !take_number(head, exchange.number, ' ')) {
    return std::nullopt;
  }
  exchange.last = head.find("\r\nConnection: close\r\n") != std::string_view::npos;
  return exchange;
}

std::optional<ResponseHead> read_response_head(std::string_view head) {
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  if (!head.starts_with(kVersion) || !head.ends_with(kEnd)) return std::nullopt;
  ResponseHead found;
  const std::string_view status = head.substr(kVersion.size());
  if (std::from_chars(status.data(), status.data() + status.size(), found.status).ec != std::errc()) return std::nullopt;
  std::size_t at = find_field(head, "content-length");
  if (at == std::string_view::npos) return std::nullopt;
  while (head[at] == ' ') ++at;
  if (std::from_chars(head.data() + at, head.data() + head.size(), found.body_bytes).ec != std::errc()) return std::nullopt;
  return found;
}

std::optional<std::string_view> HeadReader::next(const stream::Chain& from) {
  const std::span<const std::uint8_t> front = from.front();
  std::string_view text(reinterpret_cast<const char*>(front.data()), front.size());
  if (const void* end = memmem(text.data(), text.size(), kEnd.data(), kEnd.size())) {
    return text.substr(0, static_cast<std::size_t>(static_cast<const char*>(end) - text.data()) + kEnd.size());
  }
  if (text.size() == from.size() && text.size() < kMostBytes) return std::nullopt;
  const std::size_t size = from.copy_out(0, {reinterpret_cast<std::uint8_t*>(buffer_.data()), buffer_.size()});
  text = {buffer_.data(), size};
  const std::size_t end = text.find(kEnd);
  if (end != std::string_view::npos) return text.substr(0, end + kEnd.size());
  return size < kMostBytes ? std::nullopt : std::optional(text);
}

}  // namespace millrace::perf
