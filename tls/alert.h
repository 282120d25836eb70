// What one side tells the other before it ends a session (RFC 8446 6, RFC 5246 7.2).
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace::tls {

/// The values on the wire.
enum class Alert : std::uint8_t {
#define MR_TLS_ALERT(name, number, text) name = number,
#include "tls/alert.def"
#undef MR_TLS_ALERT
};

inline constexpr Alert kAlerts[] = {
#define MR_TLS_ALERT(name, number, text) Alert::name,
#include "tls/alert.def"
#undef MR_TLS_ALERT
};

/// In lower case with underscores, as the RFC writes it; "unknown" for any other value.
[[nodiscard]] std::string_view to_text(Alert alert);

}  // namespace millrace::tls
