#include "dataplane/proxy/filters/jwt_token.h"

#include "dataplane/base/base64.h"
#include "dataplane/base/limits.h"

namespace millrace::proxy {
namespace {

using Kind = MetadataValue::Kind;

/// What a decoded part came to: null data() and `valid`: no memory.
struct Decoded {
  bool valid = false;
  std::string_view bytes;
};

// With room for what the JSON parser reads behind a text.
Decoded decode(std::string_view part, Arena& arena) {
  const std::span<char> memory = arena.make_array<char>(base64_decoded_size(part.size()) + JsonReader::kPaddingBytes);
  if (memory.empty()) return {.valid = true, .bytes = {}};
  const auto size = decode_base64url(part, memory);
  return {.valid = size.has_value(), .bytes = {memory.data(), size.value_or(0)}};
}

/// kOk, `not_base64`, `not_json` or kNoMemory.
JwtStatus read_part(std::string_view part, JwtStatus not_base64, JwtStatus not_json, JsonReader& json, Arena& arena,
                    const MetadataValue*& out) {
  const Decoded decoded = decode(part, arena);
  if (!decoded.valid) return not_base64;
  if (decoded.bytes.data() == nullptr) return JwtStatus::kNoMemory;
  const auto value = json.read_object(decoded.bytes, arena);
  if (!value) return value.error() == JsonReader::Failure::kNoMemory ? JwtStatus::kNoMemory : not_json;
  out = *value;
  return JwtStatus::kOk;
}

/// False: it is there and not a string.
bool take_text(const MetadataValue& from, std::string_view name, std::string_view& out) {
  const MetadataValue* member = from.member(name);
  if (member == nullptr) return true;
  out = member->text;
  return member->kind == Kind::kString;
}

JwtStatus take_seconds(const MetadataValue& from, std::string_view name, JwtStatus wrong_type, JwtStatus out_of_range,
                       std::optional<std::uint64_t>& out) {
  constexpr double kEnd = 18'446'744'073'709'551'616.0;  // 2^64
  const MetadataValue* member = from.member(name);
  if (member == nullptr) return JwtStatus::kOk;
  if (member->kind != Kind::kNumber) return wrong_type;
  if (!(member->number >= 0 && member->number < kEnd)) return out_of_range;
  out = static_cast<std::uint64_t>(member->number);
  return JwtStatus::kOk;
}

bool is_text_or_texts(const MetadataValue* value) {
  if (value == nullptr || value->kind == Kind::kString) return true;
  if (value->kind != Kind::kList) return false;
  for (const MetadataValue* item = value->first; item != nullptr; item = item->next) {
    if (item->kind != Kind::kString) return false;
  }
  return true;
}

JwtStatus read_header(JwtToken& token) {
  const MetadataValue* algorithm = token.header->member("alg");
  if (algorithm == nullptr || algorithm->kind != Kind::kString) return JwtStatus::kHeaderBadAlg;
  const auto known = tls::signature_algorithm(algorithm->text);
  if (!known) return JwtStatus::kHeaderUnknownAlg;
  token.algorithm = *known;
  token.algorithm_name = algorithm->text;
  return take_text(*token.header, "kid", token.key_id) ? JwtStatus::kOk : JwtStatus::kHeaderBadKid;
}

JwtStatus read_claims(JwtToken& token) {
  using enum JwtStatus;
  const MetadataValue& payload = *token.payload;
  if (!take_text(payload, "iss", token.issuer)) return kPayloadBadIss;
  if (!take_text(payload, "sub", token.subject)) return kPayloadBadSub;
  std::optional<std::uint64_t> issued;
  JwtStatus status = take_seconds(payload, "iat", kPayloadBadIat, kPayloadIatOutOfRange, issued);
  if (status == kOk) status = take_seconds(payload, "nbf", kPayloadBadNbf, kPayloadNbfOutOfRange, token.not_before);
  if (status == kOk) status = take_seconds(payload, "exp", kPayloadBadExp, kPayloadExpOutOfRange, token.expires);
  if (status != kOk) return status;
  std::string_view id;
  if (!take_text(payload, "jti", id)) return kPayloadBadJti;
  return is_text_or_texts(payload.member("aud")) ? kOk : kPayloadBadAud;
}

}  // namespace

JwtStatus parse_jwt(std::string_view text, JsonReader& json, Arena& arena, JwtToken& out) {
  using enum JwtStatus;
  const std::size_t first = text.find('.');
  const std::size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  if (text.size() > limits::kJwtBytes || second == std::string_view::npos) return kBadFormat;
  const std::string_view header = text.substr(0, first);
  const std::string_view signature = text.substr(second + 1);
  out.payload_base64 = text.substr(first + 1, second - first - 1);
  out.signed_part = text.substr(0, second);
  if (header.empty() || out.payload_base64.empty() || signature.empty() || signature.contains('.')) return kBadFormat;

  JwtStatus status = read_part(header, kHeaderNotBase64, kHeaderNotJson, json, arena, out.header);
  if (status == kOk) status = read_header(out);
  if (status == kOk) status = read_part(out.payload_base64, kPayloadNotBase64, kPayloadNotJson, json, arena, out.payload);
  if (status == kOk) status = read_claims(out);
  if (status != kOk) return status;
  const Decoded decoded = decode(signature, arena);
  if (!decoded.valid) return kSignatureNotBase64;
  out.signature = decoded.bytes;
  return decoded.bytes.data() == nullptr ? kNoMemory : kOk;
}

}  // namespace millrace::proxy
