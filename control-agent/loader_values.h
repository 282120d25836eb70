// The leaves of loader.h's walk: one YAML scalar into one protobuf field, and the small questions around it. Inside the loader
// only. Functions that can fail return the reason as a text; empty means done.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/yaml.h>

#include <string>
#include <string_view>

namespace millrace::agent {

/// What `node` is, for messages: "a list", "the number 5", "\"text\"".
[[nodiscard]] std::string describe(const YAML::Node& node);

/// By its original name or its JSON (camelCase) name.
[[nodiscard]] const google::protobuf::FieldDescriptor* find_field(const google::protobuf::Descriptor& type,
                                                                  const std::string& name);
/// The field whose name is at most two edits away; empty: none.
[[nodiscard]] std::string nearest_field(const google::protobuf::Descriptor& type, std::string_view name);

/// Sets `field` (adds to it, when it is repeated). Not for messages.
[[nodiscard]] std::string read_scalar(const YAML::Node& node, google::protobuf::Message& into,
                                      const google::protobuf::FieldDescriptor& field);
[[nodiscard]] std::string read_map_key(const std::string& key, google::protobuf::Message& entry,
                                       const google::protobuf::FieldDescriptor& field);
/// google.protobuf.Duration, Timestamp, FieldMask: messages that JSON writes as text.
[[nodiscard]] std::string read_text_message(const YAML::Node& node, google::protobuf::Message& into);
/// google.protobuf.Value from a scalar or null.
void read_plain_value(const YAML::Node& node, google::protobuf::Message& into);

/// The entry of a map field with this key (as text), or null.
[[nodiscard]] google::protobuf::Message* find_map_entry(google::protobuf::Message& owner,
                                                        const google::protobuf::FieldDescriptor& field, const std::string& key);
/// Equal messages give equal bytes.
[[nodiscard]] std::string serialize(const google::protobuf::Message& message);

}  // namespace millrace::agent
