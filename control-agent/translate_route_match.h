// envoy.config.route.v3.RouteMatch -> config::RouteMatch, and the rewrites of paths that belong to it.
#pragma once

#include <optional>
#include <string>

#include "config/model/route.h"
#include "control-agent/translate.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/regex.pb.h"

namespace millrace::agent {

/// Of a route, or of a filter with rules of its own.
[[nodiscard]] config::RouteMatch translate_route_match(const envoy::config::route::v3::RouteMatch& match, const std::string& path,
                                                       TranslateContext& context);

/// A UriTemplateMatchConfig, for matches of whole paths without their query.
[[nodiscard]] config::Regex translate_uri_template(const envoy::config::core::v3::TypedExtensionConfig& extension,
                                                   const std::string& path, TranslateContext& context);

/// Nothing after an error.
[[nodiscard]] std::optional<config::RegexRewrite> translate_rewrite(
    const envoy::type::matcher::v3::RegexMatchAndSubstitute& rewrite, const std::string& path, TranslateContext& context);

/// RouteAction.path_rewrite_policy of a route with that match. Nothing after an error.
[[nodiscard]] std::optional<config::RegexRewrite> translate_path_rewrite_policy(
    const envoy::config::core::v3::TypedExtensionConfig& policy, const envoy::config::route::v3::RouteMatch& match,
    const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
