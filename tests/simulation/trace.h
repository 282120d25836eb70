// The trace of a simulation: one line per frame on stderr.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "dataplane/base/time.h"
#include "tests/simulation/link.h"

namespace millrace::sim {

/// "12.345678 a> 32768>80 SA seq 1:1461 ack 1 win 512 lost". Numbers are the raw ones of the header.
void trace_frame(const std::string& port, Instant now, std::span<const std::uint8_t> frame, const Link::Outcome& outcome);

}  // namespace millrace::sim
