// The domain index of a route table: which virtual host answers for a host name.
// Order of search, as in Envoy: exact, "*.suffix" (longest first), "prefix.*" (longest first), "*".
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/model/route.h"

namespace millrace::config {

struct DomainError {
  std::size_t virtual_host = 0;  ///< index into RouteTable::virtual_hosts
  std::size_t domain = 0;        ///< index into its domains
  std::string reason;
};

/// Lower-cases the domains of `table` and fills its index from them. Returns every domain that is empty, is given twice in the
/// table, or holds a "*" elsewhere than at one end; the index then lacks those.
[[nodiscard]] std::vector<DomainError> index_domains(RouteTable& table);

}  // namespace millrace::config
