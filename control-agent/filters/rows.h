// The translation of each HTTP filter, for the table in http_filters.cc. A message with errors comes out in any state: what was
// reported keeps the configuration from being used.
#pragma once

#include <string>

#include "config/model/http_filter.h"
#include "control-agent/filters/jwt_authn_messages.h"
#include "control-agent/translate.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"

namespace millrace::agent {

[[nodiscard]] config::Cors translate_filter(const envoy::extensions::filters::http::cors::v3::Cors& filter,
                                            const std::string& path, TranslateContext& context);
[[nodiscard]] config::CorsPolicy translate_filter(const envoy::extensions::filters::http::cors::v3::CorsPolicy& policy,
                                                  const std::string& path, TranslateContext& context);
[[nodiscard]] config::Fault translate_filter(const envoy::extensions::filters::http::fault::v3::HTTPFault& fault,
                                             const std::string& path, TranslateContext& context);
[[nodiscard]] config::JwtAuthn translate_filter(const envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication& filter,
                                                const std::string& path, TranslateContext& context);
[[nodiscard]] config::JwtAuthnPerRoute translate_filter(
    const envoy::extensions::filters::http::jwt_authn::v3::PerRouteConfig& route, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::Rbac translate_filter(const envoy::extensions::filters::http::rbac::v3::RBAC& filter,
                                            const std::string& path, TranslateContext& context);
[[nodiscard]] config::RbacPerRoute translate_filter(const envoy::extensions::filters::http::rbac::v3::RBACPerRoute& route,
                                                    const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
