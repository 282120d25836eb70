// Who seals and opens records: IPsec-MB, OpenSSL, or a crypto device. Jobs are submitted and collected, since a device answers
// later; what works at once has finished when submit() returns. Whatever the engine, a record is transformed in place.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "dataplane/base/intrusive_list.h"
#include "tls/cipher_suite.h"

namespace millrace::tls {

enum class Direction : std::uint8_t { kSeal, kOpen };

/// A key as one engine wants it: made by RecordEngine::make_key(), used with that engine alone. Wiped when it goes, which must
/// not be before the jobs that use it were collected.
class RecordKey {
 public:
  RecordKey() = default;
  RecordKey(const RecordKey&) = delete;
  RecordKey& operator=(const RecordKey&) = delete;
  virtual ~RecordKey() = default;
};

/// One record. The submitter keeps it, and all that it points to, until it was collected.
struct RecordJob : ListNode<> {
  static constexpr std::size_t kMostAdditionalBytes = 13;

  RecordKey* key = nullptr;
  std::array<std::uint8_t, kNonceBytes> nonce{};
  std::array<std::uint8_t, kMostAdditionalBytes> additional{};  ///< authenticated beside the text
  std::uint8_t additional_size = 0;
  std::span<const std::span<std::uint8_t>> text;  ///< in parts, each of any size; encrypted or decrypted where it lies
  std::array<std::uint8_t, kTagBytes> tag{};      ///< sealing writes it, opening compares with it, in constant time
  bool good = false;                              ///< when collected: sealed, or opened and authentic. Else the text is garbage
};

class RecordEngine {
 public:
  virtual ~RecordEngine() = default;

  /// As in Envoy-like configuration and counters: "ipsec-mb", "openssl".
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual bool supports(Aead aead) const = 0;
  /// A job has finished when submit() returns, and the next collect() hands it back.
  [[nodiscard]] virtual bool works_at_once() const { return false; }
  /// `key` has key_bytes(aead) bytes. `additional_bytes`: authenticated beside each record, of every job the same number, since
  /// devices fix it with the key. Null: not supported, or no memory.
  [[nodiscard]] virtual std::unique_ptr<RecordKey> make_key(Aead aead, Direction direction, std::span<const std::uint8_t> key,
                                                            std::size_t additional_bytes) = 0;
  /// False: as many jobs are under way as the engine holds; collect() first.
  [[nodiscard]] virtual bool submit(RecordJob& job) = 0;
  /// A job that has finished; null: none, for now. Jobs of one key finish in the order of their submission.
  [[nodiscard]] virtual RecordJob* collect() = 0;
};

}  // namespace millrace::tls
