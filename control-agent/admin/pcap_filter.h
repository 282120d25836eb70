// A tcpdump expression, compiled by libpcap and run over frames by its interpreter.
#pragma once

#include <memory>
#include <string>

#include "dataplane/base/result.h"
#include "dataplane/report/capture.h"

namespace millrace::agent {

/// For Ethernet frames. An error is libpcap's.
[[nodiscard]] Result<std::shared_ptr<const report::FrameFilter>, std::string> compile_pcap_filter(const std::string& expression);

}  // namespace millrace::agent
