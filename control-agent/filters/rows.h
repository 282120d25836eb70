// The translation of each HTTP filter, for the table in http_filters.cc. A message with errors comes out in any state: what was
// reported keeps the configuration from being used.
#pragma once

#include <string>

#include "config/model/http_filter.h"
#include "control-agent/filters/jwt_authn_messages.h"
#include "control-agent/translate.h"
#include "envoy/extensions/filters/http/bandwidth_limit/v3/bandwidth_limit.pb.h"
#include "envoy/extensions/filters/http/buffer/v3/buffer.pb.h"
#include "envoy/extensions/filters/http/compressor/v3/compressor.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/csrf/v3/csrf.pb.h"
#include "envoy/extensions/filters/http/decompressor/v3/decompressor.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb.h"
#include "envoy/extensions/filters/http/health_check/v3/health_check.pb.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb.h"
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
[[nodiscard]] config::BandwidthLimit translate_filter(
    const envoy::extensions::filters::http::bandwidth_limit::v3::BandwidthLimit& limit, const std::string& path,
    TranslateContext& context);
/// The same for a route, which has to say a limit.
[[nodiscard]] config::BandwidthLimit translate_bandwidth_limit_of_route(
    const envoy::extensions::filters::http::bandwidth_limit::v3::BandwidthLimit& limit, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::BufferRequests translate_filter(const envoy::extensions::filters::http::buffer::v3::Buffer& filter,
                                                      const std::string& path, TranslateContext& context);
[[nodiscard]] config::BufferRequests translate_filter(const envoy::extensions::filters::http::buffer::v3::BufferPerRoute& route,
                                                      const std::string& path, TranslateContext& context);
[[nodiscard]] config::Compressor translate_filter(const envoy::extensions::filters::http::compressor::v3::Compressor& filter,
                                                  const std::string& path, TranslateContext& context);
[[nodiscard]] config::CompressorOverride translate_filter(
    const envoy::extensions::filters::http::compressor::v3::CompressorPerRoute& route, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::Decompressor translate_filter(
    const envoy::extensions::filters::http::decompressor::v3::Decompressor& filter, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::Csrf translate_filter(const envoy::extensions::filters::http::csrf::v3::CsrfPolicy& policy,
                                            const std::string& path, TranslateContext& context);
[[nodiscard]] config::EditHeaders translate_filter(
    const envoy::extensions::filters::http::header_mutation::v3::HeaderMutation& filter, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::HeaderEdits translate_filter(
    const envoy::extensions::filters::http::header_mutation::v3::HeaderMutationPerRoute& route, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::AnswerHealthChecks translate_filter(
    const envoy::extensions::filters::http::health_check::v3::HealthCheck& check, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::LocalRateLimit translate_filter(
    const envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit& limit, const std::string& path,
    TranslateContext& context);

}  // namespace millrace::agent
