// Takes secrets out of messages that leave the gateway, by the rules of to_json.h.
#pragma once

#include <google/protobuf/message.h>

namespace millrace::agent {

/// What may be a secret (udpa.annotations.sensitive) becomes "[redacted]" where it is a text and is left out where it is not,
/// also inside of an Any. Nesting beyond 100 levels is cut off.
void redact(google::protobuf::Message& message);

}  // namespace millrace::agent
