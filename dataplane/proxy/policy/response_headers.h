// What the router and the connection manager do to a response before it goes to the client.
#pragma once

#include <string_view>

#include "config/model/listener.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/header_mutations.h"
#include "dataplane/proxy/stream_info.h"

namespace millrace::proxy {

/// The router's part, for responses from upstream only: x-envoy-upstream-service-time, then the route's mutations.
/// `service_time`: from the request's last byte handed to upstream to the response's head. False: out of memory.
[[nodiscard]] bool prepare_upstream_response(const config::HttpConnectionManager& manager, const MutationLevels& levels,
                                             http::ResponseHead& head, const StreamInfo& info, Duration service_time,
                                             const FormatEnvironment& environment);

/// The connection manager's part, for every response, local ones too: hop-by-hop fields, server, date (if missing: `date` in
/// the form of RFC 9110 5.6.7), via, x-request-id. `request` is null when there was none to speak of. False: out of memory.
[[nodiscard]] bool prepare_response(const config::HttpConnectionManager& manager, const http::RequestHead* request,
                                    http::ResponseHead& head, std::string_view date);

/// x-envoy-attempt-count, where the virtual host wants it and there was a try. False: out of memory.
[[nodiscard]] bool set_response_attempt_count(const MutationLevels& levels, http::ResponseHead& head, const StreamInfo& info);

}  // namespace millrace::proxy
