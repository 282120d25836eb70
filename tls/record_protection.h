// One direction of a session after its handshake: numbers records, makes their nonces and what is authenticated beside them, and
// knows when a key has protected enough. The work itself is a RecordEngine's. RFC 8446 5.2 to 5.5, RFC 5246 6.2.3.3, RFC 5288,
// RFC 7905.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "tls/cipher_suite.h"
#include "tls/key_schedule.h"
#include "tls/record.h"
#include "tls/record_engine.h"

namespace millrace::tls {

/// Records that one key may protect (RFC 8446 5.5): 2^24.5 with AES-GCM, more than can be counted with ChaCha20-Poly1305.
[[nodiscard]] std::uint64_t most_records(Aead aead);

/// What both directions share.
class RecordProtection {
 public:
  /// The key could be made.
  [[nodiscard]] bool valid() const { return key_ != nullptr; }
  [[nodiscard]] const CipherSuite& suite() const { return *suite_; }
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }  ///< of the next record
  /// The key must be changed (TLS 1.3), or the session ended (TLS 1.2), before the next record.
  [[nodiscard]] bool exhausted() const { return used_ >= most_records(suite_->aead); }
  /// Half of what the key may protect is used: time for a key update.
  [[nodiscard]] bool wants_new_key() const { return used_ >= most_records(suite_->aead) / 2; }
  /// TLS 1.3, after a key update: records are numbered from 0 again. False: no memory, nothing has changed.
  [[nodiscard]] bool change_keys(RecordEngine& engine, const TrafficKeys& keys);

 protected:
  /// `sequence`: of the next record, when the handshake has sent some under these keys already.
  RecordProtection(RecordEngine& engine, Direction direction, const CipherSuite& suite, const TrafficKeys& keys,
                   std::uint64_t sequence);

  void fill(RecordJob& job, ContentType type, std::size_t text_bytes, std::span<const std::uint8_t> explicit_nonce);
  void count() {
    ++sequence_;
    ++used_;
  }

 private:
  const CipherSuite* suite_;
  Direction direction_;
  std::unique_ptr<RecordKey> key_;
  Secret iv_;
  std::uint64_t sequence_;
  std::uint64_t used_;
};

class RecordSealer : public RecordProtection {
 public:
  /// `explicit_nonce`: of the next record, of a suite that has one: behind that of the last which the handshake sent.
  RecordSealer(RecordEngine& engine, const CipherSuite& suite, const TrafficKeys& keys, std::uint64_t sequence = 0,
               std::uint64_t explicit_nonce = 0)
      : RecordProtection(engine, Direction::kSeal, suite, keys, sequence), explicit_nonce_(explicit_nonce) {}

  [[nodiscard]] std::size_t header_bytes() const { return kRecordHeaderBytes + suite().explicit_nonce_bytes(); }
  /// Bytes behind the plaintext: the type that TLS 1.3 hides there, and the tag.
  [[nodiscard]] std::size_t trailer_bytes() const { return inner_type_bytes() + kTagBytes; }
  /// 1 for TLS 1.3: that byte is the last of the text that is encrypted.
  [[nodiscard]] std::size_t inner_type_bytes() const { return suite().version == Version::kTls13 ? 1 : 0; }

  /// The next record, of `plaintext` bytes (at most kMostPlaintextBytes): writes its header (header_bytes()) and fills all of
  /// `job` but its text. Of TLS 1.3 the text ends with a byte for `type`. Not when exhausted().
  void begin(RecordJob& job, ContentType type, std::size_t plaintext, std::span<std::uint8_t> header);

 private:
  std::uint64_t explicit_nonce_;
};

class RecordOpener : public RecordProtection {
 public:
  RecordOpener(RecordEngine& engine, const CipherSuite& suite, const TrafficKeys& keys, std::uint64_t sequence = 0)
      : RecordProtection(engine, Direction::kOpen, suite, keys, sequence) {}

  /// Bytes of a record between its header and its text.
  [[nodiscard]] std::size_t explicit_nonce_bytes() const { return suite().explicit_nonce_bytes(); }
  /// How many bytes of text a record holds, the explicit nonce and the tag left out. kUnexpectedMessage: a type that cannot be
  /// protected like that. kDecodeError: too short. kRecordOverflow: too long for this version.
  [[nodiscard]] Result<std::size_t, Alert> text_bytes(const RecordHeader& header) const;
  /// The next record: fills all of `job` but its text. `explicit_nonce` and `tag` as they stand in it.
  void begin(RecordJob& job, const RecordHeader& header, std::size_t text_bytes, std::span<const std::uint8_t> explicit_nonce,
             std::span<const std::uint8_t, kTagBytes> tag);

  struct Content {
    ContentType type = ContentType::kApplicationData;
    std::size_t size = 0;  ///< of the text, what is plaintext; the rest is type and padding
  };
  /// What an opened record holds. kUnexpectedMessage: nothing but padding, or a type that may not be inside.
  [[nodiscard]] Result<Content, Alert> content_of(const RecordHeader& header,
                                                  std::span<const std::span<std::uint8_t>> text) const;
};

}  // namespace millrace::tls
