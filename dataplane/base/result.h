// Values or errors. Nothing in the data plane throws.
#pragma once

#include <expected>

namespace millrace {

template <typename T, typename E>
using Result = std::expected<T, E>;

template <typename E>
using Error = std::unexpected<E>;

}  // namespace millrace
