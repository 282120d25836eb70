// One line per request into the worker's log ring; the agent writes the files. A line that is too long is cut, one that finds no
// room in the ring is dropped and counted there. Never waits, never allocates.
#pragma once

#include <cstddef>
#include <vector>

#include "config/model/listener.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

inline constexpr std::size_t kMaxAccessLogLineBytes = 8 * 1024;

void write_access_logs(const std::vector<config::AccessLog>& logs, const StreamInfo& info, const ProxyContext& context);

}  // namespace millrace::proxy
