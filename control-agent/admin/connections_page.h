// /millrace/connections: what may be asked, and the answer as text, close to `ss -ti`, or JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control-agent/admin/gateway_view.h"
#include "control-agent/admin/parameters.h"
#include "dataplane/base/result.h"
#include "dataplane/report/connection_info.h"

namespace millrace::agent {

struct ConnectionsRequest {
  static constexpr std::size_t kDefaultLimit = 1'000;
  static constexpr std::size_t kMaxLimit = 100'000;

  report::ConnectionFilter filter;
  std::optional<std::uint32_t> worker;  ///< none: all
  std::size_t limit = kDefaultLimit;
  bool json = false;
};

/// An error says what is allowed. `workers`: how many there are.
[[nodiscard]] Result<ConnectionsRequest, std::string> parse_connections_request(const Parameters& parameters,
                                                                                std::size_t workers);

[[nodiscard]] std::string connections_text(const ConnectionList& list);
[[nodiscard]] std::string connections_json(const ConnectionList& list);

}  // namespace millrace::agent
