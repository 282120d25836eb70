#include "dataplane/proxy/filters/jwt_verifier.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "dataplane/base/base64.h"
#include "dataplane/proxy/policy/route_matcher.h"

namespace millrace::proxy {
namespace {

using enum JwtStatus;
using Kind = MetadataValue::Kind;
using Requirement = config::JwtRequirement::Kind;

constexpr std::string_view kMetadata = "envoy.filters.http.jwt_authn";
constexpr std::size_t kMostDoubleBytes = 512;  // "%f" of the largest

MetadataValue* make_value(const MetadataValue& value, Arena& arena) {
  void* memory = arena.allocate(sizeof(MetadataValue), alignof(MetadataValue));
  return memory == nullptr ? nullptr : ::new (memory) MetadataValue(value);
}

bool has_audience(const MetadataValue* claim, const std::vector<std::string>& allowed) {
  if (allowed.empty()) return true;
  const auto is_allowed = [&](const MetadataValue& value) {
    return std::ranges::find(allowed, config::bare_audience(value.text)) != allowed.end();
  };
  if (claim == nullptr) return false;
  if (claim->kind == Kind::kString) return is_allowed(*claim);
  for (const MetadataValue* item = claim->first; item != nullptr; item = item->next) {
    if (is_allowed(*item)) return true;
  }
  return false;
}

bool may_stand_in_field(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

// As Envoy writes numbers into fields: whole ones that fit into 64 bits without a point, others with six digits behind it.
std::string_view write_claim_number(double number, Arena& arena) {
  std::array<char, kMostDoubleBytes> text;
  const bool whole = number >= 0 && number < 18'446'744'073'709'551'616.0 && std::trunc(number) == number;
  const int size = whole ? std::snprintf(text.data(), text.size(), "%llu", static_cast<unsigned long long>(number))
                         : std::snprintf(text.data(), text.size(), "%f", number);
  return arena.copy({text.data(), static_cast<std::size_t>(size)});
}

/// A claim as the value of a field: "" for null. Null data(): no memory.
std::string_view claim_text(const MetadataValue& claim, Arena& arena) {
  switch (claim.kind) {
    case Kind::kNull: return "";
    case Kind::kBool: return claim.boolean ? "true" : "false";
    case Kind::kNumber: return write_claim_number(claim.number, arena);
    case Kind::kString: return claim.text;
    case Kind::kList:
    case Kind::kStruct: break;
  }
  const std::string_view json = write_json(claim, arena);
  if (json.data() == nullptr) return {};
  const std::span<char> encoded = arena.make_array<char>(base64_encoded_size(json.size()));
  return encoded.empty() ? std::string_view() : encode_base64(json, encoded);
}

// The words of a text as a list. Null: no memory.
const MetadataValue* words_of(const MetadataValue& text, Arena& arena) {
  MetadataValue* list = make_value({.kind = Kind::kList, .key = text.key}, arena);
  if (list == nullptr) return nullptr;
  const MetadataValue** last = &list->first;
  for (std::size_t at = text.text.find_first_not_of(' '); at < text.text.size();) {
    const std::size_t end = std::min(text.text.find(' ', at), text.text.size());
    MetadataValue* word = make_value({.kind = Kind::kString, .text = text.text.substr(at, end - at)}, arena);
    if (word == nullptr) return nullptr;
    *last = word;
    last = &word->next;
    at = text.text.find_first_not_of(' ', end);
  }
  return list;
}

}  // namespace

// What an earlier filter of this kind has left stays, behind ours: the first member of a name is the one that is found.
JwtVerifier::JwtVerifier(const config::JwtAuthn& config, http::RequestHead& head, FilterContext& context,
                         std::uint64_t now_seconds)
    : config_(config), head_(head), context_(context), now_(now_seconds) {
  const MetadataValue* earlier = context.info.metadata.find(kMetadata);
  if (earlier != nullptr) left_ = earlier->first;
}

JwtStatus JwtVerifier::satisfy(const config::JwtRequirement& requirement) {
  switch (requirement.kind) {
    case Requirement::kNothing: return kOk;
    case Requirement::kProvider:
      return search({.provider = &config_.providers[requirement.provider],
                     .audiences = requirement.audiences ? &*requirement.audiences : nullptr});
    case Requirement::kAny: return satisfy_any(requirement);
    case Requirement::kAll: return satisfy_all(requirement);
    case Requirement::kAllowMissing: return search({.allow_missing = true});
    case Requirement::kAllowMissingOrFailed: return search({.allow_missing = true, .allow_failed = true});
  }
  return kMissing;
}

// Of several failures the one that says most is told: that a token is missing says least, then that its issuer is another one.
// A request without a token needs no keys; whatever else is wrong with one is found later.
const config::JsonWebKeySlot* JwtVerifier::awaited_keys(const config::JwtRequirement& requirement) const {
  switch (requirement.kind) {
    case Requirement::kNothing: return nullptr;
    case Requirement::kProvider: {
      const config::JwtProvider& provider = config_.providers[requirement.provider];
      return is_awaited(provider) && has_token(provider.locations) ? provider.remote_keys.get() : nullptr;
    }
    case Requirement::kAny:
    case Requirement::kAll: {
      const config::JsonWebKeySlot* keys = nullptr;
      for (const config::JwtRequirement& other : requirement.others) {
        if (keys == nullptr) keys = awaited_keys(other);
      }
      return keys;
    }
    case Requirement::kAllowMissing:
    case Requirement::kAllowMissingOrFailed: {
      const auto provider = std::ranges::find_if(config_.providers, is_awaited);
      return provider != config_.providers.end() && has_token(config_.locations) ? provider->remote_keys.get() : nullptr;
    }
  }
  return nullptr;
}

bool JwtVerifier::is_awaited(const config::JwtProvider& provider) {
  return provider.remote_keys != nullptr && provider.remote_keys->is_awaited();
}

bool JwtVerifier::has_token(const std::vector<config::JwtLocation>& locations) const {
  FoundJwts found;
  return find_jwts(locations, head_, found) && found.count > 0;
}

JwtStatus JwtVerifier::satisfy_any(const config::JwtRequirement& requirement) {
  JwtStatus told = kMissing;
  for (const config::JwtRequirement& other : requirement.others) {
    const JwtStatus status = satisfy(other);
    if (status == kOk || status == kNoMemory) return status;
    if ((status != kMissing && status != kUnknownIssuer) || told == kMissing) told = status;
  }
  return requirement.allow_failed || (requirement.allow_missing && told == kMissing) ? kOk : told;
}

JwtStatus JwtVerifier::satisfy_all(const config::JwtRequirement& requirement) {
  for (const config::JwtRequirement& other : requirement.others) {
    if (const JwtStatus status = satisfy(other); status != kOk) return status;
  }
  return kOk;
}

// All tokens have to be good: the upstream might take a bad one for the one that was verified.
JwtStatus JwtVerifier::search(const Search& search) {
  if (search.provider != nullptr) {
    remove_told_fields(*search.provider);
  } else {
    for (const config::JwtProvider& provider : config_.providers) remove_told_fields(provider);
  }
  FoundJwts found;
  if (!find_jwts(search.provider == nullptr ? config_.locations : search.provider->locations, head_, found)) return kNoMemory;
  const auto fail = [&](JwtStatus status, const config::JwtProvider* provider) {
    return status == kNoMemory || leave_failure(status, provider) ? status : kNoMemory;
  };
  if (found.too_many || found.count == 0) {
    const JwtStatus status = fail(found.too_many ? kTooManyTokens : kMissing, search.provider);
    const bool is_fine = search.allow_failed || (search.allow_missing && status == kMissing);
    return is_fine && status != kNoMemory ? kOk : status;
  }
  for (std::size_t i = found.count; i-- > 0;) {
    const config::JwtProvider* provider = search.provider;
    JwtStatus status = verify(found.tokens[i], search, provider);
    if (status == kOk) continue;
    status = fail(status, provider);
    if (status == kNoMemory || !search.allow_failed) return status;
  }
  return kOk;
}

JwtStatus JwtVerifier::verify(const FoundJwt& found, const Search& search, const config::JwtProvider*& provider) {
  TextCache* verified = nullptr;
  bool known = false;
  if (provider != nullptr) {
    if (context_.worker < provider->verified.size()) verified = provider->verified[context_.worker].get();
    known = verified != nullptr && verified->contains(found.text, now_);
    (known ? context_.stats().jwt_authn.jwt_cache_hit : context_.stats().jwt_authn.jwt_cache_miss).add();
  }
  JwtToken token;
  JwtStatus status = parse_jwt(found.text, context_.json, context_.arena, token);
  if (status != kOk) return status;
  const std::vector<std::string>& issuers = found.location->issuers;
  if (!issuers.empty() && std::ranges::find(issuers, token.issuer) == issuers.end()) return kUnknownIssuer;
  if (provider == nullptr) provider = provider_of(token.issuer);
  if (provider == nullptr) return kUnknownIssuer;
  status = check_claims(token, *provider, search);
  if (status == kOk && !known) status = check_signature(token, *provider);
  if (status != kOk) return status;
  if (!apply(token, *provider, *found.location)) return kNoMemory;
  if (verified != nullptr && !known) {
    constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t expires = token.expires.value_or(kNever);
    verified->insert(found.text,
                     expires > kNever - provider->clock_skew_seconds ? kNever : expires + provider->clock_skew_seconds);
  }
  return kOk;
}

JwtStatus JwtVerifier::check_claims(const JwtToken& token, const config::JwtProvider& provider, const Search& search) const {
  const std::uint64_t skew = provider.clock_skew_seconds;
  if (token.not_before && *token.not_before > now_ + skew) return kNotYetValid;
  if (token.expires && now_ > skew && now_ - skew > *token.expires) return kExpired;
  if (!has_audience(token.payload->member("aud"), search.audiences == nullptr ? provider.audiences : *search.audiences)) {
    return kAudienceNotAllowed;
  }
  if (provider.subject && !matches(*provider.subject, token.subject, context_.worker)) return kVerificationFailed;
  if ((provider.require_expiration || provider.max_lifetime) && !token.expires) return kVerificationFailed;
  const auto lifetime = [&] { return static_cast<double>(*token.expires) - static_cast<double>(now_); };
  if (provider.max_lifetime && lifetime() >= static_cast<double>(provider.max_lifetime->to_nanoseconds()) * 1e-9) {
    return kVerificationFailed;
  }
  return kOk;
}

JwtStatus JwtVerifier::check_signature(const JwtToken& token, const config::JwtProvider& provider) const {
  if (provider.remote_keys == nullptr) return check_signature(token, provider.keys);
  const auto reading = provider.remote_keys->read(context_.worker);
  return reading.keys() == nullptr ? kFetchFailed : check_signature(token, *reading.keys());
}

JwtStatus JwtVerifier::check_signature(const JwtToken& token, const config::JsonWebKeys& keys) {
  if (keys.empty()) return kNoKeys;
  bool any_matches = false;
  for (const config::JsonWebKey& key : keys) {
    if (!token.key_id.empty() && !key.id.empty() && key.id != token.key_id) continue;
    if (!key.algorithm.empty() && key.algorithm != token.algorithm_name) continue;
    any_matches = true;
    if (key.key->verifies(token.algorithm, token.signed_part, token.signature)) return kOk;
  }
  if (!any_matches) return kNoKeyMatches;
  return token.algorithm == tls::SignatureAlgorithm::kEdDsa && token.signature.size() != tls::kEd25519SignatureBytes
             ? kEd25519SignatureLength
             : kVerificationFailed;
}

const config::JwtProvider* JwtVerifier::provider_of(std::string_view issuer) const {
  auto at = std::ranges::find(config_.providers, issuer, &config::JwtProvider::issuer);
  if (at == config_.providers.end()) at = std::ranges::find(config_.providers, "", &config::JwtProvider::issuer);
  return at == config_.providers.end() ? nullptr : &*at;
}

void JwtVerifier::remove_told_fields(const config::JwtProvider& provider) {
  if (!provider.payload_header.empty()) head_.headers.remove(provider.payload_header);
  for (const auto& claim : provider.claims_to_headers) head_.headers.remove(claim.header);
}

bool JwtVerifier::apply(const JwtToken& token, const config::JwtProvider& provider, const config::JwtLocation& location) {
  if (!tell_payload(token, provider)) return false;
  bool told = false;
  for (const auto& claim : provider.claims_to_headers) {
    if (!tell_claim(claim, *token.payload, told)) return false;
  }
  if (provider.clear_route_cache && (told || !provider.payload_key.empty())) clears_route_cache_ = true;
  if (!provider.forward && !remove_jwt(location, head_)) return false;
  return (provider.header_key.empty() || leave(provider.header_key, *token.header)) &&
         (provider.payload_key.empty() || leave_payload(token, provider));
}

bool JwtVerifier::tell_payload(const JwtToken& token, const config::JwtProvider& provider) {
  constexpr std::string_view kPadding = "===";
  if (provider.payload_header.empty()) return true;
  if (!provider.pad_payload) return head_.headers.add_copy(provider.payload_header, token.payload_base64);
  const std::size_t missing = (4 - token.payload_base64.size() % 4) % 4;
  const std::string_view padded = context_.arena.concat({token.payload_base64, kPadding.substr(0, missing)});
  return padded.data() != nullptr && head_.headers.add_copy(provider.payload_header, padded);
}

// A claim that cannot stand in a field is left out, as one is that is not there: its line breaks would be ours.
bool JwtVerifier::tell_claim(const config::JwtProvider::ClaimToHeader& claim, const MetadataValue& payload, bool& told) {
  const MetadataValue* value = &payload;
  for (const std::string& name : claim.path) value = value == nullptr ? nullptr : value->member(name);
  if (value == nullptr) return true;
  const std::string_view text = claim_text(*value, context_.arena);
  if (text.data() == nullptr) return false;
  if (text.empty() || !may_stand_in_field(text)) return true;
  told = true;
  return head_.headers.add_copy(claim.header, text);
}

bool JwtVerifier::leave_payload(const JwtToken& token, const config::JwtProvider& provider) {
  if (provider.space_delimited_claims.empty()) return leave(provider.payload_key, *token.payload);
  MetadataValue payload = *token.payload;
  const MetadataValue** last = &payload.first;
  for (const MetadataValue* member = token.payload->first; member != nullptr; member = member->next) {
    const bool split = member->kind == Kind::kString && member->text.find_first_not_of(' ') != std::string_view::npos &&
                       std::ranges::find(provider.space_delimited_claims, member->key) != provider.space_delimited_claims.end();
    const MetadataValue* value = split ? words_of(*member, context_.arena) : member;
    MetadataValue* copy = value == nullptr ? nullptr : make_value(*value, context_.arena);
    if (copy == nullptr) return false;
    *last = copy;
    last = &copy->next;
  }
  *last = nullptr;
  return leave(provider.payload_key, payload);
}

// Without a provider, the only one there is: whose else could it have been?
bool JwtVerifier::leave_failure(JwtStatus status, const config::JwtProvider* provider) {
  if (provider == nullptr && config_.providers.size() == 1) provider = &config_.providers.front();
  if (provider == nullptr || provider->failed_key.empty()) return true;
  const MetadataValue* message = make_value({.kind = Kind::kString, .text = text_of(status), .key = "message"}, context_.arena);
  const MetadataValue* code = make_value(
      {.kind = Kind::kNumber, .number = static_cast<double>(code_of(status)), .key = "code", .next = message}, context_.arena);
  return message != nullptr && code != nullptr && leave(provider->failed_key, {.kind = Kind::kStruct, .first = code});
}

bool JwtVerifier::leave(std::string_view key, const MetadataValue& value) {
  MetadataValue* member = make_value(value, context_.arena);
  if (member == nullptr) return false;
  member->key = key;
  member->next = left_;
  left_ = member;
  leaves_anything_ = true;
  return true;
}

bool JwtVerifier::publish_metadata() {
  if (!leaves_anything_) return true;
  const MetadataValue* root = make_value({.kind = Kind::kStruct, .first = left_}, context_.arena);
  return root != nullptr && context_.info.metadata.set(kMetadata, *root, context_.arena);
}

}  // namespace millrace::proxy
