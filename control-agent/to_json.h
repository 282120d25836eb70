// A protobuf message as JSON for the admin pages: the proto3 mapping with original field names, as Envoy's admin prints it. The
// content of an Any stands unpacked beside its "@type"; one of unknown type, or whose bytes do not parse, keeps base64 in
// "value". What may be a secret (udpa.annotations.sensitive) is written as "[redacted]", names of files included, as Envoy does.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>

namespace millrace::agent {

/// Fields that are not set do not appear. Nesting beyond 100 levels of Any or message is cut off as null.
[[nodiscard]] nlohmann::ordered_json to_json(const google::protobuf::Message& message);

}  // namespace millrace::agent
