// Files that workers' lines go to. For translate_*.cc only; access loggers themselves: translate_http.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model/snapshot.h"

namespace millrace::agent {

/// The sink with that path, added where there is none.
[[nodiscard]] std::uint32_t log_sink_index(std::string path, std::vector<config::LogSink>& sinks);

}  // namespace millrace::agent
