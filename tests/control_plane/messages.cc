#include "tests/control_plane/messages.h"

#include <utility>

#include "control-agent/to_json.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace millrace::test {
namespace {

namespace xds = envoy::service::discovery::v3;

template <typename Message>
void take_common(const Message& message, Request& request) {
  request.type_url = message.type_url();
  request.nonce = message.response_nonce();
  if (message.has_error_detail())
    request.rejection = Rejection{.code = message.error_detail().code(), .message = message.error_detail().message()};
  request.text = agent::to_json(message);
}

xds::Resource wrap(const Resource& resource) {
  xds::Resource wrapped;
  wrapped.set_name(resource.name);
  wrapped.set_version(resource.version);
  if (resource.body) *wrapped.mutable_resource() = *resource.body;
  if (resource.ttl) *wrapped.mutable_ttl() = *resource.ttl;
  return wrapped;
}

Resource unwrap(const xds::Resource& wrapped) {
  Resource resource{.name = wrapped.name(), .version = wrapped.version(), .body = {}, .ttl = {}};
  if (wrapped.has_resource()) resource.body = wrapped.resource();
  if (wrapped.has_ttl()) resource.ttl = wrapped.ttl();
  return resource;
}

template <typename Message>
void put_common(const Response& response, Message& message) {
  message.set_type_url(response.type_url);
  message.set_nonce(response.nonce);
}

std::string encode_world(const Response& response) {
  xds::DiscoveryResponse message;
  put_common(response, message);
  message.set_version_info(response.version);
  for (const Resource& resource : response.resources) {
    google::protobuf::Any& any = *message.add_resources();
    if (resource.body && !resource.ttl) {
      any = *resource.body;
    } else {
      any.PackFrom(wrap(resource));
    }
  }
  return message.SerializeAsString();
}

std::string encode_delta(const Response& response) {
  xds::DeltaDiscoveryResponse message;
  put_common(response, message);
  message.set_system_version_info(response.version);
  for (const Resource& resource : response.resources) *message.add_resources() = wrap(resource);
  for (const std::string& name : response.removed) message.add_removed_resources(name);
  return message.SerializeAsString();
}

}  // namespace

std::optional<Request> decode_request(Form form, const std::string& bytes) {
  Request request;
  if (form == Form::kDelta) {
    xds::DeltaDiscoveryRequest message;
    if (!message.ParseFromString(bytes)) return std::nullopt;
    take_common(message, request);
    request.names.assign(message.resource_names_subscribe().begin(), message.resource_names_subscribe().end());
    request.unsubscribed.assign(message.resource_names_unsubscribe().begin(), message.resource_names_unsubscribe().end());
    request.initial_versions.insert(message.initial_resource_versions().begin(), message.initial_resource_versions().end());
    return request;
  }
  xds::DiscoveryRequest message;
  if (!message.ParseFromString(bytes)) return std::nullopt;
  take_common(message, request);
  request.version_info = message.version_info();
  request.names.assign(message.resource_names().begin(), message.resource_names().end());
  return request;
}

std::string encode_response(Form form, const Response& response) {
  return form == Form::kDelta ? encode_delta(response) : encode_world(response);
}

std::optional<Response> decode_response(Form form, const std::string& bytes) {
  Response response;
  if (form == Form::kDelta) {
    xds::DeltaDiscoveryResponse message;
    if (!message.ParseFromString(bytes)) return std::nullopt;
    response = {.type_url = message.type_url(),
                .version = message.system_version_info(),
                .nonce = message.nonce(),
                .resources = {},
                .removed = {message.removed_resources().begin(), message.removed_resources().end()}};
    for (const xds::Resource& resource : message.resources()) response.resources.push_back(unwrap(resource));
    return response;
  }
  xds::DiscoveryResponse message;
  if (!message.ParseFromString(bytes)) return std::nullopt;
  response = {.type_url = message.type_url(),
              .version = message.version_info(),
              .nonce = message.nonce(),
              .resources = {},
              .removed = {}};
  for (const google::protobuf::Any& any : message.resources()) {
    xds::Resource wrapped;
    if (any.Is<xds::Resource>() && any.UnpackTo(&wrapped)) {
      response.resources.push_back(unwrap(wrapped));
    } else {
      response.resources.push_back({.name = name_of_resource(any), .version = message.version_info(), .body = any, .ttl = {}});
    }
  }
  return response;
}

}  // namespace millrace::test
