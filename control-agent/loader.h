// YAML or JSON text becomes a protobuf message: one walk over yaml-cpp's nodes, which know their lines, and protobuf reflection.
// Follows the proto3 JSON mapping (protobuf.dev, "ProtoJSON format"): camelCase and original names, enums by name or number,
// 64-bit integers as strings, base64 bytes, durations, timestamps, wrappers, Struct, Any. JSON is read as the YAML that it is.
// Checks form only: what the values mean is for validate_rules.h and translate.h.
#pragma once

#include <google/protobuf/message.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "control-agent/diagnostics.h"

namespace millrace::agent {

inline constexpr std::size_t kMaxConfigBytes = 64 * 1024 * 1024;
inline constexpr std::size_t kMaxConfigDepth = 100;        ///< of nested mappings and sequences
inline constexpr std::size_t kMaxConfigNodes = 1'000'000;  ///< aliases count each time they are used

struct ParseOptions {
  /// Unknown fields are warnings instead of errors.
  bool allow_unknown_fields = false;
  std::size_t max_nodes = kMaxConfigNodes;
};

/// Merges `text` into `message` as Envoy merges --config-yaml over --config-path: scalars replace, messages merge, lists grow.
/// `file` is the name in errors. Every field's line goes to `places`, every error to `diagnostics`; the message holds what was
/// good. True: no error in this text.
bool parse_text(std::string_view text, const std::string& file, const ParseOptions& options, google::protobuf::Message& message,
                SourceMap& places, Diagnostics& diagnostics);

/// Reads `file` and parses it. A file that cannot be read, or is larger than kMaxConfigBytes, is an error.
bool parse_file(const std::string& file, const ParseOptions& options, google::protobuf::Message& message, SourceMap& places,
                Diagnostics& diagnostics);

/// The message type behind "type.googleapis.com/a.b.C", or null when this program does not know it.
[[nodiscard]] const google::protobuf::Descriptor* find_any_type(std::string_view type_url);

}  // namespace millrace::agent
