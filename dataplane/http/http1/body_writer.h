// Puts the body of one outgoing message behind its head, in the framing that the head has promised (RFC 9112 6 and 7).
// What the user sends beyond a promised Content-Length is dropped; a body that ends short of it leaves the message incomplete:
// the connection must then end, so that the peer sees it (broken()).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/http/header_map.h"
#include "dataplane/http/http1/framing.h"
#include "dataplane/stream/chain.h"

namespace millrace::http::http1 {

class BodyWriter {
 public:
  void start(Framing framing);
  /// Moves up to `credit` bytes from the front of `data` into `out`; `end_stream` takes effect when all were taken. Bytes of a
  /// message without a body (a response to HEAD) are dropped. False when out of memory: `out` may then end inside a chunk.
  [[nodiscard]] bool write(stream::Chain& data, std::size_t credit, bool end_stream, stream::Chain& out);
  /// Ends the body; `trailers` (may be null) go out where the framing is chunked. `refused` counts fields that cannot.
  [[nodiscard]] bool finish(const HeaderMap* trailers, stream::Chain& out, std::uint64_t& refused);

  [[nodiscard]] bool ended() const { return ended_; }
  /// The message on the wire is not the one that its head promised.
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] BodyKind kind() const { return kind_; }

 private:
  BodyKind kind_ = BodyKind::kNone;
  bool ended_ = false;
  bool broken_ = false;
  std::uint64_t remaining_ = 0;
};

}  // namespace millrace::http::http1
