// What of a request consistent hashing takes its hash from. Source: envoy.config.route.v3.RouteAction.HashPolicy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace millrace::config {

struct RegexRewrite;

struct HashPolicy {
  enum class Source : std::uint8_t { kHeader, kCookie, kSourceIp, kQueryParameter };
  Source source = Source::kHeader;
  std::string name;                             ///< of the field, in lower case, the cookie or the parameter
  std::shared_ptr<const RegexRewrite> rewrite;  ///< of the field's values; null: none
  /// What follows name and value in the cookie that a client gets when it has none: "; Max-Age=5; HttpOnly". Nothing: it gets
  /// none.
  std::optional<std::string> cookie_attributes;
  bool terminal = false;  ///< with a hash by now, the policies behind it are not asked
};

using HashPolicies = std::vector<HashPolicy>;

}  // namespace millrace::config
