// Records as they lie on the wire (RFC 8446 5.1 and 5.2, RFC 5246 6.2).
//
//   | type 1 | version 2 | length 2 | [explicit nonce 8] | text [type 1] [padding] | tag 16 |
//                                     TLS 1.2 AES-GCM           TLS 1.3
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/result.h"
#include "tls/alert.h"

namespace millrace::tls {

inline constexpr std::size_t kRecordHeaderBytes = 5;
inline constexpr std::size_t kMostPlaintextBytes = 1 << 14;
inline constexpr std::size_t kMostExpansionBytes = 256;  ///< of TLS 1.3; TLS 1.2 with an AEAD stays below

enum class ContentType : std::uint8_t { kChangeCipherSpec = 20, kAlert = 21, kHandshake = 22, kApplicationData = 23 };

struct RecordHeader {
  ContentType type = ContentType::kApplicationData;
  std::uint16_t length = 0;  ///< bytes that follow

  /// Of what arrives. Every version 3.x is taken, as both RFCs ask for. kUnexpectedMessage: no such type. kRecordOverflow: longer
  /// than any record may be. kProtocolVersion: another major version.
  [[nodiscard]] static Result<RecordHeader, Alert> parse(std::span<const std::uint8_t, kRecordHeaderBytes> bytes);
  /// As 3.3, which is what both versions write.
  void write(std::span<std::uint8_t, kRecordHeaderBytes> to) const;
};

}  // namespace millrace::tls
