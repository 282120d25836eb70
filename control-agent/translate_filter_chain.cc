#include "control-agent/translate_filter_chain.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "config/compile/content_hash.h"
#include "config/compile/filter_chain_table.h"
#include "control-agent/field_table.h"
#include "control-agent/loader_values.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_http.h"
#include "control-agent/translate_network_filters.h"
#include "control-agent/translate_proxy_protocol.h"
#include "control-agent/translate_rbac.h"
#include "control-agent/translate_tls.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/echo/v3/echo.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/sni_cluster/v3/sni_cluster.pb.h"

namespace millrace::agent {

namespace listener_api = envoy::config::listener::v3;
using config::FilterChainConditions;
using envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
using envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
using envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
using envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
using envoy::extensions::filters::network::connection_limit::v3::ConnectionLimit;
using envoy::extensions::filters::network::echo::v3::Echo;
using NetworkRateLimit = envoy::extensions::filters::network::local_ratelimit::v3::LocalRateLimit;
using NetworkDirectResponse = envoy::extensions::filters::network::direct_response::v3::Config;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using NetworkRbac = envoy::extensions::filters::network::rbac::v3::RBAC;
using envoy::extensions::filters::network::sni_cluster::v3::SniCluster;
using envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

namespace {

std::string not_supported(const std::string& type_url, std::string_view kind, std::string_view use) {
  if (type_url.empty()) return "must be set";
  return "the type \"" + type_url + "\" is not a " + std::string(kind) + " that is supported: use " + std::string(use);
}

constexpr std::string_view kServingFilters = "an HttpConnectionManager, a TcpProxy, a direct_response Config or an Echo";

/// One that asks whether a connection is served. False: it is none.
bool translate_asking_filter(const google::protobuf::Any& any, const std::string& path, config::FilterChain& out,
                             TranslateContext& context) {
  if (const auto rbac = unpack<NetworkRbac>(any)) {
    out.network_filters.emplace_back(translate_network_rbac(*rbac, path, context));
  } else if (const auto limit = unpack<ConnectionLimit>(any)) {
    const auto is_limit = [](const auto& filter) { return std::holds_alternative<config::ConnectionLimit>(filter); };
    if (std::ranges::any_of(out.network_filters, is_limit))
      context.diagnostics.error(path, "is a second ConnectionLimit of its filter chain: one is enough");
    out.network_filters.emplace_back(translate_connection_limit(*limit, path, context));
  } else if (const auto rate = unpack<NetworkRateLimit>(any)) {
    out.network_filters.emplace_back(translate_connection_rate_limit(*rate, path, context));
  } else {
    return false;
  }
  return true;
}

/// One that serves connections. False: it is none.
bool translate_serving_filter(const google::protobuf::Any& any, const std::string& path, config::FilterChain& out,
                              TranslateContext& context) {
  if (const auto manager = unpack<HttpConnectionManager>(any)) {
    out.filter = translate_http_connection_manager(*manager, path, context);
  } else if (const auto proxy = unpack<TcpProxy>(any)) {
    out.filter = translate_tcp_proxy(*proxy, path, context);
  } else if (const auto direct = unpack<NetworkDirectResponse>(any)) {
    out.filter = translate_direct_text(*direct, path, context);
  } else if (any.Is<Echo>()) {
    out.filter = config::Echo{};
  } else {
    return false;
  }
  return true;
}

// The network filters: one that serves the connection, last; those before it say whether it is served and, before a TcpProxy, to
// which cluster (SniCluster).
void translate_filters(const listener_api::FilterChain& chain, const std::string& path, config::FilterChain& out,
                       TranslateContext& context) {
  const std::string filters = join_path(path, "filters");
  bool sni_cluster = false;
  bool served = false;
  for (int i = 0; i < chain.filters_size(); ++i) {
    const std::string config_path = join_path(index_path(filters, static_cast<std::size_t>(i)), "typed_config");
    const auto& any = chain.filters(i).typed_config();
    if (!tolerated(any).empty()) continue;
    if (served) {
      context.diagnostics.error(index_path(filters, static_cast<std::size_t>(i)),
                                "stands behind the filter that serves the connection, which must be the last");
    } else if (any.Is<SniCluster>()) {
      sni_cluster = true;
    } else if (!translate_asking_filter(any, config_path, out, context)) {
      served = true;  // or it would have
      if (!translate_serving_filter(any, config_path, out, context))
        context.diagnostics.error(config_path, not_supported(any.type_url(), "network filter", kServingFilters));
    }
  }
  if (!served) {
    context.diagnostics.error(filters, "must end with a filter that serves the connection: " + std::string(kServingFilters));
  }
  if (!sni_cluster) return;
  if (config::TcpProxy* proxy = out.tcp()) {
    proxy->cluster_from_server_name = true;
  } else {
    context.diagnostics.error(filters, "a SniCluster only serves a TcpProxy behind it; leave it out");
  }
}

config::FilterChain translate_chain(const listener_api::FilterChain& chain, const std::string& path, TranslateContext& context) {
  config::FilterChain out;
  out.name = chain.name();
  out.content_hash = config::content_hash(serialize(chain));
  if (chain.has_transport_socket()) {
    const bool http = std::ranges::any_of(
        chain.filters(), [](const auto& filter) { return filter.typed_config().template Is<HttpConnectionManager>(); });
    out.tls = translate_downstream_socket(chain.transport_socket(), http, join_path(path, "transport_socket"), context);
  }
  if (chain.has_transport_socket_connect_timeout()) {
    out.transport_socket_connect_timeout = translate_duration(
        chain.transport_socket_connect_timeout(), join_path(path, "transport_socket_connect_timeout"), context.diagnostics);
  }
  translate_filters(chain, path, out, context);
  return out;
}

std::vector<IpPrefix> translate_prefixes(const google::protobuf::RepeatedPtrField<envoy::config::core::v3::CidrRange>& ranges,
                                         const std::string& path, Diagnostics& diagnostics) {
  std::vector<IpPrefix> out;
  for (int i = 0; i < ranges.size(); ++i) {
    if (const auto prefix = translate_prefix(ranges[i], index_path(path, static_cast<std::size_t>(i)), diagnostics))
      out.push_back(*prefix);
  }
  return out;
}

std::vector<std::string> translate_server_names(const HeaderNames& names, const std::string& path, Diagnostics& diagnostics) {
  std::vector<std::string> out;
  for (int i = 0; i < names.size(); ++i) {
    std::string name = lower(names[i]);
    const bool wild = name.starts_with("*.");
    const std::string_view rest = std::string_view(name).substr(wild ? 2 : 0);
    if (rest.empty() || rest.find('*') != std::string_view::npos) {
      diagnostics.error(index_path(path, static_cast<std::size_t>(i)),
                        "\"" + names[i] +
                            "\" is neither a name nor a wildcard like \"*.example.com\"; leave server_names out to "
                            "match every name");
    } else {
      out.push_back(std::move(name));
    }
  }
  return out;
}

FilterChainConditions translate_match(const listener_api::FilterChainMatch& match, const std::string& path,
                                      Diagnostics& diagnostics) {
  using SourceType = FilterChainConditions::SourceType;
  FilterChainConditions out;
  if (match.has_destination_port()) out.destination_port = static_cast<std::uint16_t>(match.destination_port().value());
  out.destinations = translate_prefixes(match.prefix_ranges(), join_path(path, "prefix_ranges"), diagnostics);
  out.server_names = translate_server_names(match.server_names(), join_path(path, "server_names"), diagnostics);
  out.transport_protocol = match.transport_protocol();
  if (!out.transport_protocol.empty() && out.transport_protocol != "tls" && out.transport_protocol != "raw_buffer") {
    diagnostics.error(join_path(path, "transport_protocol"),
                      "\"" + out.transport_protocol + "\" is never found here: use tls, raw_buffer, or leave it out");
  }
  out.application_protocols.assign(match.application_protocols().begin(), match.application_protocols().end());
  out.direct_sources =
      translate_prefixes(match.direct_source_prefix_ranges(), join_path(path, "direct_source_prefix_ranges"), diagnostics);
  out.source_type = match.source_type() == listener_api::FilterChainMatch::SAME_IP_OR_LOOPBACK ? SourceType::kLocal
                    : match.source_type() == listener_api::FilterChainMatch::EXTERNAL          ? SourceType::kExternal
                                                                                               : SourceType::kAny;
  out.sources = translate_prefixes(match.source_prefix_ranges(), join_path(path, "source_prefix_ranges"), diagnostics);
  for (const auto port : match.source_ports()) out.source_ports.push_back(static_cast<std::uint16_t>(port));
  return out;
}

std::string name_of(const listener_api::Listener& listener, std::size_t index) {
  const auto& name = listener.filter_chains(static_cast<int>(index)).name();
  return index_path("filter_chains", index) + (name.empty() ? "" : " \"" + name + "\"");
}

// What Envoy does when nobody configured it, too: a chain that asks for what only the TLS inspector knows brings it along.
bool needs_tls_inspector(const listener_api::Listener& listener) {
  return std::ranges::any_of(listener.filter_chains(), [](const listener_api::FilterChain& chain) {
    const auto& match = chain.filter_chain_match();
    return match.transport_protocol() == "tls" ||
           (match.transport_protocol().empty() && (match.server_names_size() > 0 || match.application_protocols_size() > 0));
  });
}

// use_proxy_proto of a filter chain: as Envoy has it, a PROXY protocol filter of the whole listener.
void translate_old_proxy_protocol(const listener_api::Listener& listener, const std::string& path, config::Inspection& out,
                                  TranslateContext& context) {
  for (int i = 0; i < listener.filter_chains_size(); ++i) {
    if (!listener.filter_chains(i).use_proxy_proto().value() || out.proxy_protocol) continue;
    const std::string chain = index_path(join_path(path, "filter_chains"), static_cast<std::size_t>(i));
    context.diagnostics.warning(join_path(chain, "use_proxy_proto"), "holds for all chains of the listener, as in Envoy");
    out.proxy_protocol = translate_proxy_protocol(ProxyProtocol(), chain, context);
  }
}

void translate_inspection(const listener_api::Listener& listener, const std::string& path, config::Inspection& out,
                          bool& knows_original_dst, TranslateContext& context) {
  const std::string filters = join_path(path, "listener_filters");
  for (int i = 0; i < listener.listener_filters_size(); ++i) {
    const std::string config_path = join_path(index_path(filters, static_cast<std::size_t>(i)), "typed_config");
    const auto& any = listener.listener_filters(i).typed_config();
    if (any.Is<TlsInspector>()) {
      out.tls = true;
    } else if (any.Is<HttpInspector>()) {
      out.http = true;
    } else if (any.Is<OriginalDst>()) {
      knows_original_dst = true;
    } else if (const auto proxy_protocol = unpack<ProxyProtocol>(any)) {
      if (out.proxy_protocol) context.diagnostics.error(config_path, "is a second ProxyProtocol: there is one header");
      if (out.is_needed()) context.diagnostics.error(config_path, "stands behind an inspector: a PROXY header comes first");
      out.proxy_protocol = translate_proxy_protocol(*proxy_protocol, config_path, context);
    } else {
      context.diagnostics.error(config_path,
                                not_supported(any.type_url(), "listener filter",
                                              "a ProxyProtocol, an OriginalDst, a TlsInspector or an HttpInspector"));
    }
  }
  translate_old_proxy_protocol(listener, path, out, context);
  if (!out.tls && needs_tls_inspector(listener)) {
    out.tls = true;
    context.diagnostics.warning(filters, "a filter chain's match needs a TlsInspector: it is added");
  }
  if (listener.has_listener_filters_timeout()) {
    out.timeout =
        translate_duration(listener.listener_filters_timeout(), join_path(path, "listener_filters_timeout"), context.diagnostics);
  }
  out.continue_on_timeout = listener.continue_on_listener_filters_timeout();
  if (out.tls || out.http) out.cell = context.cells.inspectors.get("inspectors");
}

}  // namespace

void translate_filter_chains(const listener_api::Listener& listener, const std::string& path, config::Listener& out,
                             TranslateContext& context) {
  const std::string list = join_path(path, "filter_chains");
  std::vector<FilterChainConditions> conditions;
  for (int i = 0; i < listener.filter_chains_size(); ++i) {
    const auto& chain = listener.filter_chains(i);
    const std::string chain_path = index_path(list, static_cast<std::size_t>(i));
    out.chains.push_back(translate_chain(chain, chain_path, context));
    conditions.push_back(
        translate_match(chain.filter_chain_match(), join_path(chain_path, "filter_chain_match"), context.diagnostics));
  }
  std::optional<std::uint32_t> fallback;
  if (listener.has_default_filter_chain()) {
    fallback = static_cast<std::uint32_t>(out.chains.size());
    out.chains.push_back(translate_chain(listener.default_filter_chain(), join_path(path, "default_filter_chain"), context));
  }
  if (out.chains.empty()) context.diagnostics.error(list, "must hold a filter chain: there is nothing to serve connections with");
  std::vector<config::FilterChainClash> clashes;
  out.table = config::compile_filter_chains(conditions, fallback, clashes);
  for (const auto& clash : clashes) {
    context.diagnostics.error(join_path(index_path(list, clash.second), "filter_chain_match"),
                              name_of(listener, clash.second) + " and " + name_of(listener, clash.first) +
                                  " match the same connections: make the conditions of one of them more specific");
  }
  translate_inspection(listener, path, out.inspection, out.knows_original_dst, context);
}

}  // namespace millrace::agent
