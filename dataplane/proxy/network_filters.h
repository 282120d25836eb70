// The network filters that stand before the one that serves a connection.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "config/model/network_filter.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/connection_count.h"
#include "dataplane/proxy/policy/access_rules.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

/// What becomes of a connection.
struct Admission {
  enum class Kind : std::uint8_t { kServe, kClose, kHold };
  Kind kind = Kind::kServe;
  Duration delay = {};                        ///< of kHold: it is closed then, and nothing is read until then
  std::optional<AccessVerdict> verdict = {};  ///< by which it is closed; nothing: for another reason
};

/// Whether a connection is served, asked once, when its transport is ready (after a TLS handshake, and before its first byte,
/// which Envoy's filters wait for: what they decide by does not change). Each filter counts what it says; `count` takes the
/// places of those that limit. `info`: the addresses, the TLS session and the server name.
[[nodiscard]] Admission admit(std::span<const config::NetworkFilter> filters, const StreamInfo& info, std::uint32_t worker,
                              ConnectionCount& count, Instant now);

}  // namespace millrace::proxy
