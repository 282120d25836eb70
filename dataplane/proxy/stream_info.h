// What is known of one request, or of one connection that is passed through: filled in on its way through the proxy, read by
// formats (access log, header values) and counters. Texts point into the stream's arena, its connection, the configuration or
// constants.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"
#include "dataplane/http/message.h"
#include "dataplane/proxy/policy/metadata.h"

namespace millrace::config {
struct Route;
struct VirtualHost;
}  // namespace millrace::config

namespace millrace::tls {
struct SessionFacts;
}

namespace millrace::proxy {

enum class ResponseFlag : std::uint8_t {
#define MR_RESPONSE_FLAG(name, short_name, long_name) name,
#include "dataplane/proxy/response_flag.def"
#undef MR_RESPONSE_FLAG
};

class ResponseFlags {
 public:
  void set(ResponseFlag flag) { bits_ |= 1u << static_cast<unsigned>(flag); }
  [[nodiscard]] bool has(ResponseFlag flag) const { return (bits_ & (1u << static_cast<unsigned>(flag))) != 0; }
  [[nodiscard]] bool any() const { return bits_ != 0; }

 private:
  std::uint32_t bits_ = 0;
};

struct StreamInfo {
  // When. Instants are monotonic; never() where it has not happened. `start_wall` is nanoseconds since the Unix epoch.
  std::int64_t start_wall_nanoseconds = 0;
  Instant start;
  Instant request_received = Instant::never();       ///< last byte of the request
  Instant upstream_request_sent = Instant::never();  ///< last byte of the request handed to the upstream connection
  Instant upstream_response_started = Instant::never();
  Instant response_sent = Instant::never();  ///< last byte of the response

  // Who. `downstream_remote` is the trusted client address (from x-forwarded-for where configured), `downstream_peer` that of the
  // connection, as far as a PROXY header tells, `downstream_direct_remote` that of its packets.
  SocketAddress downstream_local;
  bool downstream_local_is_original = false;  ///< as ClientAddresses
  SocketAddress downstream_direct_remote;
  SocketAddress downstream_peer;
  SocketAddress downstream_remote;
  SocketAddress upstream_host;    ///< the endpoint's address; port 0: none was chosen
  SocketAddress upstream_remote;  ///< where the connection goes: it may have several
  SocketAddress upstream_local;
  std::string_view downstream_pipe;  ///< the path of the Unix socket that one of the first three stands for; empty: of none
  std::string_view upstream_pipe;    ///< the same of `upstream_remote`
  std::uint64_t connection_id = 0;
  std::uint64_t stream_id = 0;

  const tls::SessionFacts* downstream_tls = nullptr;  ///< null: plain text
  std::string_view client_cert_element;               ///< client_cert_element() of downstream_tls, or empty

  // What.
  const http::RequestHead* request = nullptr;
  const http::ResponseHead* response = nullptr;
  const http::HeaderMap* response_trailers = nullptr;
  std::uint16_t response_code = 0;         ///< 0: none was sent
  std::string_view response_code_details;  ///< Envoy's texts: "via_upstream", "route_not_found", "upstream_response_timeout", ...
  std::string_view upstream_transport_failure;
  std::string_view connection_termination_details;  ///< why a connection was closed: by which policy; empty: for nothing of that
  ResponseFlags flags;
  std::uint64_t bytes_received = 0;  ///< request body
  std::uint64_t bytes_sent = 0;      ///< response body
  std::uint32_t attempts = 0;        ///< upstream requests

  Metadata metadata;  ///< what filters have left

  // Where.
  const config::VirtualHost* virtual_host = nullptr;
  const config::Route* route = nullptr;
  std::string_view cluster;
  std::string_view filter_chain;
  std::string_view server_name;  ///< that the client asked for in TLS (SNI)
};

}  // namespace millrace::proxy
