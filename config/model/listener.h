// Listeners and what they run on their connections. Sources: envoy.config.listener.v3.Listener,
// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager,
// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/model/filter_chain_table.h"
#include "config/model/format.h"
#include "config/model/http_filter.h"
#include "config/model/network_filter.h"
#include "config/model/overload.h"
#include "config/model/proxy_protocol.h"
#include "config/model/route.h"
#include "config/model/scoped_routes.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/time.h"
#include "dataplane/report/cells.h"

namespace millrace::tls {
class ContextSlot;
}

namespace millrace::config {

/// envoy.extensions.access_loggers.{file,stream}.v3: one line per request into a sink that the agent writes.
struct AccessLog {
  std::uint32_t sink = 0;  ///< index of Snapshot::log_sinks
  Format format;
};

struct HttpConnectionManager {
  std::string stat_prefix;
  std::shared_ptr<const RouteTable> routes;  ///< never null; without virtual hosts as long as rds has brought none
  std::string route_config_name;             ///< rds.route_config_name; empty: the route configuration stands in the listener
  std::string route_config_source;           ///< of rds: the file; empty: a control plane
  /// scoped_routes: requests choose among tables, `routes` has nothing to say. Null: there is one table.
  std::shared_ptr<const ScopedRoutes> scoped;
  std::vector<AccessLog> access_logs;
  std::vector<HttpFilter> filters;  ///< without the router

  // Who the client is.
  bool use_remote_address = false;
  std::uint32_t xff_num_trusted_hops = 0;
  bool skip_xff_append = false;

  // What becomes of the path.
  bool normalize_path = false;
  bool merge_slashes = false;
  enum class EscapedSlashes : std::uint8_t { kKeep, kReject, kUnescapeAndRedirect, kUnescapeAndForward };
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  bool strip_any_host_port = false;
  bool strip_matching_host_port = false;

  // Times; zero disables each.
  Duration request_timeout;
  Duration request_headers_timeout;
  Duration stream_idle_timeout = Duration::seconds(300);
  Duration idle_timeout = Duration::seconds(3600);  ///< a connection without requests
  Duration max_connection_duration;
  Duration max_stream_duration;
  Duration drain_timeout = Duration::seconds(5);
  Duration delayed_close_timeout = Duration::seconds(1);

  // The codec.
  std::uint32_t max_request_headers_bytes = limits::kDefaultRequestHeadersBytes;
  std::uint32_t max_headers_count = limits::kDefaultHeaderCount;
  std::uint32_t max_requests_per_connection = 0;  ///< 0: no limit
  bool accept_http_10 = false;
  std::string default_host_for_http_10;
  bool allow_absolute_url = true;
  bool enable_trailers = false;
  enum class Underscores : std::uint8_t { kAllow, kReject, kDrop };
  Underscores underscores = Underscores::kAllow;

  // What is added to messages.
  enum class ServerHeader : std::uint8_t { kOverwrite, kAppendIfAbsent, kPassThrough };
  ServerHeader server_header = ServerHeader::kOverwrite;
  std::string server_name = "envoy";
  std::string via;  ///< empty: none
  bool generate_request_id = true;
  bool preserve_external_request_id = false;
  bool always_set_request_id_in_response = false;
  bool add_user_agent = false;  ///< sets x-envoy-downstream-service-cluster, as Envoy's add_user_agent
  std::string service_cluster;  ///< of the bootstrap's node
  std::string service_node;
  /// forward_client_cert_details: what becomes of x-forwarded-client-cert. The field of a client that has shown no certificate is
  /// removed by all but kAlwaysForwardOnly.
  enum class ForwardClientCert : std::uint8_t { kSanitize, kForwardOnly, kAppendForward, kSanitizeSet, kAlwaysForwardOnly };
  ForwardClientCert forward_client_cert = ForwardClientCert::kSanitize;
  /// set_current_client_cert_details: what kAppendForward and kSanitizeSet tell besides By and Hash.
  struct ClientCertDetails {
    bool subject = false;
    bool cert = false;   ///< the leaf, PEM, URL-encoded
    bool chain = false;  ///< the leaf and what came with it, likewise
    bool dns = false;
    bool uri = false;
    bool operator==(const ClientCertDetails&) const = default;
  };
  ClientCertDetails client_cert_details;
  bool suppress_envoy_headers = false;  ///< the router filter's
  bool append_local_overload = false;   ///< answers in overload say so: x-envoy-local-overloaded
  /// Endpoints that are told of clients by the PROXY protocol hear of this connection manager's, who then share no connections.
  bool add_proxy_protocol_connection_state = true;

  bool websocket = false;  ///< upgrade_configs holds "websocket"
  bool connect = false;    ///< upgrade_configs holds "CONNECT"

  std::shared_ptr<report::HttpCell> cell;
};

struct WeightedTcpCluster {
  std::string name;
  std::uint32_t weight = 0;
  /// What is asked of its endpoints, the proxy's own metadata_match included; null: nothing.
  std::shared_ptr<const MetadataMatch> metadata_match = {};
};

struct TcpProxy {
  std::string stat_prefix;
  std::vector<WeightedTcpCluster> clusters;  ///< one, or several by weight
  std::uint32_t total_weight = 0;
  /// A filter envoy.filters.network.sni_cluster stands before it: the cluster is named by the client's SNI, where it sends one.
  bool cluster_from_server_name = false;
  bool hash_source_ip = false;  ///< hash_policy: clients of one address keep together
  std::uint32_t max_connect_attempts = 1;
  Duration idle_timeout = Duration::seconds(3600);  ///< without a byte in either direction; zero: none
  Duration max_connection_duration;                 ///< max_downstream_connection_duration; zero: none
  std::vector<AccessLog> access_logs;
  bool log_when_connected = false;  ///< one line more, when the endpoint has answered
  Duration log_interval = {};       ///< between lines of a connection that goes on; zero: there are none
  std::shared_ptr<report::TcpCell> cell;
};

/// envoy.extensions.filters.network.direct_response.v3.Config: what every connection gets, and then its end.
struct DirectText {
  std::string text;
};

/// envoy.extensions.filters.network.echo.v3.Echo: every connection gets what it sends.
struct Echo {};

struct FilterChain {
  std::string name;
  std::uint64_t content_hash = 0;         ///< equal content, equal hash
  std::shared_ptr<tls::ContextSlot> tls;  ///< null: plain text
  /// Until the TLS handshake is done; zero: no limit. Envoy has none by default.
  Duration transport_socket_connect_timeout = Duration::seconds(15);
  std::vector<NetworkFilter> network_filters;  ///< asked before `filter` serves a connection
  std::variant<HttpConnectionManager, TcpProxy, DirectText, Echo> filter;

  /// Null: it is the other one.
  [[nodiscard]] const HttpConnectionManager* http() const { return std::get_if<HttpConnectionManager>(&filter); }
  [[nodiscard]] HttpConnectionManager* http() { return std::get_if<HttpConnectionManager>(&filter); }
  [[nodiscard]] const TcpProxy* tcp() const { return std::get_if<TcpProxy>(&filter); }
  [[nodiscard]] TcpProxy* tcp() { return std::get_if<TcpProxy>(&filter); }
};

/// What a connection has to show before its chain is chosen: listener_filters.
struct Inspection {
  std::optional<ProxyProtocolIn> proxy_protocol;  ///< envoy.filters.listener.proxy_protocol, before the others
  bool tls = false;                               ///< envoy.filters.listener.tls_inspector, or a chain needs it
  bool http = false;                              ///< envoy.filters.listener.http_inspector
  std::uint32_t max_client_hello_bytes = 16 * 1024;
  Duration timeout = Duration::seconds(15);  ///< listener_filters_timeout; zero: none
  bool continue_on_timeout = false;          ///< with what is known by then
  std::shared_ptr<report::InspectorCell> cell;

  [[nodiscard]] bool is_needed() const { return proxy_protocol || tls || http; }
};

/// A Unix socket that is listened at.
struct Pipe {
  SocketAddress address;   ///< SocketAddress::of_pipe(path)
  std::string path;        ///< "@name": an abstract one, which has no file
  std::uint32_t mode = 0;  ///< permission bits of the file; 0: as the process makes files
};

struct Listener {
  std::string name;
  /// address and additional_addresses; unspecified: all of the ports' addresses, and the host's loopback.
  std::vector<SocketAddress> addresses;
  std::vector<Pipe> pipes;  ///< what those of `addresses` are that stand for one
  std::uint32_t buffer_limit_bytes = limits::kDefaultConnectionBufferBytes;
  std::vector<FilterChain> chains;  ///< filter_chains in their order, then default_filter_chain
  FilterChainTable table;           ///< which of `chains`
  Inspection inspection;
  bool knows_original_dst = false;                         ///< listener filter original_dst, or use_original_dst
  std::uint64_t connection_limit = kUnlimitedConnections;  ///< of all workers
  bool ignores_global_limit = false;                       ///< its connections count, but are not limited by the others
  bool bypasses_overload = false;                          ///< bypass_overload_manager
  std::uint64_t content_hash = 0;                          ///< of all but its chains: equal content, equal hash
  std::shared_ptr<report::ListenerCell> cell;

  /// Null: `address` is an IP address.
  [[nodiscard]] const Pipe* pipe_at(const SocketAddress& address) const {
    if (!address.is_pipe()) return nullptr;
    const auto at = std::ranges::find(pipes, address, &Pipe::address);
    return at == pipes.end() ? nullptr : &*at;
  }
  /// Empty: `address` is an IP address.
  [[nodiscard]] std::string_view pipe_path(const SocketAddress& address) const {
    const Pipe* pipe = pipe_at(address);
    return pipe == nullptr ? std::string_view() : pipe->path;
  }
  /// As Envoy writes it: "198.18.0.2:80", or a path.
  [[nodiscard]] std::string address_text(const SocketAddress& address) const {
    const Pipe* pipe = pipe_at(address);
    return pipe == nullptr ? address.to_string() : pipe->path;
  }
};

}  // namespace millrace::config
