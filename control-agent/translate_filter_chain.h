// envoy.config.listener.v3.FilterChain and FilterChainMatch -> config::FilterChain and the table that chooses among them; the
// listener filters that find out what the choice needs.
#pragma once

#include <string>

#include "config/model/listener.h"
#include "control-agent/translate.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

namespace millrace::agent {

/// Fills chains, table and inspection of `out` from the listener at `path`.
void translate_filter_chains(const envoy::config::listener::v3::Listener& listener, const std::string& path,
                             config::Listener& out, TranslateContext& context);

[[nodiscard]] config::TcpProxy translate_tcp_proxy(const envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy& proxy,
                                                   const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
