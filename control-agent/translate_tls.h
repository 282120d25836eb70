// Transport sockets -> slots with TLS contexts, and which of a cluster's sockets each endpoint gets. The contexts themselves are
// tls_plan.h's. For translate_*.cc only.
#pragma once

#include <google/protobuf/repeated_field.h>
#include <google/protobuf/struct.pb.h>

#include <memory>
#include <string>
#include <vector>

#include "config/model/cluster.h"
#include "control-agent/tls_secrets.h"
#include "control-agent/translate.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "tls/context_slot.h"

namespace millrace::agent {

/// static_resources.secrets. Names must be given and differ.
[[nodiscard]] std::shared_ptr<const StaticSecrets> collect_secrets(
    const google::protobuf::RepeatedPtrField<envoy::extensions::transport_sockets::tls::v3::Secret>& secrets,
    const std::string& path, Diagnostics& diagnostics);

/// A filter chain's: a DownstreamTlsContext. Null for a raw_buffer, and after an error. `http`: the chain serves HTTP.
[[nodiscard]] std::shared_ptr<tls::ContextSlot> translate_downstream_socket(
    const envoy::config::core::v3::TransportSocket& socket, bool http, const std::string& path, TranslateContext& context);

/// How an endpoint is reached.
struct UpstreamSocket {
  std::shared_ptr<const config::UpstreamTls> tls;                  ///< null: plain text
  std::shared_ptr<const config::ProxyProtocolOut> proxy_protocol;  ///< null: without a PROXY header
};

/// A cluster's transport_socket and transport_socket_matches.
class UpstreamSockets {
 public:
  /// None: endpoints are reached in plain text.
  UpstreamSockets() = default;
  /// Translates all of them, also those that no endpoint will get. `path` is the cluster's.
  UpstreamSockets(const envoy::config::cluster::v3::Cluster& cluster, const std::string& path, TranslateContext& context);

  [[nodiscard]] bool empty() const {
    return matches_.empty() && otherwise_.tls == nullptr && otherwise_.proxy_protocol == nullptr;
  }
  /// The socket of an endpoint: the first match whose criteria all stand in its metadata under "envoy.transport_socket_match",
  /// else the first that its locality's metadata satisfies, else the cluster's transport_socket.
  [[nodiscard]] UpstreamSocket choose(const envoy::config::core::v3::Metadata& endpoint,
                                      const envoy::config::core::v3::Metadata& locality) const;
  /// The TLS for which `values` stand instead of all metadata, or else that of the cluster's transport_socket.
  [[nodiscard]] std::shared_ptr<const config::UpstreamTls> choose(const google::protobuf::Struct& values) const;

 private:
  struct Match {
    google::protobuf::Struct criteria;
    UpstreamSocket socket;
  };

  [[nodiscard]] const Match* find(const google::protobuf::Struct& values) const;

  std::vector<Match> matches_;
  UpstreamSocket otherwise_;
};

}  // namespace millrace::agent
