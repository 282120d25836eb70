// What the admin pages want to know from the workers themselves: letters to their mailboxes, with a deadline for each answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "control-agent/admin/gateway_view.h"
#include "dataplane/worker/control.h"

namespace millrace::app {

/// See GatewayView::connections(). `worker` is an index of `controls`.
[[nodiscard]] agent::ConnectionList ask_for_connections(std::deque<worker::Control>& controls,
                                                        const report::ConnectionFilter& filter,
                                                        std::optional<std::uint32_t> worker, std::size_t limit);

/// See GatewayView::start_capture(). `running` counts sessions, which must end before it and `controls` do.
[[nodiscard]] Result<std::unique_ptr<agent::CaptureSession>, std::string> begin_capture(std::deque<worker::Control>& controls,
                                                                                        std::atomic<std::size_t>& running,
                                                                                        const report::CaptureOrder& order);

}  // namespace millrace::app
