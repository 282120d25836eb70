#include "control-agent/discovery/resources.h"

#include "config/compile/content_hash.h"
#include "control-agent/discovery/connection_managers.h"
#include "control-agent/loader_values.h"

namespace millrace::agent {

std::uint64_t hash_of(const google::protobuf::Message& message) { return hash_of_bytes(bytes_of(message)); }

std::string bytes_of(const google::protobuf::Message& message) { return serialize(message); }

std::uint64_t hash_of_bytes(const std::string& bytes) { return config::content_hash(bytes); }

PathSource path_source(const envoy::config::core::v3::ConfigSource& source) {
  if (source.has_path_config_source())
    return {source.path_config_source().path(), source.path_config_source().watched_directory().path()};
  return {source.path(), {}};
}

std::string source_key(const envoy::config::core::v3::ConfigSource& source) {
  if (source.has_api_config_source()) return "grpc:" + std::to_string(hash_of(source.api_config_source()));
  return path_source(source).path;
}

bool is_control_plane(const std::string& source_key) { return source_key.empty() || source_key.starts_with("grpc:"); }

RouteSources route_sources(const ListenerMessage& listener) {
  RouteSources out;
  for_each_manager(listener, [&](const auto& manager) {
    if (!manager.has_rds()) return;
    const auto& source = manager.rds().config_source();
    out.emplace(ResourceKey{source_key(source), manager.rds().route_config_name()}, source);
  });
  return out;
}

}  // namespace millrace::agent
