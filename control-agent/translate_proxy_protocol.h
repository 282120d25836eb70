// The PROXY protocol, in and out -> config::ProxyProtocolIn, config::ProxyProtocolOut. For translate_*.cc only.
#pragma once

#include <string>

#include "config/model/proxy_protocol.h"
#include "control-agent/translate.h"
#include "envoy/config/core/v3/proxy_protocol.pb.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"

namespace millrace::agent {

[[nodiscard]] config::ProxyProtocolIn translate_proxy_protocol(
    const envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol& filter, const std::string& path,
    TranslateContext& context);
[[nodiscard]] config::ProxyProtocolOut translate_proxy_protocol(const envoy::config::core::v3::ProxyProtocolConfig& config);

}  // namespace millrace::agent
