// What request and response fields are made of: hop-by-hop fields (RFC 9110 7.6.1), comma-separated lists, x-forwarded-for,
// request ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "dataplane/base/addresses.h"
#include "dataplane/base/rng.h"
#include "dataplane/http/header_map.h"

namespace millrace::proxy {

/// Of ASCII letters; all else as it is.
[[nodiscard]] constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

[[nodiscard]] bool equal_ignoring_case(std::string_view a, std::string_view b);
/// "http" or "https", whatever the case; empty for all else.
[[nodiscard]] std::string_view canonical_scheme(std::string_view scheme);
/// Without spaces and tabs at either end.
[[nodiscard]] std::string_view trim(std::string_view text);

/// "host:8080" and "[::1]:8080" without the port; the text itself when it has none.
[[nodiscard]] std::string_view host_without_port(std::string_view authority);

/// The trusted client's address in an x-forwarded-for value: the (hops_to_skip + 1)th from the right.
struct ForwardedClient {
  bool found = false;
  bool only = false;      ///< it is the only one and none was to be skipped: the field may tell an internal client
  SocketAddress address;  ///< port 0 unless the field states one
};
[[nodiscard]] ForwardedClient last_forwarded_for(std::string_view value, std::uint32_t hops_to_skip);

/// Joins all fields of that name and `value` to one field. False: out of memory.
[[nodiscard]] bool append_to_list(http::HeaderMap& headers, http::HeaderId id, std::string_view value,
                                  std::string_view separator);

/// Removes the hop-by-hop fields and those that Connection names, Connection and Upgrade included; keeps "te: trailers". Names
/// that a client must not be able to remove (x-forwarded-*, x-envoy-*, content-length and the like) are not obeyed.
/// False: out of memory.
[[nodiscard]] bool strip_hop_by_hop(http::HeaderMap& headers);

/// Writes a random UUID (RFC 9562 5.4, version 4).
inline constexpr std::size_t kUuidBytes = 36;
void write_uuid(Rng& rng, std::span<char, kUuidBytes> out);

/// Writes `value` in decimal; returns a view of it.
inline constexpr std::size_t kMaxDecimalBytes = 20;
std::string_view write_decimal(std::uint64_t value, std::span<char, kMaxDecimalBytes> out);

}  // namespace millrace::proxy
