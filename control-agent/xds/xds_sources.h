// Whom a config_source names, and how long it is waited for.
#pragma once

#include "control-agent/xds/xds_message.h"
#include "dataplane/base/time.h"
#include "envoy/config/core/v3/config_source.pb.h"

namespace millrace::agent {

inline bool is_control_plane(const envoy::config::core::v3::ConfigSource& source) {
  return source.has_ads() || source.has_self() || source.has_api_config_source();
}

/// Of these types everything that there is is asked for, of the others what is named.
inline bool names_all(ResourceType type) {
  return type == ResourceType::kCluster || type == ResourceType::kListener || type == ResourceType::kScope;
}

/// ConfigSource.initial_fetch_timeout; zero turns it off.
inline Duration fetch_timeout(const envoy::config::core::v3::ConfigSource& source) {
  if (!source.has_initial_fetch_timeout()) return Duration::seconds(15);
  const Duration timeout = to_duration(source.initial_fetch_timeout());
  return timeout > Duration() ? timeout : Duration::infinite();
}

}  // namespace millrace::agent
