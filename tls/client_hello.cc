#include "tls/client_hello.h"

#include <algorithm>
#include <string_view>

#include "tls/byte_reader.h"
#include "tls/record.h"

namespace millrace::tls {
namespace {

constexpr std::size_t kMessageHeaderBytes = 4;
constexpr std::uint8_t kClientHello = 1;

enum Extension : std::uint16_t { kServerName = 0, kProtocols = 16, kSupportedVersions = 43 };

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

// RFC 6066 3: a DNS name in ASCII. What it may not hold would end up in logs, headers and matches.
bool take_name(ByteReader names, std::string& out) {
  while (names.ok() && !names.empty()) {
    const std::uint32_t type = names.number(1);
    const ByteReader name = names.vector(2);
    constexpr std::uint32_t kHostName = 0;
    if (type != kHostName) continue;
    if (!out.empty() || name.empty() || name.rest().size() > 255) return false;
    for (const std::uint8_t byte : name.rest()) {
      if (byte <= 0x20 || byte >= 0x7f) return false;
      out += static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
    }
  }
  return names.done() && !out.empty();
}

bool take_protocols(ByteReader list, std::vector<std::string>& out) {
  while (list.ok() && !list.empty()) {
    const ByteReader name = list.vector(1);
    if (name.empty()) return false;
    out.push_back(text_of(name.rest()));
  }
  return list.done() && !out.empty();
}

bool take_versions(ByteReader list, std::uint16_t& highest) {
  highest = 0;
  while (list.ok() && !list.empty()) {
    const auto version = static_cast<std::uint16_t>(list.number(2));
    if (version >> 8 == 3) highest = std::max(highest, version);  // others are there to see whether servers mind (RFC 8701)
  }
  return list.done();
}

bool take_extension(std::uint32_t type, ByteReader body, ClientHello& hello) {
  bool good = true;
  switch (type) {
    case kServerName: good = take_name(body.vector(2), hello.server_name); break;
    case kProtocols: good = take_protocols(body.vector(2), hello.protocols); break;
    case kSupportedVersions: good = take_versions(body.vector(1), hello.version); break;
    default: return true;
  }
  return good && body.done();
}

}  // namespace

ClientHelloInspector::Status ClientHelloInspector::feed(std::span<const std::uint8_t> bytes) {
  while (status_ == Status::kNeedMore && !bytes.empty()) {
    if (left_in_record_ == 0) {
      status_ = take_header_byte(bytes.front());
      bytes = bytes.subspan(1);
    } else {
      const auto part = bytes.first(std::min(bytes.size(), left_in_record_));
      left_in_record_ -= part.size();
      bytes = bytes.subspan(part.size());
      status_ = take_message(part);
    }
  }
  return status_;
}

// What is not TLS is told by the first bytes already: their sender may wait for an answer.
ClientHelloInspector::Status ClientHelloInspector::take_header_byte(std::uint8_t byte) {
  const std::size_t at = header_size_++;
  header_[at] = byte;
  const Status wrong = message_.empty() ? Status::kNotTls : Status::kMalformed;
  if (at == 0 && byte != static_cast<std::uint8_t>(ContentType::kHandshake)) return wrong;
  if (at == 1 && byte != 3) return wrong;
  if (header_size_ < kRecordHeaderBytes) return Status::kNeedMore;
  header_size_ = 0;
  left_in_record_ = static_cast<std::size_t>(header_[3] << 8 | header_[4]);
  // RFC 8446 5.1: no empty fragments of handshake messages.
  return left_in_record_ == 0 || left_in_record_ > kMostPlaintextBytes ? wrong : Status::kNeedMore;
}

ClientHelloInspector::Status ClientHelloInspector::take_message(std::span<const std::uint8_t> part) {
  if (message_.empty() && part.front() != kClientHello) return Status::kNotTls;
  const auto size_of_all = [this] {
    return kMessageHeaderBytes + (static_cast<std::size_t>(message_[1]) << 16 | message_[2] << 8 | message_[3]);
  };
  while (!part.empty()) {
    const std::size_t wanted = message_.size() < kMessageHeaderBytes ? kMessageHeaderBytes : size_of_all();
    if (wanted > most_bytes_) return Status::kTooLong;
    if (message_.size() == wanted) break;
    const auto taken = part.first(std::min(part.size(), wanted - message_.size()));
    message_.insert(message_.end(), taken.begin(), taken.end());
    part = part.subspan(taken.size());
  }
  if (message_.size() < kMessageHeaderBytes) return Status::kNeedMore;
  if (size_of_all() > most_bytes_) return Status::kTooLong;
  return message_.size() == size_of_all() ? parse() : Status::kNeedMore;
}

ClientHelloInspector::Status ClientHelloInspector::parse() {
  ByteReader reader(std::span<const std::uint8_t>(message_).subspan(kMessageHeaderBytes));
  hello_.version = static_cast<std::uint16_t>(reader.number(2));
  (void)reader.bytes(32);  // random
  const ByteReader session = reader.vector(1);
  const ByteReader suites = reader.vector(2);
  const ByteReader compressions = reader.vector(1);
  const bool good = reader.ok() && session.rest().size() <= 32 && suites.rest().size() >= 2 && suites.rest().size() % 2 == 0 &&
                    !compressions.empty();
  if (!good) return Status::kMalformed;
  if (reader.empty()) return Status::kDone;  // before extensions were invented
  ByteReader extensions = reader.vector(2);
  if (!reader.done()) return Status::kMalformed;
  std::vector<std::uint32_t> seen;
  while (extensions.ok() && !extensions.empty()) {
    const std::uint32_t type = extensions.number(2);
    const ByteReader body = extensions.vector(2);
    seen.push_back(type);
    if (!extensions.ok() || !take_extension(type, body, hello_)) return Status::kMalformed;
  }
  std::ranges::sort(seen);  // thousands fit, none of them may come twice (RFC 8446 4.2)
  return std::ranges::adjacent_find(seen) == seen.end() ? Status::kDone : Status::kMalformed;
}

}  // namespace millrace::tls
