#include "dataplane/proxy/upstream_transport.h"

#include <string>

#include "dataplane/proxy/runtime.h"
#include "dataplane/secure/tls_layer.h"
#include "tls/context_slot.h"

namespace millrace::proxy {

stream::ByteStream* connect_upstream(Runtime& runtime, const SocketAddress& address, const config::UpstreamTls* tls,
                                     std::string_view server_name, secure::SessionCache* sessions,
                                     stream::ByteStreamEvents& events, stream::CloseReason& reason, Instant now) {
  ProxyContext& context = runtime.context;
  if (tls == nullptr) return context.connector.connect(address, events, reason, now);
  tls::HandshakeOptions options;
  if (tls->auto_sni && !IpAddress::parse(server_name)) options.server_name = server_name;
  if (tls->auto_san_validation) options.expected_name = server_name;
  return context.tls.connect(context.connector, address, tls->slot->current(), std::move(options), sessions, events, reason, now);
}

}  // namespace millrace::proxy
