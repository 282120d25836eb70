// Which content coding a client wants: Accept-Encoding. Source: RFC 9110 12.5.3, as Envoy's compressor reads it.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::proxy {

enum class EncodingChoice : std::uint8_t {
  kNoHeader,  ///< the client does not say
  kCoding,    ///< ours, by name
  kWildcard,  ///< any, and ours is not refused
  kIdentity,  ///< none, by name
  kNotValid,  ///< none that we have
};

/// The one with the highest weight, the first of several, of `coding`, "identity" and "*". What has weight 0 is refused.
/// `accept_encoding`: null data(): there is no such field.
[[nodiscard]] EncodingChoice choose_encoding(std::string_view accept_encoding, std::string_view coding);

}  // namespace millrace::proxy
