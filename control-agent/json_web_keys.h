// JSON Web Key Sets (RFC 7517 5), as documents of issuers hold them: RSA, EC, OKP (RFC 8037) and symmetric keys; and, as Envoy
// takes it too, an object of certificates by kid. Private parts and "use" do not matter.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/model/filters/json_web_keys.h"
#include "dataplane/base/result.h"

namespace millrace::agent {

struct JsonWebKeySet {
  std::vector<config::JsonWebKey> keys;  ///< at least one
  std::vector<std::string> left_out;     ///< why others are not among them, each as "keys[1]: reason"
};

/// The error says why there is no key in it.
[[nodiscard]] Result<JsonWebKeySet, std::string> parse_json_web_keys(std::string_view text);

}  // namespace millrace::agent
