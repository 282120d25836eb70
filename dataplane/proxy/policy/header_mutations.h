// request_headers_to_add and its like, at four levels, in Envoy's order: weighted cluster, route, virtual host, route
// configuration (so the least specific has the last word), reversed by most_specific_header_mutations_wins. On each level what is
// removed is removed first, then overwriting values are set, then the others added.
#pragma once

#include <span>

#include "config/model/route.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/format.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

/// The levels that apply to a stream; null: none.
struct MutationLevels {
  const config::RouteTable* table = nullptr;
  const config::VirtualHost* virtual_host = nullptr;
  const config::Route* route = nullptr;
  const config::WeightedCluster* cluster = nullptr;
};

/// One list of them. False: the arena or the field limit is exhausted; some mutations may have been made.
[[nodiscard]] bool apply_mutations(std::span<const config::HeaderMutation> mutations, http::HeaderMap& headers,
                                   const StreamInfo& info, const FormatEnvironment& environment);
/// Of all levels. The same result.
[[nodiscard]] bool apply_request_mutations(const MutationLevels& levels, http::RequestHead& head, const StreamInfo& info,
                                           const FormatEnvironment& environment);
/// For responses from upstream and, once a route was found, for local replies too. The same result.
[[nodiscard]] bool apply_response_mutations(const MutationLevels& levels, http::ResponseHead& head, const StreamInfo& info,
                                            const FormatEnvironment& environment);

}  // namespace millrace::proxy
