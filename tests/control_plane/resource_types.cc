#include "tests/control_plane/resource_types.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <array>
#include <memory>

#include "control-agent/loader.h"

namespace millrace::test {
namespace {

constexpr std::string_view kPrefix = "type.googleapis.com/";

struct Type {
  std::string_view name;
  std::string_view message;
  std::string_view service;  // empty: over ADS only
  std::string_view methods;  // "Stream" and "Delta" come before it
};

constexpr std::array kTypes{
    Type{"CDS", "envoy.config.cluster.v3.Cluster", "envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters"},
    Type{"EDS", "envoy.config.endpoint.v3.ClusterLoadAssignment", "envoy.service.endpoint.v3.EndpointDiscoveryService",
         "Endpoints"},
    Type{"LDS", "envoy.config.listener.v3.Listener", "envoy.service.listener.v3.ListenerDiscoveryService", "Listeners"},
    Type{"RDS", "envoy.config.route.v3.RouteConfiguration", "envoy.service.route.v3.RouteDiscoveryService", "Routes"},
    Type{"SRDS", "envoy.config.route.v3.ScopedRouteConfiguration", "envoy.service.route.v3.ScopedRoutesDiscoveryService",
         "ScopedRoutes"},
    Type{"VHDS", "envoy.config.route.v3.VirtualHost", "envoy.service.route.v3.VirtualHostDiscoveryService", "VirtualHosts"},
    Type{"SDS", "envoy.extensions.transport_sockets.tls.v3.Secret", "envoy.service.secret.v3.SecretDiscoveryService", "Secrets"},
    Type{"RTDS", "envoy.service.runtime.v3.Runtime", "envoy.service.runtime.v3.RuntimeDiscoveryService", "Runtime"},
    Type{"ECDS", "envoy.config.core.v3.TypedExtensionConfig", "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
         "ExtensionConfigs"},
    Type{"NDS", "istio.networking.nds.v1.NameTable", "", ""},
};
constexpr std::string_view kAggregated = "envoy.service.discovery.v3.AggregatedDiscoveryService";

std::string url_of(const Type& type) { return std::string(kPrefix).append(type.message); }

}  // namespace

std::optional<std::string> find_type_url(std::string_view name) {
  if (name.find('/') != std::string_view::npos) return std::string(name);
  const auto* type = std::ranges::find(kTypes, name, &Type::name);
  if (type == kTypes.end()) return std::nullopt;
  return url_of(*type);
}

std::string short_name(std::string_view type_url) {
  const auto* type = std::ranges::find_if(kTypes, [&](const Type& each) { return url_of(each) == type_url; });
  return std::string(type == kTypes.end() ? type_url : type->name);
}

bool is_wildcard_type(std::string_view type_url) {
  const std::string name = short_name(type_url);
  return name == "CDS" || name == "LDS" || name == "SRDS" || name == "NDS";
}

std::optional<StreamMethod> find_method(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0) return std::nullopt;
  const std::string_view service = path.substr(1, slash - 1);
  std::string_view method = path.substr(slash + 1);
  const Form form = method.starts_with("Delta") ? Form::kDelta : Form::kStateOfTheWorld;
  const std::string_view verb = form == Form::kDelta ? "Delta" : "Stream";
  if (!method.starts_with(verb)) return std::nullopt;
  method.remove_prefix(verb.size());
  if (service == kAggregated && method == "AggregatedResources") return StreamMethod{.form = form, .type_url = {}};
  const auto* type =
      std::ranges::find_if(kTypes, [&](const Type& each) { return each.service == service && each.methods == method; });
  if (type == kTypes.end() || method.empty()) return std::nullopt;
  return StreamMethod{.form = form, .type_url = url_of(*type)};
}

std::string name_of_resource(const google::protobuf::Any& body) {
  const google::protobuf::Descriptor* type = agent::find_any_type(body.type_url());
  if (type == nullptr) return {};
  const google::protobuf::FieldDescriptor* field = type->FindFieldByName("name");
  if (field == nullptr) field = type->FindFieldByName("cluster_name");
  if (field == nullptr || field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) return {};
  const std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!message->ParseFromString(body.value())) return {};
  return message->GetReflection()->GetString(*message, field);
}

}  // namespace millrace::test
