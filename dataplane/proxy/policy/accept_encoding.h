// Which content coding a client wants: Accept-Encoding. Source: RFC 9110 12.5.3, as Envoy's compressor reads it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace millrace::proxy {

enum class EncodingChoice : std::uint8_t {
  kNoHeader,  ///< the client does not say
  kCoding,    ///< one of ours, by name
  kWildcard,  ///< any, and one of ours is not refused
  kIdentity,  ///< none, by name
  kNotValid,  ///< none that we have
};

/// A coding that we have.
struct OfferedCoding {
  std::string_view name;
  bool choose_first = false;  ///< before others of the same weight; of several such codings the last one
};

struct ChosenCoding {
  EncodingChoice choice = EncodingChoice::kNotValid;
  std::string_view coding;  ///< with kCoding and kWildcard
};

/// The one with the highest weight, the first of several, of `offered`, "identity" and "*". What has weight 0 is refused. "*" is
/// the first of `offered` that is not refused, unless another one is to be chosen first.
/// `accept_encoding`: null data(): there is no such field. `offered`: none twice, at most 32.
[[nodiscard]] ChosenCoding choose_encoding(std::string_view accept_encoding, std::span<const OfferedCoding> offered);

}  // namespace millrace::proxy
