#include "control-agent/xds/server_plan.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "control-agent/message_visitor.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
using core::ApiConfigSource;
using core::DataSource;
using core::GrpcService;
using envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

namespace {

constexpr std::uint32_t kEnvoyMajor = 1;
constexpr std::uint32_t kEnvoyMinor = 34;

std::string quote(const std::string& text) { return "\"" + text + "\""; }

bool has_pipe(const ClusterMessage& cluster) {
  return std::ranges::any_of(cluster.load_assignment().endpoints(), [](const auto& locality) {
    return std::ranges::any_of(locality.lb_endpoints(),
                               [](const auto& endpoint) { return endpoint.endpoint().address().has_pipe(); });
  });
}

class Planner {
 public:
  Planner(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics)
      : bootstrap_(bootstrap), diagnostics_(diagnostics) {}

  XdsServer server(const GrpcService& service, const std::string& path) {
    XdsServer out;
    if (service.has_envoy_grpc()) {
      from_cluster(service.envoy_grpc(), join_path(path, "envoy_grpc"), out);
    } else if (service.has_google_grpc()) {
      from_uri(service.google_grpc(), join_path(path, "google_grpc"), out);
    } else {
      error(path, "must be set: envoy_grpc with a cluster, or google_grpc with a target_uri");
    }
    for (const core::HeaderValue& header : service.initial_metadata())
      out.metadata.emplace_back(header.key(), header.value().empty() ? header.raw_value() : header.value());
    return out;
  }

  [[nodiscard]] bool ok() const { return ok_; }
  void error(const std::string& path, std::string reason) {
    ok_ = false;
    diagnostics_.error(path, std::move(reason));
  }

 private:
  void from_cluster(const GrpcService::EnvoyGrpc& grpc, const std::string& path, XdsServer& out) {
    const auto& clusters = bootstrap_.static_resources().clusters();
    const auto at =
        std::ranges::find_if(clusters, [&](const ClusterMessage& known) { return known.name() == grpc.cluster_name(); });
    if (at == clusters.end()) {
      return error(join_path(path, "cluster_name"),
                   "there is no cluster " + quote(grpc.cluster_name()) + " in static_resources.clusters: define it there");
    }
    const std::string cluster_path =
        index_path("static_resources.clusters", static_cast<std::size_t>(std::distance(clusters.begin(), at)));
    out.name = at->name();
    out.authority = grpc.authority();
    if (at->has_connect_timeout()) out.connect_timeout = to_duration(at->connect_timeout());
    out.target = target_of(*at, cluster_path);
    if (at->has_transport_socket()) tls_of(at->transport_socket(), join_path(cluster_path, "transport_socket"), out);
    const auto& options = at->typed_extension_protocol_options();
    const auto http = options.find("envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
    HttpProtocolOptions protocol;
    if (http != options.end() && http->second.UnpackTo(&protocol)) {
      const auto& keepalive = protocol.explicit_http_config().http2_protocol_options().connection_keepalive();
      if (keepalive.has_interval()) out.keepalive_interval = to_duration(keepalive.interval());
      if (keepalive.has_timeout()) out.keepalive_timeout = to_duration(keepalive.timeout());
    }
    // A connection that is idle for so long is asked whether it lives: by HTTP/2's ping, which gRPC has, instead of TCP's probe.
    const auto& tcp = at->upstream_connection_options().tcp_keepalive();
    if (out.keepalive_interval.is_infinite() && tcp.has_keepalive_time())
      out.keepalive_interval = Duration::seconds(tcp.keepalive_time().value());
  }

  // Several addresses are tried in their order.
  std::string target_of(const ClusterMessage& cluster, const std::string& path) {
    std::string scheme;
    std::string list;
    for (const auto& locality : cluster.load_assignment().endpoints()) {
      for (const auto& endpoint : locality.lb_endpoints()) {
        const auto& address = endpoint.endpoint().address();
        if (address.has_pipe()) return "unix:" + address.pipe().path();
        const auto& socket = address.socket_address();
        const bool is_name = cluster.type() == ClusterMessage::STRICT_DNS || cluster.type() == ClusterMessage::LOGICAL_DNS;
        const bool v6 = socket.address().find(':') != std::string::npos;
        const std::string host = v6 ? "[" + socket.address() + "]" : socket.address();
        const std::string text = host + ":" + std::to_string(socket.port_value());
        if (is_name) return "dns:///" + text;
        const std::string own = v6 ? "ipv6:" : "ipv4:";
        if (!scheme.empty() && own != scheme) continue;
        scheme = own;
        list += (list.empty() ? "" : ",") + text;
      }
    }
    if (list.empty()) error(join_path(path, "load_assignment"), "must have an endpoint: a management server is reached by it");
    return scheme + list;
  }

  void tls_of(const core::TransportSocket& socket, const std::string& path, XdsServer& out) {
    UpstreamTlsContext context;
    if (!socket.typed_config().UnpackTo(&context)) return;  // raw_buffer: field_table.h has refused all others
    const std::string at = join_path(path, "typed_config.common_tls_context");
    const auto& common = context.common_tls_context();
    XdsServer::Tls tls;
    tls.server_name = context.sni();
    if (common.has_validation_context_sds_secret_config() || common.has_combined_validation_context() ||
        common.tls_certificate_sds_secret_configs_size() > 0) {
      return error(at,
                   "secrets of a connection to a management server must stand here or in files: use tls_certificates and "
                   "validation_context");
    }
    const auto& validation = common.validation_context();
    if (validation.match_typed_subject_alt_names_size() > 0) {
      return error(join_path(at, "validation_context.match_typed_subject_alt_names"),
                   "is not checked on connections to a management server: give its name as sni, which its certificate must have");
    }
    tls.trusted_ca = text_of(validation.trusted_ca(), join_path(at, "validation_context.trusted_ca"));
    refuse_what_is_not_used(context, path);
    if (common.tls_certificates_size() > 0) {
      const auto& certificate = common.tls_certificates(0);
      tls.certificate_chain = text_of(certificate.certificate_chain(), join_path(at, "tls_certificates[0].certificate_chain"));
      tls.private_key = text_of(certificate.private_key(), join_path(at, "tls_certificates[0].private_key"));
    }
    out.tls = std::move(tls);
  }

  // A connection must not be less secure than its configuration says.
  void refuse_what_is_not_used(UpstreamTlsContext context, const std::string& path) {
    context.clear_sni();
    auto& common = *context.mutable_common_tls_context();
    common.clear_alpn_protocols();  // gRPC offers h2
    common.mutable_validation_context()->clear_trusted_ca();
    if (common.tls_certificates_size() > 0) {
      common.mutable_tls_certificates(0)->clear_certificate_chain();
      common.mutable_tls_certificates(0)->clear_private_key();
    }
    const std::string at = join_path(path, "typed_config");
    refuse_fields(common.validation_context(), join_path(at, "common_tls_context.validation_context"));
    common.clear_validation_context();
    for (int i = 0; i < common.tls_certificates_size(); ++i) {
      const std::string certificate =
          index_path(join_path(at, "common_tls_context.tls_certificates"), static_cast<std::size_t>(i));
      if (i == 0) {
        refuse_fields(common.tls_certificates(i), certificate);
      } else {
        error(certificate, "is one too many: connections to a management server show one certificate");
      }
    }
    common.clear_tls_certificates();
    refuse_fields(common, join_path(at, "common_tls_context"));
    context.clear_common_tls_context();
    refuse_fields(context, at);
  }

  void refuse_fields(const google::protobuf::Message& message, const std::string& path) {
    std::vector<const google::protobuf::FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const auto* field : fields)
      error(join_path(path, field->name()), "has no effect on connections to a management server: remove it");
  }

  void from_uri(const GrpcService::GoogleGrpc& grpc, const std::string& path, XdsServer& out) {
    out.name = grpc.stat_prefix().empty() ? grpc.target_uri() : grpc.stat_prefix();
    out.target = grpc.target_uri();
    const auto& credentials = grpc.channel_credentials();
    if (!credentials.has_ssl_credentials()) return;
    const auto& ssl = credentials.ssl_credentials();
    const std::string at = join_path(path, "channel_credentials.ssl_credentials");
    out.tls = XdsServer::Tls{.trusted_ca = text_of(ssl.root_certs(), join_path(at, "root_certs")),
                             .certificate_chain = text_of(ssl.cert_chain(), join_path(at, "cert_chain")),
                             .private_key = text_of(ssl.private_key(), join_path(at, "private_key")),
                             .server_name = {}};
  }

  std::string text_of(const DataSource& source, const std::string& path) {
    switch (source.specifier_case()) {
      case DataSource::kInlineString: return source.inline_string();
      case DataSource::kInlineBytes: return source.inline_bytes();
      case DataSource::kEnvironmentVariable: {
        const char* value = std::getenv(source.environment_variable().c_str());
        if (value != nullptr) return value;
        error(join_path(path, "environment_variable"), "the environment has no variable " + quote(source.environment_variable()));
        return {};
      }
      case DataSource::kFilename: {
        std::ifstream file(source.filename(), std::ios::binary);
        std::string text{std::istreambuf_iterator<char>(file), {}};
        if (!file || text.empty()) error(join_path(path, "filename"), "the file " + quote(source.filename()) + " cannot be read");
        return text;
      }
      case DataSource::SPECIFIER_NOT_SET: return {};
    }
    return {};
  }

  const envoy::config::bootstrap::v3::Bootstrap& bootstrap_;
  Diagnostics& diagnostics_;
  bool ok_ = true;
};

}  // namespace

std::set<std::string> management_clusters(const envoy::config::bootstrap::v3::Bootstrap& bootstrap) {
  std::set<std::string> named;
  visit_messages(bootstrap, [&named](const google::protobuf::Message& message) {
    if (message.GetDescriptor() != ApiConfigSource::descriptor()) return;
    for (const GrpcService& service : static_cast<const ApiConfigSource&>(message).grpc_services())
      named.insert(service.envoy_grpc().cluster_name());
  });
  std::set<std::string> out;
  for (const ClusterMessage& cluster : bootstrap.static_resources().clusters()) {
    if (!named.contains(cluster.name()) && !has_pipe(cluster)) continue;
    bool http2 = cluster.has_http2_protocol_options();
    for (const auto& [key, any] : cluster.typed_extension_protocol_options()) {
      HttpProtocolOptions options;
      if (any.Is<HttpProtocolOptions>() && any.UnpackTo(&options))
        http2 = http2 || options.explicit_http_config().has_http2_protocol_options();
    }
    if (http2) out.insert(cluster.name());
  }
  return out;
}

core::Node make_node(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, const std::string& service_node,
                     const std::string& service_cluster) {
  core::Node out = bootstrap.node();
  out.set_id(service_node);
  out.set_cluster(service_cluster);
  // Control planes choose by these what they send: we understand what an Envoy of this version does.
  out.set_user_agent_name("envoy");
  out.mutable_user_agent_build_version()->mutable_version()->set_major_number(kEnvoyMajor);
  out.mutable_user_agent_build_version()->mutable_version()->set_minor_number(kEnvoyMinor);
  for (const char* feature : {"xds.config.supports-resource-ttl", "xds.config.supports-resource-in-sotw"})
    out.add_client_features(feature);
  return out;
}

std::optional<XdsServerGroup> plan_servers(const ApiConfigSource& source, const std::string& path,
                                           const envoy::config::bootstrap::v3::Bootstrap& bootstrap, Diagnostics& diagnostics) {
  Planner planner(bootstrap, diagnostics);
  XdsServerGroup out;
  switch (source.api_type()) {
    case ApiConfigSource::GRPC:
    case ApiConfigSource::AGGREGATED_GRPC: out.protocol = XdsProtocol::kStateOfTheWorld; break;
    case ApiConfigSource::DELTA_GRPC:
    case ApiConfigSource::AGGREGATED_DELTA_GRPC: out.protocol = XdsProtocol::kDelta; break;
    default: planner.error(join_path(path, "api_type"), "must be GRPC or DELTA_GRPC: REST is not spoken");
  }
  out.node_on_first_message_only = source.set_node_on_first_message_only();
  if (source.has_rate_limit_settings()) {
    const auto& limit = source.rate_limit_settings();
    out.rate_limit = XdsRateLimit{.max_tokens = limit.has_max_tokens() ? limit.max_tokens().value() : 100.0,
                                  .fill_rate = limit.has_fill_rate() ? std::max(limit.fill_rate().value(), 1.0 / 64) : 10.0};
  }
  for (int i = 0; i < source.grpc_services_size(); ++i) {
    const GrpcService& service = source.grpc_services(i);
    out.servers.push_back(planner.server(service, index_path(join_path(path, "grpc_services"), static_cast<std::size_t>(i))));
    const auto& policy = service.has_envoy_grpc() ? service.envoy_grpc().retry_policy() : service.retry_policy();
    if (policy.has_retry_back_off()) {
      const auto& pause = policy.retry_back_off();
      out.retry_base = to_duration(pause.base_interval());
      out.retry_max = pause.has_max_interval() ? to_duration(pause.max_interval()) : out.retry_base * 10;
    }
  }
  if (out.servers.empty()) planner.error(join_path(path, "grpc_services"), "must name a management server");
  if (!planner.ok()) return std::nullopt;
  return out;
}

bool check_config_source(const core::ConfigSource& source, const std::string& path,
                         const envoy::config::bootstrap::v3::Bootstrap* bootstrap, Diagnostics& diagnostics) {
  switch (source.config_source_specifier_case()) {
    case core::ConfigSource::kAds:
    case core::ConfigSource::kSelf:
      if (bootstrap != nullptr && bootstrap->dynamic_resources().has_ads_config()) return true;
      diagnostics.error(join_path(path, source.has_ads() ? "ads" : "self"),
                        "needs dynamic_resources.ads_config in the bootstrap, which says where the control plane is");
      return false;
    case core::ConfigSource::kApiConfigSource:
      if (bootstrap != nullptr)
        return plan_servers(source.api_config_source(), join_path(path, "api_config_source"), *bootstrap, diagnostics)
            .has_value();
      diagnostics.error(join_path(path, "api_config_source"), "there is no control plane here: use path_config_source");
      return false;
    default: return true;
  }
}

std::string discovery_method(ResourceType type, XdsProtocol protocol) {
  const std::string verb = protocol == XdsProtocol::kDelta ? "Delta" : "Stream";
  switch (type) {
    case ResourceType::kCluster: return "/envoy.service.cluster.v3.ClusterDiscoveryService/" + verb + "Clusters";
    case ResourceType::kAssignment: return "/envoy.service.endpoint.v3.EndpointDiscoveryService/" + verb + "Endpoints";
    case ResourceType::kExtension:
      return "/envoy.service.extension.v3.ExtensionConfigDiscoveryService/" + verb + "ExtensionConfigs";
    case ResourceType::kRuntime: return "/envoy.service.runtime.v3.RuntimeDiscoveryService/" + verb + "Runtime";
    case ResourceType::kListener: return "/envoy.service.listener.v3.ListenerDiscoveryService/" + verb + "Listeners";
    case ResourceType::kRoutes: return "/envoy.service.route.v3.RouteDiscoveryService/" + verb + "Routes";
    case ResourceType::kScope: return "/envoy.service.route.v3.ScopedRoutesDiscoveryService/" + verb + "ScopedRoutes";
    case ResourceType::kSecret: return "/envoy.service.secret.v3.SecretDiscoveryService/" + verb + "Secrets";
  }
  return {};
}

std::string aggregated_method(XdsProtocol protocol) {
  return std::string("/envoy.service.discovery.v3.AggregatedDiscoveryService/") +
         (protocol == XdsProtocol::kDelta ? "DeltaAggregatedResources" : "StreamAggregatedResources");
}

}  // namespace millrace::agent
