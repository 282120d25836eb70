// The bootstrap's overload_manager and layered_runtime -> config::Overload, and the plan of the agent's thread. For
// translate_*.cc only.
#pragma once

#include <memory>
#include <string>

#include "config/model/overload.h"
#include "control-agent/translate.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

namespace millrace::agent {

/// Fills context.connection_limits from the static layers of `runtime`; the limit of the process stands there under the empty
/// name.
void read_runtime(const envoy::config::bootstrap::v3::LayeredRuntime& runtime, const std::string& path,
                  TranslateContext& context);

/// After read_runtime(). Null: nothing is watched and nothing limited. Sets context.overload where there is something to watch.
[[nodiscard]] std::shared_ptr<const config::Overload> translate_overload(const envoy::config::bootstrap::v3::Bootstrap& bootstrap,
                                                                         const std::string& path, TranslateContext& context);

}  // namespace millrace::agent
