// The connection managers of a listener's message.
#pragma once

#include "control-agent/discovery/resources.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

/// Calls `visit(manager)` for each, in the order of the filter chains.
template <typename Visit>
void for_each_manager(const ListenerMessage& listener, Visit&& visit) {
  using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
  const auto look = [&](const envoy::config::listener::v3::FilterChain& chain) {
    for (const auto& filter : chain.filters()) {
      HttpConnectionManager manager;
      if (filter.typed_config().Is<HttpConnectionManager>() && filter.typed_config().UnpackTo(&manager)) visit(manager);
    }
  };
  for (const auto& chain : listener.filter_chains()) look(chain);
  look(listener.default_filter_chain());
}

}  // namespace millrace::agent
