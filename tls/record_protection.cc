#include "tls/record_protection.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace::tls {
namespace {

void store_be64(std::uint64_t value, std::uint8_t* to) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
}

bool is_inner_type(std::uint8_t type) {
  return type >= static_cast<std::uint8_t>(ContentType::kAlert) &&
         type <= static_cast<std::uint8_t>(ContentType::kApplicationData);
}

}  // namespace

std::uint64_t most_records(Aead aead) {
  return aead == Aead::kChaCha20Poly1305 ? std::numeric_limits<std::uint64_t>::max() : 23'726'566;  // 2^24.5
}

RecordProtection::RecordProtection(RecordEngine& engine, Direction direction, const CipherSuite& suite, const TrafficKeys& keys,
                                   std::uint64_t sequence)
    : suite_(&suite),
      direction_(direction),
      key_(keys.valid() ? engine.make_key(suite.aead, direction, keys.key.bytes(), suite.additional_bytes()) : nullptr),
      iv_(keys.iv),
      sequence_(sequence),
      used_(sequence) {}

bool RecordProtection::change_keys(RecordEngine& engine, const TrafficKeys& keys) {
  auto key = keys.valid() ? engine.make_key(suite_->aead, direction_, keys.key.bytes(), suite_->additional_bytes()) : nullptr;
  if (key == nullptr) return false;
  key_ = std::move(key);
  iv_ = keys.iv;
  sequence_ = used_ = 0;
  return true;
}

void RecordProtection::fill(RecordJob& job, ContentType type, std::size_t text_bytes,
                            std::span<const std::uint8_t> explicit_nonce) {
  MR_ASSERT(iv_.size() + suite_->explicit_nonce_bytes() == kNonceBytes);
  job.key = key_.get();
  job.good = false;
  std::uint8_t number[8];
  store_be64(sequence_, number);
  std::ranges::copy(iv_.bytes(), job.nonce.begin());
  if (suite_->explicit_nonce_bytes() > 0) {
    std::ranges::copy(explicit_nonce, job.nonce.begin() + static_cast<std::ptrdiff_t>(iv_.size()));
  } else {
    for (std::size_t i = 0; i < 8; ++i) job.nonce[kNonceBytes - 8 + i] ^= number[i];
  }
  std::uint8_t* to = job.additional.data();
  std::size_t length = text_bytes;
  if (suite_->version == Version::kTls13) {
    type = ContentType::kApplicationData;
    length += kTagBytes;
  } else {
    to = std::ranges::copy(number, to).out;
  }
  RecordHeader{type, static_cast<std::uint16_t>(length)}.write(
      std::span<std::uint8_t, kRecordHeaderBytes>(to, kRecordHeaderBytes));
  job.additional_size = static_cast<std::uint8_t>(to + kRecordHeaderBytes - job.additional.data());
}

void RecordSealer::begin(RecordJob& job, ContentType type, std::size_t plaintext, std::span<std::uint8_t> header) {
  MR_ASSERT(plaintext <= kMostPlaintextBytes && header.size() == header_bytes() && !exhausted());
  const bool tls13 = suite().version == Version::kTls13;
  std::uint8_t nonce[8] = {};
  const auto explicit_nonce = std::span(nonce).first(suite().explicit_nonce_bytes());
  if (!explicit_nonce.empty()) store_be64(explicit_nonce_++, nonce);
  const std::size_t text = plaintext + inner_type_bytes();
  fill(job, type, text, explicit_nonce);
  const std::size_t length = explicit_nonce.size() + text + kTagBytes;
  RecordHeader{tls13 ? ContentType::kApplicationData : type, static_cast<std::uint16_t>(length)}.write(
      header.first<kRecordHeaderBytes>());
  std::ranges::copy(explicit_nonce, header.begin() + kRecordHeaderBytes);
  count();
}

Result<std::size_t, Alert> RecordOpener::text_bytes(const RecordHeader& header) const {
  const bool tls13 = suite().version == Version::kTls13;
  // RFC 8446 5: a change_cipher_spec has no place behind the handshake.
  if (tls13 ? header.type != ContentType::kApplicationData : header.type == ContentType::kChangeCipherSpec) {
    return Error<Alert>(Alert::kUnexpectedMessage);
  }
  const std::size_t around = explicit_nonce_bytes() + kTagBytes;
  const std::size_t least = tls13 ? 1 : 0;  // the inner type
  if (header.length < around + least) return Error<Alert>(Alert::kDecodeError);
  const std::size_t text = header.length - around;
  if (text > kMostPlaintextBytes + least) return Error<Alert>(Alert::kRecordOverflow);  // RFC 8446 5.4
  return text;
}

void RecordOpener::begin(RecordJob& job, const RecordHeader& header, std::size_t text_bytes,
                         std::span<const std::uint8_t> explicit_nonce, std::span<const std::uint8_t, kTagBytes> tag) {
  MR_ASSERT(explicit_nonce.size() == explicit_nonce_bytes());
  fill(job, header.type, text_bytes, explicit_nonce);
  std::ranges::copy(tag, job.tag.begin());
  count();
}

Result<RecordOpener::Content, Alert> RecordOpener::content_of(const RecordHeader& header,
                                                              std::span<const std::span<std::uint8_t>> text) const {
  Content content{header.type, 0};
  for (const std::span<std::uint8_t> part : text) content.size += part.size();
  if (suite().version == Version::kTls12) return content;
  for (std::size_t i = text.size(); i-- > 0;) {
    const std::span<std::uint8_t> part = text[i];
    for (std::size_t j = part.size(); j-- > 0;) {
      --content.size;
      if (part[j] == 0) continue;  // padding
      if (!is_inner_type(part[j])) return Error<Alert>(Alert::kUnexpectedMessage);
      content.type = static_cast<ContentType>(part[j]);
      return content;
    }
  }
  return Error<Alert>(Alert::kUnexpectedMessage);
}

}  // namespace millrace::tls
