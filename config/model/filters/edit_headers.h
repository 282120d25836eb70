// Changes of header fields by a filter, one after the other. Source: envoy.extensions.filters.http.header_mutation.v3.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "config/model/header_mutation.h"

namespace millrace::config {

/// The name of a field that is removed, or what is written.
using HeaderEdit = std::variant<std::string, HeaderMutation>;

/// Of one level.
struct HeaderEdits {
  std::vector<HeaderEdit> request;
  std::vector<HeaderEdit> response;
};

/// In the connection manager. Its edits come first, then those of routes, all levels'.
struct EditHeaders {
  HeaderEdits edits;
  bool most_specific_last = false;  ///< most_specific_header_mutations_wins
};

}  // namespace millrace::config
