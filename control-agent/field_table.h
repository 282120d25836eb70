// What becomes of each field of Envoy's API: one table (field_table.def) from which errors, docs and tests come.
#pragma once

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "control-agent/diagnostics.h"

namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpFilter;
}

namespace millrace::agent {

enum class FieldStatus : std::uint8_t { kActs, kHarmless, kRefused };

struct FieldRow {
  std::string_view message;  ///< full name
  std::string_view field;
  FieldStatus status;
  std::string_view note;  ///< see field_table.def
};

/// All rows, in the order of the file: messages in one block each.
[[nodiscard]] std::span<const FieldRow> field_table();
/// Null: no row, which means refused.
[[nodiscard]] const FieldRow* find_row(std::string_view message, std::string_view field);
/// Has the table a row for any field of the message? Without one it is unsupported where an Any holds it.
[[nodiscard]] bool has_message(std::string_view message);

/// Is it optional, and of a type that is not supported, or may it become one (config_discovery.type_urls)? Then it is left out.
[[nodiscard]] bool is_left_out(const envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter& filter);

/// Why an extension of this type is accepted and left out; empty: it is not. The list is tolerated_types.def.
[[nodiscard]] std::string_view tolerated(const google::protobuf::Any& config);

/// Walks all that is set in `message`: an error for every refused field and for every Any of unsupported type, an entry in
/// Diagnostics::harmless_fields() for every harmless one. A refused boolean that says false says nothing and passes.
/// An HTTP filter, or a route's word on one, with `is_optional` and an unsupported type is a warning and passed over, but for those
/// of deciding_types.def.
void check_fields(const google::protobuf::Message& message, const std::string& path, Diagnostics& diagnostics);

/// The table as Markdown, one section a message: the part of docs/configuration.md below its marker.
[[nodiscard]] std::string field_table_markdown();

}  // namespace millrace::agent
