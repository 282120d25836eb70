// The index of a virtual host's routes by their paths: which of them are worth a look. Time and memory grow with the bytes of all
// path conditions together.
#pragma once

#include <cstddef>
#include <vector>

#include "config/model/route.h"

namespace millrace::config {

/// As many routes are sooner looked at than looked up.
inline constexpr std::size_t kRoutesWithoutIndex = 8;

/// Empty for at most kRoutesWithoutIndex routes. A regular expression stands under what all its matches begin with.
[[nodiscard]] RouteIndex index_routes(const std::vector<Route>& routes);

}  // namespace millrace::config
