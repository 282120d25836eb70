// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager -> config::HttpConnectionManager.
#pragma once

#include <string>

#include "config/model/listener.h"
#include "control-agent/translate.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

[[nodiscard]] config::HttpConnectionManager translate_http_connection_manager(
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& manager,
    const std::string& path, TranslateContext& context);

/// envoy.config.accesslog.v3.AccessLog: file, stdout, stderr. Adds the sink to `context.log_sinks` unless it is there.
[[nodiscard]] config::AccessLog translate_access_log(const envoy::config::accesslog::v3::AccessLog& log, const std::string& path,
                                                     TranslateContext& context);

}  // namespace millrace::agent
