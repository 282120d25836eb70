// Text with fields that are filled in per request: access log formats and header values.
// Source: Envoy's substitution format strings ("%REQ(X?Y):10%").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::config {

/// What one element of a format stands for; names as in Envoy's operators.
enum class FormatCommand : std::uint8_t {
  kLiteral,
#define MR_FORMAT(command, name) command,
#include "config/model/format_command.def"
#undef MR_FORMAT
};

struct FormatElement {
  FormatCommand command = FormatCommand::kLiteral;
  std::string text;  ///< the literal; the field name (lower case) of kReq, kResp, kTrailer; kQueryParam's parameter; kStartTime's
                     ///< strftime format; the filter that has left kDynamicMetadata
  std::string alternative;  ///< the second name of "%REQ(FIRST?SECOND)%"
  std::optional<std::uint32_t> max_length;
  std::vector<std::string> path = {};  ///< of kDynamicMetadata: keys, from the outside in; empty: all of it
};

/// Compiled by config/compile/format_compiler.h.
struct Format {
  std::vector<FormatElement> elements;
  std::string source;  ///< as configured
};

}  // namespace millrace::config
