// The bootstrap's overload_manager -> config::Overload, and the plan of the agent's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "config/model/overload.h"
#include "control-agent/translate.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

/// Null: nothing is watched. Sets context.overload where there is something to watch.
[[nodiscard]] std::shared_ptr<const config::Overload> translate_overload(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                                                                         const std::string& path, TranslateContext& context);

/// `overload` with a limit of the runtime's, unless a monitor limits connections. Null: neither says anything.
[[nodiscard]] std::shared_ptr<const config::Overload> with_connection_limit(std::shared_ptr<const config::Overload> overload,
                                                                            std::optional<std::uint64_t> limit,
                                                                            CellRegistry& cells, std::size_t workers);

}  // namespace millrace::agent
