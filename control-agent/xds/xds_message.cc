#include "control-agent/xds/xds_message.h"

#include <array>
#include <utility>

namespace millrace::agent {

namespace discovery = envoy::service::discovery::v3;

namespace {

struct TypeName {
  ResourceType type;
  std::string_view url;
};

constexpr std::array<TypeName, 8> kTypes{{
    {ResourceType::kCluster, "type.googleapis.com/envoy.config.cluster.v3.Cluster"},
    {ResourceType::kAssignment, "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"},
    {ResourceType::kExtension, "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"},
    {ResourceType::kRuntime, "type.googleapis.com/envoy.service.runtime.v3.Runtime"},
    {ResourceType::kListener, "type.googleapis.com/envoy.config.listener.v3.Listener"},
    {ResourceType::kRoutes, "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"},
    {ResourceType::kScope, "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"},
    {ResourceType::kSecret, "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"},
}};

XdsResource take_resource(discovery::Resource&& in) {
  XdsResource out;
  out.name = std::move(*in.mutable_name());
  out.version = std::move(*in.mutable_version());
  out.has_body = in.has_resource();
  if (in.has_ttl()) out.ttl = to_duration(in.ttl());
  out.body = std::move(*in.mutable_resource());
  return out;
}

}  // namespace

Duration to_duration(const google::protobuf::Duration& duration) {
  return Duration::seconds(duration.seconds()) + Duration::nanoseconds(duration.nanos());
}

std::string_view type_url(ResourceType type) {
  for (const TypeName& known : kTypes) {
    if (known.type == type) return known.url;
  }
  return {};
}

std::optional<ResourceType> resource_type(std::string_view type_url) {
  for (const TypeName& known : kTypes) {
    if (known.url == type_url) return known.type;
  }
  return std::nullopt;
}

XdsResponse take_response(discovery::DiscoveryResponse&& response) {
  XdsResponse out;
  out.type_url = std::move(*response.mutable_type_url());
  out.version = std::move(*response.mutable_version_info());
  out.nonce = std::move(*response.mutable_nonce());
  out.resources.reserve(static_cast<std::size_t>(response.resources_size()));
  for (google::protobuf::Any& any : *response.mutable_resources()) {
    // With a time to live it comes in an envelope.
    discovery::Resource envelope;
    if (any.Is<discovery::Resource>() && any.UnpackTo(&envelope)) {
      out.resources.push_back(take_resource(std::move(envelope)));
    } else {
      out.resources.push_back({.name = {}, .version = {}, .body = std::move(any), .has_body = true, .ttl = {}});
    }
  }
  return out;
}

XdsResponse take_response(discovery::DeltaDiscoveryResponse&& response) {
  XdsResponse out;
  out.is_delta = true;
  out.type_url = std::move(*response.mutable_type_url());
  out.version = std::move(*response.mutable_system_version_info());
  out.nonce = std::move(*response.mutable_nonce());
  out.resources.reserve(static_cast<std::size_t>(response.resources_size()));
  for (discovery::Resource& resource : *response.mutable_resources()) out.resources.push_back(take_resource(std::move(resource)));
  for (std::string& name : *response.mutable_removed_resources()) out.removed.push_back(std::move(name));
  return out;
}

}  // namespace millrace::agent
