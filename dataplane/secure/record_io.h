// Records of a session between chains of bytes: plain text in, ciphertext out, and back. Cuts and joins; the cryptography is a
// tls::RecordEngine's, to which records are submitted and which may answer later.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/result.h"
#include "dataplane/base/time.h"
#include "dataplane/stream/chain.h"
#include "tls/record_protection.h"

namespace millrace::secure {

class TlsStream;
struct OrderTag;

/// A record on its way through an engine. Of a pool; belongs to the stream that submitted it.
struct PendingRecord : tls::RecordJob, ListNode<OrderTag> {
  /// As many parts as one record may lie in; what lies in more is put together first.
  static constexpr std::size_t kMostParts = 24;

  PendingRecord(TlsStream& submitter, stream::ChainPool& pool) : owner(submitter), bytes(pool) {}

  TlsStream& owner;
  stream::Chain bytes;  ///< sealing: the whole record; opening: its text
  std::array<std::span<std::uint8_t>, kMostParts> parts;
  std::uint8_t* tag_in_record = nullptr;  ///< sealing: where the tag goes
  tls::RecordHeader header;               ///< opening: as it came
  bool seals = false;
  bool finished = false;
};

/// How much text the next record holds: little at first and after a pause, so that the peer can open each segment when it comes;
/// much in bulk.
class RecordSizer {
 public:
  static constexpr std::size_t kSmallText = 1'400;          ///< fits one segment, with what surrounds it
  static constexpr std::size_t kSmallUntil = 64 * 1024;     ///< bytes sent in small records
  static constexpr Duration kPause = Duration::seconds(1);  ///< after which it begins again

  [[nodiscard]] std::size_t most_text(Instant now) {
    if (now - last_ >= kPause) sent_ = 0;
    return sent_ < kSmallUntil ? kSmallText : tls::kMostPlaintextBytes;
  }
  void sent(std::size_t text, Instant now) {
    sent_ += text;
    last_ = now;
  }

 private:
  std::size_t sent_ = 0;
  Instant last_;
};

/// Copies `bytes` into as few slices as they fit. False: no memory; they stay as they are.
[[nodiscard]] bool put_together(stream::Chain& bytes);

/// Bytes to take off the front of `plain` for a record: at most `most`, and where possible whole slices, since halves of one
/// cannot be sealed where they lie. At least 1 when there is any.
[[nodiscard]] std::size_t record_text(const stream::Chain& plain, std::size_t most);

/// Makes the next record of the first `text` bytes of `plain`, ready to be submitted. False: no memory; `plain` has lost nothing.
[[nodiscard]] bool prepare_seal(tls::RecordSealer& sealer, tls::ContentType type, stream::Chain& plain, std::size_t text,
                                PendingRecord& record);

enum class Taken : std::uint8_t { kRecord, kIncomplete, kNoMemory };

/// Takes the next record off `cipher`, ready to be submitted. An alert: what came is no record of this session.
[[nodiscard]] Result<Taken, tls::Alert> prepare_open(tls::RecordOpener& opener, stream::Chain& cipher, PendingRecord& record);

}  // namespace millrace::secure
