// The hash by which a consistent load balancer keeps requests together that a route's hash policies call alike. Values are
// Envoy's, so that the same request meets the same endpoint behind either.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/model/hash_policy.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

/// A Set-Cookie value that a client is to get with the response, in the arena.
struct MadeCookie {
  std::string_view value;
  const MadeCookie* next = nullptr;
};

struct RequestHash {
  std::optional<std::uint64_t> hash = {};  ///< nothing: no policy has found what it looks for
  const MadeCookie* cookies = nullptr;     ///< in the order of the policies
};

/// As `head` has come to the router. `info`: its addresses. What the arena has no room for is left out, and gives no hash.
[[nodiscard]] RequestHash hash_of(const config::HashPolicies& policies, const http::RequestHead& head, const StreamInfo& info,
                                  std::uint32_t worker, Arena& arena);

/// Of a client's address without its port: hash_policy of a TCP proxy, and of connection_properties.
[[nodiscard]] std::uint64_t source_ip_hash(const SocketAddress& client);

/// The value of the first cookie of that name, without quotes; empty: none.
[[nodiscard]] std::string_view cookie_value(const http::HeaderMap& headers, std::string_view name);

}  // namespace millrace::proxy
