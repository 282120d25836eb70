// The body of an answer to a gRPC health check. Checked: how the bytes are cut makes no difference, and an answer that says
// SERVING is one whole message, with nothing but empty ones around it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/proxy/health/grpc_answer.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using millrace::fuzz::require;
using Reader = millrace::proxy::GrpcAnswerReader;

enum class Answer : std::uint8_t { kServing, kOther, kNone };

Answer read(std::span<const std::uint8_t> bytes, std::size_t step) {
  Reader reader;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    if (!reader.read(bytes.subspan(at, std::min(step, bytes.size() - at)))) return Answer::kNone;
  }
  return reader.is_serving() ? Answer::kServing : Answer::kOther;
}

void check_is_whole(std::span<const std::uint8_t> bytes) {
  std::size_t messages = 0;
  for (std::size_t at = 0; at + 5 <= bytes.size();) {
    const std::size_t size = bytes[at + 1] << 24 | bytes[at + 2] << 16 | bytes[at + 3] << 8 | bytes[at + 4];
    require(size <= Reader::kMaxMessageBytes);
    if (size > 0 && size <= bytes.size() - at - 5) ++messages;
    at += 5 + size;
  }
  require(messages == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, size);
  const Answer whole = read(bytes, std::max<std::size_t>(size, 1));
  for (const std::size_t step : {1, 3, 64}) require(read(bytes, step) == whole);
  if (whole == Answer::kServing) check_is_whole(bytes);
  return 0;
}
