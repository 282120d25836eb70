// Checks every `validate.rules` option that the Envoy API carries, by reflection: no generated validators. Goes into nested
// messages, lists, maps, and into an Any whose type this program knows. Meaning of the rules: protoc-gen-validate 1.0.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "control-agent/diagnostics.h"

namespace millrace::agent {

/// Reports each broken rule at its path, which starts with `path`.
void validate_rules(const google::protobuf::Message& message, const std::string& path, Diagnostics& diagnostics);

}  // namespace millrace::agent
