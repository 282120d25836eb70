#include "control-agent/admin/messages.h"

#include <google/protobuf/util/json_util.h>

#include "control-agent/to_json.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

using envoy::config::cluster::v3::Cluster;

std::string print_json(const google::protobuf::Message& message, Defaults defaults) {
  if (defaults == Defaults::kLeftOut) return to_json(message).dump(1) + "\n";
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  return status.ok() ? text : std::string(status.message()) + "\n";
}

void set_refused(const RefusedUpdate& refused, envoy::admin::v3::UpdateFailureState& out) {
  if (refused.content != nullptr) out.mutable_failed_configuration()->PackFrom(*refused.content);
  *out.mutable_last_update_attempt() = to_timestamp(refused.attempted);
  out.set_details(refused.details);
  out.set_version_info(refused.version);
}

google::protobuf::Timestamp to_timestamp(std::chrono::system_clock::time_point time) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
  google::protobuf::Timestamp out;
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<std::int32_t>(std::chrono::nanoseconds(milliseconds - seconds).count()));
  return out;
}

envoy::config::core::v3::Address to_message(const SocketAddress& address, const std::string& pipe) {
  envoy::config::core::v3::Address out;
  if (!pipe.empty()) {
    out.mutable_pipe()->set_path(pipe);
    return out;
  }
  out.mutable_socket_address()->set_address(address.ip.to_string());
  out.mutable_socket_address()->set_port_value(address.port);
  return out;
}

envoy::config::core::v3::Locality to_message(const config::Locality& locality) {
  envoy::config::core::v3::Locality out;
  out.set_region(locality.region);
  out.set_zone(locality.zone);
  out.set_sub_zone(locality.sub_zone);
  return out;
}

std::map<std::string, const config::Cluster*> sorted_clusters(const config::Snapshot& snapshot) {
  std::map<std::string, const config::Cluster*> sorted;
  for (const auto& [name, cluster] : snapshot.clusters) sorted.emplace(name, cluster.get());
  return sorted;
}

std::map<std::string, std::string> service_names(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                                                 const DynamicResources& dynamic) {
  std::map<std::string, std::string> out;
  const auto look = [&](const Cluster& cluster) {
    const std::string& name = cluster.eds_cluster_config().service_name();
    if (!name.empty()) out.emplace(cluster.name(), name);
  };
  for (const auto& cluster : bootstrap.static_resources().clusters()) look(cluster);
  for (const DynamicResource& resource : dynamic.clusters) {
    const auto* cluster = google::protobuf::DynamicCastToGenerated<Cluster>(resource.content.get());
    if (cluster != nullptr) look(*cluster);
  }
  return out;
}

}  // namespace millrace::agent
