// What a congestion control may look at.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace::tcp {

struct PathView {
  std::uint32_t cwnd = 0;    ///< bytes
  std::uint32_t flight = 0;  ///< bytes outstanding
  std::uint32_t mss = 0;     ///< bytes
  Duration srtt;
  Instant now;
};

}  // namespace millrace::tcp
