#include "control-agent/translate_tls.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "control-agent/tls_plan.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_proxy_protocol.h"
#include "envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;
namespace tls_api = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::cluster::v3::Cluster;
using envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
using envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using google::protobuf::Struct;

namespace {

constexpr std::string_view kMatchFilter = "envoy.transport_socket_match";

/// Plain text needs no settings: its name alone will do, as in Envoy.
bool is_plain_text(const core::TransportSocket& socket) {
  if (socket.has_typed_config()) return socket.typed_config().Is<RawBuffer>();
  return socket.name() == "envoy.transport_sockets.raw_buffer" || socket.name() == "raw_buffer";
}

void warn_of_http2(const TlsSource& source, Diagnostics& diagnostics) {
  if (!source.http) return;
  const auto& common =
      source.role == tls::Role::kServer ? source.downstream.common_tls_context() : source.upstream.common_tls_context();
  for (int i = 0; i < common.alpn_protocols_size(); ++i) {
    if (common.alpn_protocols(i) != "h2") continue;
    diagnostics.warning(source.site.at("common_tls_context").at("alpn_protocols", i).path,
                        "\"h2\" is left out: HTTP/2 is not spoken yet, and whoever agreed on it would fail");
  }
}

std::shared_ptr<tls::ContextSlot> make_slot(std::shared_ptr<TlsSource> source, const std::string& path,
                                            TranslateContext& context) {
  source->site = {join_path(path, "typed_config"), nullptr};
  source->secrets = context.static_secrets;
  source->discovered = context.discovered_secrets;
  source->keep_records_in_openssl = context.keep_records_in_openssl;
  warn_of_http2(*source, context.diagnostics);
  FileReader files;
  auto made = make_context(*source, files, context.diagnostics);
  if (!made) return nullptr;
  context.secret_names.insert(made->secrets.begin(), made->secrets.end());
  return context.secrets->add(path, std::move(*made), files.take_files(),
                              [source](FileReader& now) -> Result<MadeContext, std::string> {
                                Diagnostics diagnostics;
                                auto again = make_context(*source, now, diagnostics);
                                if (again) return std::move(*again);
                                std::string reasons;
                                for (const ConfigError& error : diagnostics.errors()) {
                                  reasons += (reasons.empty() ? "" : "; ") + error.to_string();
                                }
                                return Error<std::string>(std::move(reasons));
                              });
}

/// What is neither plain text nor the context that belongs here; field_table.h has reported types that it does not know.
void refuse(const core::TransportSocket& socket, const std::string& path, const std::string& wanted, TranslateContext& context) {
  const auto& url = socket.typed_config().type_url();
  context.diagnostics.error(join_path(path, "typed_config"),
                            url.empty() ? "must be set: a RawBuffer or " + wanted
                                        : "the type \"" + url + "\" is not supported here: use a RawBuffer or " + wanted);
}

/// The socket that a PROXY protocol stands before, or `socket` itself. `path` becomes its path.
core::TransportSocket unwrap(const core::TransportSocket& socket, std::string& path,
                             std::shared_ptr<const config::ProxyProtocolOut>& proxy_protocol) {
  const auto wrapper = unpack<ProxyProtocolUpstreamTransport>(socket.typed_config());
  if (!wrapper) return socket;
  path = join_path(path, "typed_config.transport_socket");
  proxy_protocol = std::make_shared<const config::ProxyProtocolOut>(translate_proxy_protocol(wrapper->config()));
  return wrapper->transport_socket();
}

std::shared_ptr<tls::ContextSlot> translate_upstream_socket(const core::TransportSocket& socket, const std::string& path,
                                                            TranslateContext& context) {
  if (is_plain_text(socket)) return nullptr;
  auto upstream = unpack<tls_api::UpstreamTlsContext>(socket.typed_config());
  if (!upstream) {
    refuse(socket, path, "an UpstreamTlsContext", context);
    return nullptr;
  }
  auto source = std::make_shared<TlsSource>();
  source->role = tls::Role::kClient;
  source->upstream = std::move(*upstream);
  source->http = true;
  return make_slot(std::move(source), path, context);
}

/// From HttpProtocolOptions, or from the field that they have replaced.
core::UpstreamHttpProtocolOptions name_options(const Cluster& cluster) {
  for (const auto& [key, any] : cluster.typed_extension_protocol_options()) {
    if (auto options = unpack<HttpProtocolOptions>(any)) return options->upstream_http_protocol_options();
  }
  return cluster.upstream_http_protocol_options();
}

bool all_criteria_hold(const Struct& criteria, const Struct& values) {
  return std::ranges::all_of(criteria.fields(), [&](const auto& criterion) {
    const auto value = values.fields().find(criterion.first);
    return value != values.fields().end() && google::protobuf::util::MessageDifferencer::Equals(value->second, criterion.second);
  });
}

}  // namespace

std::shared_ptr<const StaticSecrets> collect_secrets(const google::protobuf::RepeatedPtrField<tls_api::Secret>& secrets,
                                                     const std::string& path, Diagnostics& diagnostics) {
  auto out = std::make_shared<StaticSecrets>();
  for (int i = 0; i < secrets.size(); ++i) {
    const Site site{index_path(path, static_cast<std::size_t>(i)), nullptr};
    const std::string& name = secrets[i].name();
    if (name.empty()) diagnostics.error(site.at("name").path, "must be set: secrets are found by their name");
    const auto [first, added] = out->by_name.emplace(name, FoundSecret{secrets[i], site});
    if (!added && !name.empty()) {
      diagnostics.error(site.at("name").path, "the name \"" + name + "\" is already taken by " + first->second.site.path);
    }
  }
  return out;
}

std::shared_ptr<tls::ContextSlot> translate_downstream_socket(const core::TransportSocket& socket, bool http,
                                                              const std::string& path, TranslateContext& context) {
  if (is_plain_text(socket)) return nullptr;
  auto downstream = unpack<tls_api::DownstreamTlsContext>(socket.typed_config());
  if (!downstream) {
    refuse(socket, path, "a DownstreamTlsContext", context);
    return nullptr;
  }
  auto source = std::make_shared<TlsSource>();
  source->role = tls::Role::kServer;
  source->downstream = std::move(*downstream);
  source->http = http;
  return make_slot(std::move(source), path, context);
}

UpstreamSockets::UpstreamSockets(const Cluster& cluster, const std::string& path, TranslateContext& context) {
  const auto options = name_options(cluster);
  const auto translate = [&](const core::TransportSocket& socket, const std::string& name, std::string socket_path) {
    UpstreamSocket out;
    const core::TransportSocket inner = unwrap(socket, socket_path, out.proxy_protocol);
    auto slot = translate_upstream_socket(inner, socket_path, context);
    if (slot == nullptr) return out;
    out.tls =
        std::make_shared<const config::UpstreamTls>(config::UpstreamTls{.name = name,
                                                                        .slot = std::move(slot),
                                                                        .auto_sni = options.auto_sni(),
                                                                        .auto_san_validation = options.auto_san_validation(),
                                                                        .sni_header = lower(options.override_auto_sni_header())});
    return out;
  };
  if (cluster.has_transport_socket()) {
    otherwise_ = translate(cluster.transport_socket(), {}, join_path(path, "transport_socket"));
  }
  const std::string list = join_path(path, "transport_socket_matches");
  for (int i = 0; i < cluster.transport_socket_matches_size(); ++i) {
    const auto& match = cluster.transport_socket_matches(i);
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    if (!match.has_transport_socket()) context.diagnostics.error(join_path(at, "transport_socket"), "must be set");
    matches_.push_back({match.match(), match.has_transport_socket()
                                           ? translate(match.transport_socket(), match.name(), join_path(at, "transport_socket"))
                                           : UpstreamSocket{}});
  }
}

UpstreamSocket UpstreamSockets::choose(const core::Metadata& endpoint, const core::Metadata& locality) const {
  for (const core::Metadata* metadata : {&endpoint, &locality}) {
    const auto found = metadata->filter_metadata().find(std::string(kMatchFilter));
    const Struct& values = found != metadata->filter_metadata().end() ? found->second : Struct::default_instance();
    if (const Match* match = find(values)) return match->socket;
  }
  return otherwise_;
}

std::shared_ptr<const config::UpstreamTls> UpstreamSockets::choose(const Struct& values) const {
  const Match* match = find(values);
  return match == nullptr ? otherwise_.tls : match->socket.tls;
}

const UpstreamSockets::Match* UpstreamSockets::find(const Struct& values) const {
  const auto match = std::ranges::find_if(matches_, [&](const Match& one) { return all_criteria_hold(one.criteria, values); });
  return match == matches_.end() ? nullptr : &*match;
}

}  // namespace millrace::agent
