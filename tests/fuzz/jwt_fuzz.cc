// JSON Web Tokens as a stranger may send them. Checked: what is taken for a token has the parts that others rely on, in memory
// that is there, and what was read of it is read the same from what is written of it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/limits.h"
#include "dataplane/proxy/filters/jwt_token.h"
#include "tests/fuzz/fuzz_input.h"

using millrace::Arena;
using millrace::ChunkPool;
using millrace::fuzz::require;
using millrace::proxy::JsonReader;
using millrace::proxy::JwtStatus;
using millrace::proxy::JwtToken;
using millrace::proxy::MetadataValue;

namespace {

/// The first byte says how the rest is meant: a token as it is; else a payload in JSON for which the token is made.
std::string token_of(std::string_view input) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  if (input.empty() || input.front() != 'j') return std::string(input.substr(input.empty() ? 0 : 1));
  std::string out = "eyJhbGciOiJIUzI1NiJ9.";
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : input.substr(1)) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) out += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) out += kDigits[bits << (6 - count) & 63];
  return out + ".AAAA";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static JsonReader json(millrace::limits::kJwtBytes);
  const std::string text = token_of({reinterpret_cast<const char*>(data), size});
  ChunkPool pool(1, 4096, 16);
  Arena arena(pool);
  JwtToken token;
  const JwtStatus status = millrace::proxy::parse_jwt(text, json, arena, token);
  if (status != JwtStatus::kOk) return 0;
  require(token.header->kind == MetadataValue::Kind::kStruct && token.payload->kind == MetadataValue::Kind::kStruct);
  require(token.signed_part.ends_with(token.payload_base64) && text.starts_with(token.signed_part));
  require(!token.algorithm_name.empty() && !token.signature.empty());
  const std::string_view written = millrace::proxy::write_json(*token.payload, arena);
  if (written.data() == nullptr || written.size() > millrace::limits::kJwtBytes) return 0;
  std::string padded(written);
  padded.resize(written.size() + JsonReader::kPaddingBytes);
  const auto again = json.read_object(std::string_view(padded).substr(0, written.size()), arena);
  require(again || again.error() == JsonReader::Failure::kNoMemory);
  return 0;
}
