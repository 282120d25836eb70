// What goes over an xDS stream, in one shape for both protocols: state of the world (DiscoveryRequest, DiscoveryResponse) and
// delta (DeltaDiscoveryRequest, DeltaDiscoveryResponse). Source: Envoy's "xDS REST and gRPC protocol".
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control-agent/discovery/resources.h"
#include "dataplane/base/time.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace millrace::agent {

/// Of a message whose rules were checked before, or that a server sent: nothing is refused.
[[nodiscard]] Duration to_duration(const google::protobuf::Duration& duration);

enum class XdsProtocol : std::uint8_t { kStateOfTheWorld, kDelta };

/// "type.googleapis.com/envoy.config.cluster.v3.Cluster".
[[nodiscard]] std::string_view type_url(ResourceType type);
/// Nothing: a type that is not subscribed to.
[[nodiscard]] std::optional<ResourceType> resource_type(std::string_view type_url);

struct XdsResource {
  SharedName name;      ///< as the envelope says; empty: only the message itself knows
  std::string version;  ///< of this resource; empty with state of the world
  google::protobuf::Any body;
  bool has_body = true;         ///< false: a heartbeat, which only renews the time to live
  std::optional<Duration> ttl;  ///< after which it is as if it had been removed, unless it comes again
};

struct XdsResponse {
  std::string type_url;
  std::string version;  ///< version_info or system_version_info
  std::string nonce;
  std::vector<XdsResource> resources;
  std::vector<std::string> removed;  ///< delta alone
  bool is_delta = false;
};

/// Takes the bodies out of `response`.
[[nodiscard]] XdsResponse take_response(envoy::service::discovery::v3::DiscoveryResponse&& response);
[[nodiscard]] XdsResponse take_response(envoy::service::discovery::v3::DeltaDiscoveryResponse&& response);

/// A DiscoveryRequest, a DeltaDiscoveryRequest or a LoadStatsRequest.
using XdsRequest = std::unique_ptr<google::protobuf::Message>;

}  // namespace millrace::agent
