// The types of resources that a control plane serves, under the short names that captures and commands use, and the gRPC methods
// by which they are asked for (the service definitions in envoy/service/*/v3). Constants only.
#pragma once

#include <google/protobuf/any.pb.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::test {

/// How a stream speaks: every response the whole state of a type, or what has changed (Envoy's "xDS protocol").
enum class Form : std::uint8_t { kStateOfTheWorld, kDelta };

struct StreamMethod {
  Form form = Form::kStateOfTheWorld;
  std::string type_url;  ///< empty: aggregated, any type
};

/// "CDS" -> "type.googleapis.com/envoy.config.cluster.v3.Cluster"; a text with a slash is a type URL already. Nothing: neither.
[[nodiscard]] std::optional<std::string> find_type_url(std::string_view name);
/// The short name of a type, or the type URL itself where it has none.
[[nodiscard]] std::string short_name(std::string_view type_url);
/// A request without names asks for everything of this type: clusters, listeners and scopes.
[[nodiscard]] bool is_wildcard_type(std::string_view type_url);
/// The method's form and type; nothing: no stream of discovery.
[[nodiscard]] std::optional<StreamMethod> find_method(std::string_view path);

/// The name by which a resource is asked for: its field "name", or "cluster_name" of an assignment. Empty: the type is not known,
/// or the bytes are not of it.
[[nodiscard]] std::string name_of_resource(const google::protobuf::Any& body);

}  // namespace millrace::test
