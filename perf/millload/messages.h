// What millload's clients and origin say to each other: plain HTTP/1.1, of which both know beforehand what has to come. The
// target of a request tells the origin all that it must do, so that neither side parses more than it verifies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/stream/chain.h"

namespace millrace::perf {

/// One request with its response. Sizes of bodies in bytes.
struct Exchange {
  std::uint64_t number = 0;
  std::size_t request_bytes = 0;  ///< 0: a GET, else a POST
  std::size_t response_bytes = 0;
  bool last = false;  ///< of its connection
};

/// Room for any head that is written here.
using HeadBuffer = std::array<char, 256>;

/// GET /RESPONSE-BYTES/REQUEST-BYTES/NUMBER. `host` at most 100 characters.
[[nodiscard]] std::string_view write_request_head(HeadBuffer& buffer, const Exchange& exchange, std::string_view host);
[[nodiscard]] std::string_view write_response_head(HeadBuffer& buffer, const Exchange& exchange);

/// The request that a head, up to and with its empty line, asks for; none when it is no request of ours.
[[nodiscard]] std::optional<Exchange> read_request_head(std::string_view head);

struct ResponseHead {
  unsigned status = 0;
  std::size_t body_bytes = 0;
};
/// None when there is no status line or no content-length.
[[nodiscard]] std::optional<ResponseHead> read_response_head(std::string_view head);

/// Takes a whole head off the front of a chain: its bytes, contiguous (in `buffer` where they were not), until the next call.
class HeadReader {
 public:
  /// nullopt: the head is not complete yet. A head longer than kMostBytes is returned cut, which no reader takes for one.
  [[nodiscard]] std::optional<std::string_view> next(const stream::Chain& from);

  static constexpr std::size_t kMostBytes = 4'096;

 private:
  std::array<char, kMostBytes> buffer_;
};

}  // namespace millrace::perf
