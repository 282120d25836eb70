#include "dataplane/secure/record_io.h"

#include <algorithm>
#include <utility>

namespace millrace::secure {

using tls::kRecordHeaderBytes;
using tls::kTagBytes;

namespace {

// The parts of `record.bytes` from `from` on, `size` bytes of them.
std::size_t list_parts(PendingRecord& record, std::size_t from, std::size_t size) {
  std::size_t count = 0;
  record.bytes.for_each_mutable([&](std::span<std::uint8_t> part) {
    const std::size_t skipped = std::min(from, part.size());
    from -= skipped;
    part = part.subspan(skipped);
    part = part.first(std::min(part.size(), size));
    size -= part.size();
    if (!part.empty() && count < record.parts.size()) record.parts[count] = part;
    count += part.empty() ? 0 : 1;
  });
  return count;
}

}  // namespace

bool put_together(stream::Chain& bytes) {
  stream::Chain whole(bytes.pool());
  bool good = true;
  bytes.for_each([&](std::span<const std::uint8_t> part) { good = good && whole.append_copy(part); });
  if (good) bytes = std::move(whole);
  return good;
}

std::size_t record_text(const stream::Chain& plain, std::size_t most) {
  // Room is left for the parts that hold the record's end.
  constexpr std::size_t kMostSlices = PendingRecord::kMostParts - 2;
  std::size_t whole = 0;
  std::size_t slices = 0;
  stream::Chain::Cursor at = plain.cursor(0);
  while (at.contiguous() > 0 && whole + at.contiguous() <= most && slices < kMostSlices) {
    const std::size_t part = at.contiguous();
    whole += part;
    ++slices;
    at.skip(part);
  }
  return whole > 0 ? whole : std::min(plain.size(), most);
}

bool prepare_seal(tls::RecordSealer& sealer, tls::ContentType type, stream::Chain& plain, std::size_t text,
                  PendingRecord& record) {
  const std::size_t header_bytes = sealer.header_bytes();
  const std::size_t inner = sealer.inner_type_bytes();
  stream::Chain& bytes = record.bytes;
  MR_ASSERT(bytes.empty());
  std::uint8_t* header = nullptr;
  std::uint8_t* trailer = nullptr;
  if (!plain.move_prefix(text, bytes) || !bytes.make_sole() || (header = bytes.grow_front(header_bytes)) == nullptr ||
      (trailer = bytes.grow(inner + kTagBytes)) == nullptr) {
    // As it was: the record's beginning off again, what was taken back to the front.
    if (header != nullptr) bytes.remove_prefix(header_bytes);
    bytes.append(std::move(plain));
    plain.append(std::move(bytes));
    return false;
  }
  const std::size_t parts = list_parts(record, header_bytes, text + inner);
  MR_ASSERT(parts <= record.parts.size());
  if (inner > 0) *trailer = static_cast<std::uint8_t>(type);
  record.tag_in_record = trailer + inner;
  record.text = std::span(record.parts).first(parts);
  record.seals = true;
  record.finished = false;
  sealer.begin(record, type, text, {header, header_bytes});
  return true;
}

Result<Taken, tls::Alert> prepare_open(tls::RecordOpener& opener, stream::Chain& cipher, PendingRecord& record) {
  std::array<std::uint8_t, kRecordHeaderBytes> raw{};
  if (cipher.copy_out(0, raw) < raw.size()) return Taken::kIncomplete;
  const auto header = tls::RecordHeader::parse(raw);
  if (!header) return Error<tls::Alert>(header.error());
  const auto text = opener.text_bytes(*header);
  if (!text) return Error<tls::Alert>(text.error());
  if (cipher.size() < kRecordHeaderBytes + header->length) return Taken::kIncomplete;

  std::array<std::uint8_t, tls::kNonceBytes> nonce_bytes{};
  const auto nonce = std::span(nonce_bytes).first(opener.explicit_nonce_bytes());
  cipher.copy_out(kRecordHeaderBytes, nonce);
  cipher.remove_prefix(kRecordHeaderBytes + nonce.size());
  std::array<std::uint8_t, kTagBytes> tag{};
  cipher.copy_out(*text, tag);
  if (!cipher.move_prefix(*text, record.bytes)) return Taken::kNoMemory;
  cipher.remove_prefix(kTagBytes);
  std::size_t parts = list_parts(record, 0, *text);
  if (parts > record.parts.size()) {
    if (!put_together(record.bytes)) return Taken::kNoMemory;
    parts = list_parts(record, 0, *text);
    MR_ASSERT(parts <= record.parts.size());
  }
  record.text = std::span(record.parts).first(parts);
  record.header = *header;
  record.seals = false;
  record.finished = false;
  opener.begin(record, *header, *text, nonce, tag);
  return Taken::kRecord;
}

}  // namespace millrace::secure
