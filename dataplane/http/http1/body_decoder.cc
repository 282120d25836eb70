#include "dataplane/http/http1/body_decoder.h"

#include <algorithm>
#include <limits>

#include "dataplane/http/http1/characters.h"
#include "dataplane/http/http1/settings.h"

namespace millrace::http::http1 {
namespace {

constexpr std::uint64_t kMaxChunkBytes = std::numeric_limits<std::int64_t>::max();
constexpr unsigned kMaxChunkSizeDigits = 16;

}  // namespace

void BodyDecoder::start(Framing framing) {
  *this = {};
  kind_ = framing.kind;
  remaining_ = framing.length;
}

// The first part is a reference; what follows in small parts is copied together, so that a peer cannot make us hold a list node
// and a reference for every byte.
bool BodyDecoder::move(stream::Chain& input, stream::Chain& body, std::size_t bytes) {
  if (body.empty() || bytes > stream::Chain::kCompactBytes) return input.move_prefix(bytes, body);
  while (bytes > 0) {
    const auto part = input.front().first(std::min(bytes, input.front().size()));
    if (!body.append_copy(part)) return false;
    bytes -= part.size();
    input.remove_prefix(part.size());
  }
  return true;
}

BodyDecoder::Status BodyDecoder::decode(stream::Chain& input, stream::Chain& body, std::size_t window) {
  switch (kind_) {
    case BodyKind::kNone: return Status::kEnd;
    case BodyKind::kChunked: return decode_chunked(input, body, window);
    case BodyKind::kLength: {
      const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>({input.size(), window, remaining_}));
      if (!input.move_prefix(bytes, body)) return Status::kOutOfMemory;
      remaining_ -= bytes;
      if (remaining_ == 0) return Status::kEnd;
      return input.empty() ? Status::kNeedMore : Status::kWindowFull;
    }
    case BodyKind::kUntilClose:
    case BodyKind::kOpaque:
      if (!input.move_prefix(std::min(input.size(), window), body)) return Status::kOutOfMemory;
      return input.empty() ? Status::kNeedMore : Status::kWindowFull;
  }
  return Status::kEnd;
}

BodyDecoder::Status BodyDecoder::decode_chunked(stream::Chain& input, stream::Chain& body, std::size_t window) {
  while (!input.empty()) {
    if (state_ == State::kData) {
      const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>({input.size(), window, remaining_}));
      if (bytes == 0) return Status::kWindowFull;
      if (!move(input, body, bytes)) return Status::kOutOfMemory;
      remaining_ -= bytes;
      window -= bytes;
      if (remaining_ == 0) state_ = State::kDataCr;
      continue;
    }
    const std::span<const std::uint8_t> part = input.front();
    std::size_t taken = 0;
    bool last_chunk = false;
    bool valid = true;
    while (taken < part.size() && state_ != State::kData && !last_chunk && valid) {
      const bool ends_size = state_ == State::kSizeLf;
      valid = read_framing(static_cast<char>(part[taken]));
      taken += valid ? 1 : 0;
      last_chunk = valid && ends_size && state_ == State::kSizeStart;
    }
    input.remove_prefix(taken);
    if (!valid) return Status::kError;
    if (last_chunk) return Status::kTrailers;
  }
  return Status::kNeedMore;
}

// One byte that is not data. After the size line of the last chunk the state is kSizeStart again.
bool BodyDecoder::read_framing(char c) {
  switch (state_) {
    case State::kSizeStart:
    case State::kSize: {
      const int digit = hex_value(c);
      if (digit >= 0) {
        if (remaining_ > kMaxChunkBytes >> 4) return fail(ProtocolError::kChunkOverflow);
        remaining_ = remaining_ << 4 | static_cast<std::uint64_t>(digit);
        digits_ = state_ == State::kSizeStart ? 1 : digits_ + 1;
        if (digits_ > kMaxChunkSizeDigits) return fail(ProtocolError::kChunkOverflow);  // leading zeros must end, too
        state_ = State::kSize;
        return true;
      }
      if (state_ == State::kSizeStart) return fail(c == '\n' ? ProtocolError::kBareLf : ProtocolError::kBadChunk);
      if (c == '\r') {
        state_ = State::kSizeLf;
      } else if (c == ';') {
        state_ = State::kExtension;
      } else if (c == ' ' || c == '\t') {
        state_ = State::kSpace;
      } else {
        return fail(c == '\n' ? ProtocolError::kBareLf : ProtocolError::kBadChunk);
      }
      return true;
    }
    case State::kSpace:  // whitespace is only allowed before an extension
      if (c == ';') {
        state_ = State::kExtension;
      } else if (c != ' ' && c != '\t') {
        return fail(c == '\n' ? ProtocolError::kBareLf : ProtocolError::kBadChunk);
      }
      return ++extension_bytes_ <= kMaxChunkExtensionBytes || fail(ProtocolError::kChunkOverflow);
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
        return true;
      }
      if (!is_value_char(c)) return fail(c == '\n' ? ProtocolError::kBareLf : ProtocolError::kBadChunk);
      return ++extension_bytes_ <= kMaxChunkExtensionBytes || fail(ProtocolError::kChunkOverflow);
    case State::kSizeLf:
      if (c != '\n') return fail(ProtocolError::kBareCr);
      state_ = remaining_ == 0 ? State::kSizeStart : State::kData;
      return true;
    case State::kDataCr:
      if (c != '\r') return fail(ProtocolError::kBadChunk);
      state_ = State::kDataLf;
      return true;
    case State::kDataLf:
      if (c != '\n') return fail(ProtocolError::kBareCr);
      state_ = State::kSizeStart;
      return true;
    case State::kData: break;
  }
  return fail(ProtocolError::kBadChunk);
}

}  // namespace millrace::http::http1
