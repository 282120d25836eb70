// A 64-bit hash of content, for one question: did this listener or route table change? Not for hostile input and not for
// load balancing: nothing but equality may be read from it.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::config {

/// Equal bytes and equal seed give an equal hash, on every machine and in every build.
[[nodiscard]] std::uint64_t content_hash(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace millrace::config
