// The look into a client's first message. Checked: how the bytes are cut makes no difference, the end is an end, and what it
// tells of a name can stand in a log or a match.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/fuzz/fuzz_input.h"
#include "tls/client_hello.h"

using millrace::fuzz::require;
using millrace::tls::ClientHelloInspector;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using Status = ClientHelloInspector::Status;
  const std::span<const std::uint8_t> bytes(data, size);
  ClientHelloInspector whole;
  const Status status = whole.feed(bytes);
  for (const std::size_t step : {1, 3, 64}) {
    ClientHelloInspector cut;
    for (std::size_t at = 0; at < size; at += step) cut.feed(bytes.subspan(at, std::min(step, size - at)));
    require(cut.status() == status);
    require(cut.hello().server_name == whole.hello().server_name && cut.hello().protocols == whole.hello().protocols);
  }
  require(whole.feed(bytes) == status || status == Status::kNeedMore);
  for (const char c : whole.hello().server_name) require(c > ' ' && c < 0x7f && !(c >= 'A' && c <= 'Z'));
  require(whole.hello().server_name.size() <= 255);
  return 0;
}
