// Whether a request shows the JSON Web Tokens that it has to, and what good ones do to it: fields and metadata are set, tokens
// taken away. One for a request. Sources: RFC 7519 7.2, RFC 8725; Envoy's jwt_authn filter for the order of the checks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/filters/jwt_authn.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/filters/http_filter.h"
#include "dataplane/proxy/filters/jwt_locations.h"
#include "dataplane/proxy/filters/jwt_token.h"

namespace millrace::proxy {

class JwtVerifier {
 public:
  /// `now_seconds` since 1970.
  JwtVerifier(const config::JwtAuthn& config, http::RequestHead& head, FilterContext& context, std::uint64_t now_seconds);

  /// Keys that are being fetched for the first time, without which a token that `requirement` asks for cannot be judged; null:
  /// there are none. Changes nothing.
  [[nodiscard]] const config::JsonWebKeySlot* awaited_keys(const config::JwtRequirement& requirement) const;

  /// kOk: it does. Once. Some tokens may have had their effect on the request when it fails.
  [[nodiscard]] JwtStatus satisfy(const config::JwtRequirement& requirement);

  // Afterwards.
  /// What was put into the request decides its route anew: clear_route_cache.
  [[nodiscard]] bool clears_route_cache() const { return clears_route_cache_; }
  /// Makes known what tokens have left. False: no memory.
  [[nodiscard]] bool publish_metadata();

 private:
  /// One look for tokens.
  struct Search {
    const config::JwtProvider* provider = nullptr;        ///< null: that of each token's issuer
    const std::vector<std::string>* audiences = nullptr;  ///< in place of the provider's; null: those
    bool allow_missing = false;
    bool allow_failed = false;
  };

  JwtStatus satisfy_any(const config::JwtRequirement& requirement);
  JwtStatus satisfy_all(const config::JwtRequirement& requirement);
  JwtStatus search(const Search& search);
  /// Of one token; a good one has its effect.
  JwtStatus verify(const FoundJwt& found, const Search& search, const config::JwtProvider*& provider);
  JwtStatus check_claims(const JwtToken& token, const config::JwtProvider& provider, const Search& search) const;
  JwtStatus check_signature(const JwtToken& token, const config::JwtProvider& provider) const;
  static JwtStatus check_signature(const JwtToken& token, const config::JsonWebKeys& keys);
  static bool is_awaited(const config::JwtProvider& provider);
  bool has_token(const std::vector<config::JwtLocation>& locations) const;
  const config::JwtProvider* provider_of(std::string_view issuer) const;
  /// Nobody but us may set the fields that tell of tokens.
  void remove_told_fields(const config::JwtProvider& provider);

  // False: no memory.
  bool apply(const JwtToken& token, const config::JwtProvider& provider, const config::JwtLocation& location);
  bool tell_payload(const JwtToken& token, const config::JwtProvider& provider);
  bool tell_claim(const config::JwtProvider::ClaimToHeader& claim, const MetadataValue& payload, bool& told);
  bool leave_payload(const JwtToken& token, const config::JwtProvider& provider);
  bool leave_failure(JwtStatus status, const config::JwtProvider* provider);
  bool leave(std::string_view key, const MetadataValue& value);

  const config::JwtAuthn& config_;
  http::RequestHead& head_;
  FilterContext& context_;
  const std::uint64_t now_;
  const MetadataValue* left_ = nullptr;  // the members of our metadata, the latest first
  bool leaves_anything_ = false;
  bool clears_route_cache_ = false;
};

}  // namespace millrace::proxy
