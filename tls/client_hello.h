// Looks into the first message of a client without answering it: whether it speaks TLS at all, to which name, which protocols it
// offers. For filter chains that match by these (Envoy's tls_inspector) and for passing TLS through. RFC 8446 4.1.2, RFC 6066 3,
// RFC 7301 3.1.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace millrace::tls {

struct ClientHello {
  std::string server_name;             ///< in lower case; empty: none was told
  std::vector<std::string> protocols;  ///< ALPN, in the client's order
  std::uint16_t version = 0;           ///< the highest that it offers: 0x0303 is TLS 1.2, 0x0304 TLS 1.3
};

/// Fed with what arrives, however it is cut into segments and records. Each byte is looked at once.
class ClientHelloInspector {
 public:
  enum class Status : std::uint8_t {
    kNeedMore,
    kDone,       ///< hello() is complete
    kNotTls,     ///< something else, which the first bytes tell
    kMalformed,  ///< TLS, but not a message that a server could accept
    kTooLong,    ///< longer than `most_bytes`
  };

  /// Envoy's limit for the message.
  static constexpr std::size_t kDefaultMostBytes = 16 * 1024;
  explicit ClientHelloInspector(std::size_t most_bytes = kDefaultMostBytes) : most_bytes_(most_bytes) {}

  /// The next bytes of the connection; of what lies behind the message nothing is looked at. Once it is not kNeedMore it stays.
  Status feed(std::span<const std::uint8_t> bytes);
  [[nodiscard]] Status status() const { return status_; }
  [[nodiscard]] const ClientHello& hello() const { return hello_; }

 private:
  [[nodiscard]] Status take_header_byte(std::uint8_t byte);
  [[nodiscard]] Status take_message(std::span<const std::uint8_t> part);
  [[nodiscard]] Status parse();

  std::size_t most_bytes_;
  Status status_ = Status::kNeedMore;
  std::uint8_t header_[5] = {};
  std::size_t header_size_ = 0;  // bytes of the record header that have come
  std::size_t left_in_record_ = 0;
  std::vector<std::uint8_t> message_;  // the handshake message with its header
  ClientHello hello_;
};

}  // namespace millrace::tls
