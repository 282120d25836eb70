#include "config/compile/expected_bytes.h"

#include <utility>

namespace millrace::config {

ExpectedBytes expect_bytes(std::string bytes) {
  ExpectedBytes out{std::move(bytes), {}};
  out.borders.assign(out.bytes.size(), 0);
  for (std::size_t end = 1; end < out.bytes.size(); ++end) {
    std::uint32_t border = out.borders[end - 1];
    while (border > 0 && out.bytes[end] != out.bytes[border]) border = out.borders[border - 1];
    out.borders[end] = out.bytes[end] == out.bytes[border] ? border + 1 : 0;
  }
  return out;
}

}  // namespace millrace::config
