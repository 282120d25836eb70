// HTTP filters whose configuration comes by name (ECDS): what a listener says of them, and what has come.
// Source: envoy.config.core.v3.ExtensionConfigSource.
#pragma once

#include <google/protobuf/any.pb.h>

#include <string>

#include "config/model/http_filter.h"
#include "control-agent/translate.h"
#include "envoy/config/core/v3/config_source.pb.h"

namespace millrace::agent {

/// A config_discovery, which is at `path`. The filter that has it is one with the fallback until something comes.
[[nodiscard]] std::shared_ptr<const config::FilterDiscovery> translate_filter_discovery(
    const envoy::config::core::v3::ExtensionConfigSource& source, const std::string& path, TranslateContext& context);

/// May what has come stand in the place of the filter?
[[nodiscard]] bool allows(const config::FilterDiscovery& discovery, const google::protobuf::Any& config);
/// What has come, in the place of a filter that is discovered: a TypedExtensionConfig.typed_config, at `path`. An error when its
/// type is not one of those that the filter may be.
[[nodiscard]] config::HttpFilterConfig translate_discovered_filter(const config::FilterDiscovery& discovery,
                                                                   const google::protobuf::Any& config, const std::string& path,
                                                                   TranslateContext& context);

}  // namespace millrace::agent
