// What a filter chain asks of a connection before it serves it. The filters that serve are in listener.h.
// Source: envoy.config.listener.v3.Filter.
#pragma once

#include <variant>

#include "config/model/rbac.h"

namespace millrace::config {

using NetworkFilter = std::variant<Rbac>;

}  // namespace millrace::config
