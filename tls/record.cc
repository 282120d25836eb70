#include "tls/record.h"

namespace millrace::tls {

Result<RecordHeader, Alert> RecordHeader::parse(std::span<const std::uint8_t, kRecordHeaderBytes> bytes) {
  if (bytes[0] < static_cast<std::uint8_t>(ContentType::kChangeCipherSpec) ||
      bytes[0] > static_cast<std::uint8_t>(ContentType::kApplicationData)) {
    return Error<Alert>(Alert::kUnexpectedMessage);
  }
  if (bytes[1] != 3) return Error<Alert>(Alert::kProtocolVersion);
  const RecordHeader header{static_cast<ContentType>(bytes[0]), static_cast<std::uint16_t>(bytes[3] << 8 | bytes[4])};
  if (header.length > kMostPlaintextBytes + kMostExpansionBytes) return Error<Alert>(Alert::kRecordOverflow);
  return header;
}

void RecordHeader::write(std::span<std::uint8_t, kRecordHeaderBytes> to) const {
  to[0] = static_cast<std::uint8_t>(type);
  to[1] = 3;
  to[2] = 3;
  to[3] = static_cast<std::uint8_t>(length >> 8);
  to[4] = static_cast<std::uint8_t>(length);
}

}  // namespace millrace::tls
