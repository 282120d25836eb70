// Why an upstream request failed. One row each in upstream_failure.def.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

enum class UpstreamFailure : std::uint8_t {
#define MR_UPSTREAM_FAILURE(name, status, flag, text, token) name,
#include "dataplane/proxy/upstream_failure.def"
#undef MR_UPSTREAM_FAILURE
};

struct UpstreamFailureRow {
  std::uint16_t status;
  ResponseFlag flag;
  std::string_view text;    ///< "connection termination"
  std::string_view before;  ///< "upstream_reset_before_response_started{connection_termination}"
  std::string_view after;   ///< "upstream_reset_after_response_started{connection_termination}"
};
[[nodiscard]] const UpstreamFailureRow& row_of(UpstreamFailure failure);

}  // namespace millrace::proxy
