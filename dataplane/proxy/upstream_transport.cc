#include "dataplane/proxy/upstream_transport.h"

#include "dataplane/proxy/runtime.h"
#include "dataplane/proxy/tls_stats.h"
#include "dataplane/report/cells.h"
#include "dataplane/secure/tls_layer.h"
#include "tls/context_slot.h"

namespace millrace::proxy {

stream::ByteStream* connect_upstream(Runtime& runtime, stream::Connector& connector, const SocketAddress& address,
                                     const config::UpstreamTls* tls, std::string_view server_name, secure::SessionCache* sessions,
                                     stream::ByteStreamEvents& events, stream::CloseReason& reason, Instant now) {
  ProxyContext& context = runtime.context;
  if (tls == nullptr) return connector.connect(address, events, reason, now);
  tls::HandshakeOptions options;
  if (tls->auto_sni && !IpAddress::parse(server_name)) options.server_name = server_name;
  if (tls->auto_san_validation) options.expected_name = server_name;
  return context.tls.connect(connector, address, tls->slot->current(), std::move(options), sessions, events, reason, now);
}

void note_upstream_connected(stream::ByteStream& stream, const config::Cluster& cluster, report::ClusterStats& stats,
                             Instant now) {
  if (cluster.keep_alive) stream.set_keep_alive(*cluster.keep_alive, now);
  if (const auto session = stream.session_facts()) count_tls_session(*session, stats.tls);
}

std::string note_upstream_closed(const stream::ByteStream& stream, bool connected, report::ClusterStats& stats) {
  const tls::HandshakeFailure* failure = stream.handshake_failure();
  if (failure == nullptr) return {};
  if (!connected) count_tls_failure(*failure, stats.tls);
  return "TLS_error: " + failure->text;
}

}  // namespace millrace::proxy
