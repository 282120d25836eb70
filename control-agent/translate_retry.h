// envoy.config.route.v3.RetryPolicy -> config::RetryPolicy.
#pragma once

#include <memory>
#include <string>

#include "config/model/retry_policy.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace millrace::agent {

/// Never null. A condition that nobody knows is a warning, as Envoy ignores it.
[[nodiscard]] std::shared_ptr<const config::RetryPolicy> translate_retry_policy(
    const envoy::config::route::v3::RetryPolicy& policy, const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
