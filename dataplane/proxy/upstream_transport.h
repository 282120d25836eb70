// How the proxy reaches an endpoint: over the transport alone, or with TLS on it, as the cluster says.
#pragma once

#include <string>
#include <string_view>

#include "config/model/cluster.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::report {
struct ClusterStats;
}
namespace millrace::secure {
class SessionCache;
}

namespace millrace::proxy {

struct Runtime;

/// As stream::Connector::connect(), over `connector`. `tls`: null for plain text. `server_name`: what auto_sni makes of the
/// request, or empty; `sessions` of earlier connections there, null: none.
[[nodiscard]] stream::ByteStream* connect_upstream(Runtime& runtime, stream::Connector& connector, const SocketAddress& address,
                                                   const config::UpstreamTls* tls, std::string_view server_name,
                                                   secure::SessionCache* sessions, stream::ByteStreamEvents& events,
                                                   stream::CloseReason& reason, Instant now);

/// Within on_connected(): counts what TLS has agreed on, if there is any, and asks for the keep-alive of `cluster`.
void note_upstream_connected(stream::ByteStream& stream, const config::Cluster& cluster, report::ClusterStats& stats,
                             Instant now);
/// Within on_closed(): why TLS was refused, by us or by the endpoint, as access logs say it; empty: it was not. Counts that,
/// unless the stream was `connected`.
[[nodiscard]] std::string note_upstream_closed(const stream::ByteStream& stream, bool connected, report::ClusterStats& stats);

}  // namespace millrace::proxy
