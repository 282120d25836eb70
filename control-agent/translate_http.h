// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager -> config::HttpConnectionManager.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/model/listener.h"
#include "control-agent/translate.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

[[nodiscard]] config::HttpConnectionManager translate_http_connection_manager(
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& manager,
    const std::string& path, TranslateContext& context);

/// The first of `filters` that wants whole requests as clients send them, but stands behind one that changes them; nothing: all
/// stand where they can.
[[nodiscard]] std::optional<std::size_t> find_misplaced_filter(const std::vector<config::HttpFilter>& filters);
inline constexpr std::string_view kMisplacedFilter =
    "must stand before the filters that compress or decompress requests: behind them it is not supported yet";

/// envoy.config.accesslog.v3.AccessLog: file, stdout, stderr. Adds the sink to `context.log_sinks` unless it is there.
[[nodiscard]] config::AccessLog translate_access_log(const envoy::config::accesslog::v3::AccessLog& log, const std::string& path,
                                                     TranslateContext& context);

}  // namespace millrace::agent
