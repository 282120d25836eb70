// envoy.config.route.v3.RouteAction.hash_policy -> config::HashPolicies.
#pragma once

#include <string>

#include "config/model/hash_policy.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace millrace::agent {

/// `path` is that of the action.
[[nodiscard]] config::HashPolicies translate_hash_policies(const envoy::config::route::v3::RouteAction& action,
                                                           const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
