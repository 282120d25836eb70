// Requests and responses of discovery as plain values, the same for both forms of the protocol; to and from
// envoy.service.discovery.v3 messages. Nothing is checked: what a test wants to send may be wrong on purpose.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/control_plane/resource_types.h"

namespace millrace::test {

struct Rejection {
  int code = 0;
  std::string message;
};

struct Request {
  std::string type_url;
  std::string nonce;         ///< of the response that it answers; empty: none
  std::string version_info;  ///< state of the world
  std::optional<Rejection> rejection;
  std::vector<std::string> names;  ///< state of the world: all that is asked for. Delta: what comes to it
  std::vector<std::string> unsubscribed;
  std::map<std::string, std::string> initial_versions;
  nlohmann::ordered_json text;  ///< the message itself, as JSON with the original field names
};

/// Nothing: the bytes are no request of this form.
[[nodiscard]] std::optional<Request> decode_request(Form form, const std::string& bytes);

struct Resource {
  std::string name;
  std::string version;                        ///< its own, which delta tells
  std::optional<google::protobuf::Any> body;  ///< nothing: a heartbeat, which prolongs the lease
  std::optional<google::protobuf::Duration> ttl;
};

struct Response {
  std::string type_url;
  std::string version;
  std::string nonce;
  std::vector<Resource> resources;
  std::vector<std::string> removed;  ///< delta only
};

/// A resource with a time to live, or without a body, is wrapped in a Resource where the form has no place for either.
[[nodiscard]] std::string encode_response(Form form, const Response& response);
/// Nothing: the bytes are no response of this form.
[[nodiscard]] std::optional<Response> decode_response(Form form, const std::string& bytes);

}  // namespace millrace::test
