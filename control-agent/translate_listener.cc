// envoy.config.listener.v3.Listener -> config::Listener; its connection manager is in translate_http.cc.
#include <algorithm>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/loader_values.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_http.h"
#include "control-agent/translate_tls.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace millrace::agent {

namespace listener_api = envoy::config::listener::v3;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

namespace {

constexpr std::uint32_t kMinBufferBytes = 4096;

config::FilterChain translate_chain(const listener_api::FilterChain& chain, const std::string& path, TranslateContext& context) {
  config::FilterChain out;
  out.name = chain.name();
  if (chain.has_transport_socket()) {
    out.tls = translate_downstream_socket(chain.transport_socket(), join_path(path, "transport_socket"), context);
  }
  if (chain.has_transport_socket_connect_timeout()) {
    out.transport_socket_connect_timeout = translate_duration(
        chain.transport_socket_connect_timeout(), join_path(path, "transport_socket_connect_timeout"), context.diagnostics);
  }
  const auto& protocol = chain.filter_chain_match().transport_protocol();
  if (!protocol.empty() && protocol != "raw_buffer") {
    context.diagnostics.error(join_path(path, "filter_chain_match.transport_protocol"),
                              "\"" + protocol + "\" is not supported yet: only raw_buffer is");
  }
  const std::string filters = join_path(path, "filters");
  if (chain.filters_size() != 1) {
    context.diagnostics.error(filters,
                              "must hold one filter, an HttpConnectionManager; holds " + std::to_string(chain.filters_size()));
  }
  if (chain.filters_size() == 0) return out;
  const std::string config_path = join_path(index_path(filters, 0), "typed_config");
  const auto& any = chain.filters(0).typed_config();
  if (const auto manager = unpack<HttpConnectionManager>(any)) {
    out.http = translate_http_connection_manager(*manager, config_path, context);
  } else {
    context.diagnostics.error(
        config_path, any.type_url().empty() ? "must be set"
                                            : "the type \"" + any.type_url() +
                                                  "\" is not a network filter that is supported: use an HttpConnectionManager");
  }
  return out;
}

std::vector<SocketAddress> translate_addresses(const listener_api::Listener& listener, const std::string& path,
                                               Diagnostics& diagnostics) {
  std::vector<SocketAddress> addresses;
  const auto add = [&](const envoy::config::core::v3::Address& source, const std::string& source_path) {
    const auto address = translate_address(source, source_path, AddressUse::kListener, diagnostics);
    if (!address) return;
    if (std::ranges::find(addresses, *address) != addresses.end()) {
      diagnostics.error(source_path, address->to_string() + " is given twice");
    } else {
      addresses.push_back(*address);
    }
  };
  add(listener.address(), join_path(path, "address"));
  for (int i = 0; i < listener.additional_addresses_size(); ++i) {
    add(listener.additional_addresses(i).address(),
        join_path(index_path(join_path(path, "additional_addresses"), static_cast<std::size_t>(i)), "address"));
  }
  return addresses;
}

/// The name of a listener's statistics, as Envoy writes addresses there: "0.0.0.0_80", "[__]_80".
std::string stat_name(const listener_api::Listener& listener, const config::Listener& out) {
  if (!listener.stat_prefix().empty()) return listener.stat_prefix();
  std::string name = out.addresses.empty() ? out.name : out.addresses.front().to_string();
  std::ranges::replace(name, ':', '_');
  return name;
}

}  // namespace

std::shared_ptr<const config::Listener> translate_listener(const listener_api::Listener& listener, const std::string& path,
                                                           TranslateContext& context) {
  auto& diagnostics = context.diagnostics;
  auto out = std::make_shared<config::Listener>();
  out->addresses = translate_addresses(listener, path, diagnostics);
  out->name = !listener.name().empty() || out->addresses.empty() ? listener.name() : out->addresses.front().to_string();
  if (listener.has_per_connection_buffer_limit_bytes()) {
    out->buffer_limit_bytes = listener.per_connection_buffer_limit_bytes().value();
    if (out->buffer_limit_bytes < kMinBufferBytes) {
      diagnostics.error(
          join_path(path, "per_connection_buffer_limit_bytes"),
          "must be at least " + std::to_string(kMinBufferBytes) + ", is " + std::to_string(out->buffer_limit_bytes));
    }
  }
  if (listener.has_bind_to_port() && !listener.bind_to_port().value()) {
    diagnostics.error(join_path(path, "bind_to_port"), "must be true: no listener hands connections to another one yet");
  }
  const std::string chains = join_path(path, "filter_chains");
  if (listener.filter_chains_size() + (listener.has_default_filter_chain() ? 1 : 0) != 1) {
    diagnostics.error(chains,
                      "must hold one filter chain: choosing among several (default_filter_chain included) is not supported yet");
  }
  if (listener.filter_chains_size() > 0) {
    out->chain = translate_chain(listener.filter_chains(0), index_path(chains, 0), context);
  } else if (listener.has_default_filter_chain()) {
    out->chain = translate_chain(listener.default_filter_chain(), join_path(path, "default_filter_chain"), context);
  }
  out->content_hash = config::content_hash(serialize(listener));
  out->cell = context.cells.listeners.get(stat_name(listener, *out));
  return out;
}

}  // namespace millrace::agent
