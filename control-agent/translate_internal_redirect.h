// What of envoy.config.route.v3.RouteAction speaks of internal redirects -> config::InternalRedirectPolicy.
#pragma once

#include <memory>
#include <string>

#include "config/model/internal_redirect.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace millrace::agent {

/// internal_redirect_policy, or else the deprecated internal_redirect_action; null: redirects go to the client. `path`: of
/// `action`.
[[nodiscard]] std::shared_ptr<const config::InternalRedirectPolicy> translate_internal_redirects(
    const envoy::config::route::v3::RouteAction& action, const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
