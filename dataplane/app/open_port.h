// Opens a port of the configuration with what stands before its device: the model of a SmartNIC, and rules in software.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/model/dataplane.h"
#include "dataplane/base/flow_rule.h"
#include "dataplane/base/result.h"
#include "nic/mbuf_pool.h"
#include "nic/port.h"

namespace millrace::app {

/// All rules that hold at `port`, in their order.
[[nodiscard]] std::vector<FlowRule> rules_at(const config::Dataplane& machine, const std::string& port);

/// The port with number `index` in `machine.ports`. Packets come from `pool`. The error is for the operator.
[[nodiscard]] Result<std::unique_ptr<nic::Port>, std::string> open_port(const config::Dataplane& machine, std::size_t index,
                                                                        nic::MbufPool& pool);

}  // namespace millrace::app
