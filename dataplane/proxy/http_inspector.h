// Looks at a connection's first line: is it HTTP, and which version? For filter chains that match by application protocol
// (Envoy's http_inspector). It judges the form of the request line (RFC 9112 3) or the preface of HTTP/2 (RFC 9113 3.4); what the
// line asks for is the codec's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::proxy {

/// Fed with what arrives, however it is cut.
class HttpInspector {
 public:
  enum class Status : std::uint8_t { kNeedMore, kHttp10, kHttp11, kHttp2, kNotHttp };

  /// A request line that is longer is not taken for HTTP.
  static constexpr std::size_t kMaxLineBytes = 8 * 1024;

  /// Once it is not kNeedMore it stays.
  Status feed(std::span<const std::uint8_t> bytes);
  [[nodiscard]] Status status() const { return status_; }
  /// Envoy's name of the protocol that was found: "http/1.0", "http/1.1", "h2c"; empty: none.
  [[nodiscard]] std::string_view protocol() const;

 private:
  enum class Part : std::uint8_t { kMethod, kTarget, kVersion };

  [[nodiscard]] Status take(char c);
  [[nodiscard]] Status take_version(char c);

  Status status_ = Status::kNeedMore;
  Status line_ = Status::kNeedMore;  // what the line is, as HTTP/1
  Part part_ = Part::kMethod;
  std::size_t taken_ = 0;       // bytes
  std::size_t part_bytes_ = 0;  // of the part that is being read
  bool is_preface_ = true;      // all so far is the beginning of HTTP/2's preface
  bool is_http_10_ = false;
};

}  // namespace millrace::proxy
