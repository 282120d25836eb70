// envoy.config.route.v3.RouteAction -> config::ForwardAction. For translate_route*.cc only.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "config/model/route.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace millrace::agent {

/// What holds for all routes of one table, or of one virtual host of it.
struct RouteScope {
  bool validate_clusters = true;
  std::uint32_t max_body_bytes = 4096;                    ///< Envoy's default for max_direct_response_body_size_bytes
  std::shared_ptr<const config::RetryPolicy> retry = {};  ///< of routes that have none; null: none
  std::uint32_t retry_buffer_limit_bytes = std::numeric_limits<std::uint32_t>::max();
  bool hedge_on_try_timeout = false;                                      ///< of routes that have no hedge_policy
  std::shared_ptr<const std::vector<config::MirrorPolicy>> mirrors = {};  ///< of routes that have none; null: none
};

using MirrorPolicies = google::protobuf::RepeatedPtrField<envoy::config::route::v3::RouteAction::RequestMirrorPolicy>;
/// Of one level, or those of `scope` where that says nothing. `path`: of the list.
[[nodiscard]] std::shared_ptr<const std::vector<config::MirrorPolicy>> translate_mirrors(const MirrorPolicies& policies,
                                                                                         const std::string& path,
                                                                                         const RouteScope& scope,
                                                                                         TranslateContext& context);

/// `match`: the route's. `path`: of the action.
[[nodiscard]] config::ForwardAction translate_forward(const envoy::config::route::v3::RouteAction& action,
                                                      const envoy::config::route::v3::RouteMatch& match, const std::string& path,
                                                      const RouteScope& scope, TranslateContext& context);

}  // namespace millrace::agent
