// The network filters that stand before the one that serves a connection, and the small ones that serve it themselves. For
// translate_filter_chain.cc only.
#pragma once

#include <string>

#include "config/model/listener.h"
#include "control-agent/translate.h"
#include "envoy/extensions/filters/network/connection_limit/v3/connection_limit.pb.h"
#include "envoy/extensions/filters/network/direct_response/v3/config.pb.h"
#include "envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.pb.h"

namespace millrace::agent {

[[nodiscard]] config::ConnectionLimit translate_connection_limit(
    const envoy::extensions::filters::network::connection_limit::v3::ConnectionLimit& filter, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::ConnectionRateLimit translate_connection_rate_limit(
    const envoy::extensions::filters::network::local_ratelimit::v3::LocalRateLimit& filter, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::DirectText translate_direct_text(
    const envoy::extensions::filters::network::direct_response::v3::Config& filter, const std::string& path,
    TranslateContext& context);

}  // namespace millrace::agent
