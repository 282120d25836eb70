// Bytes that the answer to a health check has to hold, prepared for being looked for in one pass (Knuth, Morris, Pratt).
#pragma once

#include <string>

#include "config/model/health_check.h"

namespace millrace::config {

[[nodiscard]] ExpectedBytes expect_bytes(std::string bytes);

}  // namespace millrace::config
