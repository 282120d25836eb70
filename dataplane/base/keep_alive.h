// How a silent peer is asked whether it is still there (RFC 9293 3.8.4), in whole seconds as sockets have it.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"

namespace millrace {

/// The defaults and limits are those of Linux.
struct KeepAlive {
  static constexpr std::uint32_t kMostSeconds = 32'767;
  static constexpr std::uint32_t kMostProbes = 127;

  std::uint16_t idle_seconds = 7'200;   ///< silence before the first question, 1 to kMostSeconds
  std::uint16_t interval_seconds = 75;  ///< between questions, likewise
  std::uint8_t probes = 9;              ///< that go unanswered before the connection ends, 1 to kMostProbes

  [[nodiscard]] Duration idle() const { return Duration::seconds(idle_seconds); }
  [[nodiscard]] Duration interval() const { return Duration::seconds(interval_seconds); }
};

}  // namespace millrace
