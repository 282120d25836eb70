// HTTP filters from their configuration messages: one row a message type, for connection managers and for routes. What a filter
// is at run time: dataplane/proxy/filters.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/map.h>

#include <optional>
#include <string>
#include <string_view>

#include "config/model/http_filter.h"
#include "control-agent/translate.h"

namespace millrace::agent {

/// The content of HttpFilter.typed_config; nothing, with an error, when its type is not that of a filter, or is the router's.
[[nodiscard]] std::optional<config::HttpFilterConfig> translate_http_filter(const google::protobuf::Any& config,
                                                                            const std::string& path, TranslateContext& context);

/// Is there an HTTP filter whose configuration is a `message` (its full name)? The router is not among them.
[[nodiscard]] bool is_http_filter(std::string_view message);

/// A typed_per_filter_config; `path` is that of the map.
[[nodiscard]] config::RouteFilters translate_route_filters(
    const google::protobuf::Map<std::string, google::protobuf::Any>& filters, const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
