#include "control-agent/discovery/resources.h"

#include "config/compile/content_hash.h"
#include "control-agent/loader_values.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

std::uint64_t hash_of(const google::protobuf::Message& message) { return config::content_hash(serialize(message)); }

PathSource path_source(const envoy::config::core::v3::ConfigSource& source) {
  if (source.has_path_config_source())
    return {source.path_config_source().path(), source.path_config_source().watched_directory().path()};
  return {source.path(), {}};
}

std::string source_key(const envoy::config::core::v3::ConfigSource& source) {
  if (source.has_api_config_source()) return "grpc:" + std::to_string(hash_of(source.api_config_source()));
  return path_source(source).path;
}

ResourceKey assignment_key(const ClusterMessage& cluster) {
  const auto& eds = cluster.eds_cluster_config();
  return {source_key(eds.eds_config()), eds.service_name().empty() ? cluster.name() : eds.service_name()};
}

RouteSources route_sources(const ListenerMessage& listener) {
  RouteSources out;
  const auto look = [&](const envoy::config::listener::v3::FilterChain& chain) {
    for (const auto& filter : chain.filters()) {
      HttpConnectionManager manager;
      if (!filter.typed_config().Is<HttpConnectionManager>() || !filter.typed_config().UnpackTo(&manager)) continue;
      if (!manager.has_rds()) continue;
      const auto& source = manager.rds().config_source();
      out.emplace(ResourceKey{source_key(source), manager.rds().route_config_name()}, source);
    }
  };
  for (const auto& chain : listener.filter_chains()) look(chain);
  look(listener.default_filter_chain());
  return out;
}

}  // namespace millrace::agent
