// Base64 in both alphabets (RFC 4648 4 and 5). Decoding is strict, as RFC 7515 2 wants it: no padding, no white space, and the
// bits that the last digit has too many are zero, so that no two texts stand for the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace millrace {

/// How many bytes a text of that length without padding stands for, if it is one.
[[nodiscard]] constexpr std::size_t base64_decoded_size(std::size_t digits) { return digits / 4 * 3 + digits % 4 * 3 / 4; }
/// With padding.
[[nodiscard]] constexpr std::size_t base64_encoded_size(std::size_t bytes) { return (bytes + 2) / 3 * 4; }

/// Decodes base64url into `out`, which has room for base64_decoded_size(text.size()). Returns the number of bytes; nothing:
/// `text` is not base64url.
[[nodiscard]] std::optional<std::size_t> decode_base64url(std::string_view text, std::span<char> out);

/// Encodes in the alphabet with "+" and "/", padded; `out` has room for base64_encoded_size(bytes.size()). Returns a view of it.
std::string_view encode_base64(std::string_view bytes, std::span<char> out);

}  // namespace millrace
