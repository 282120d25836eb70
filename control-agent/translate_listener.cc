// envoy.config.listener.v3.Listener -> config::Listener; its filter chains are in translate_filter_chain.cc.
#include <algorithm>
#include <utility>

#include "config/compile/content_hash.h"
#include "control-agent/loader_values.h"
#include "control-agent/runtime_values.h"
#include "control-agent/translate_common.h"
#include "control-agent/translate_filter_chain.h"
#include "envoy/config/listener/v3/listener.pb.h"

namespace millrace::agent {

namespace listener_api = envoy::config::listener::v3;

namespace {

constexpr std::uint32_t kMinBufferBytes = 4096;

void translate_addresses(const listener_api::Listener& listener, const std::string& path, config::Listener& out,
                         Diagnostics& diagnostics) {
  const auto add = [&](const envoy::config::core::v3::Address& source, const std::string& source_path) {
    const auto address = translate_address(source, source_path, AddressUse::kListener, diagnostics);
    if (!address) return;
    if (source.has_pipe()) out.pipes.push_back({*address, source.pipe().path(), source.pipe().mode()});
    if (std::ranges::find(out.addresses, *address) != out.addresses.end()) {
      diagnostics.error(source_path, out.address_text(*address) + " is given twice");
    } else {
      out.addresses.push_back(*address);
    }
  };
  add(listener.address(), join_path(path, "address"));
  for (int i = 0; i < listener.additional_addresses_size(); ++i) {
    add(listener.additional_addresses(i).address(),
        join_path(index_path(join_path(path, "additional_addresses"), static_cast<std::size_t>(i)), "address"));
  }
}

/// The name of a listener's statistics, as Envoy writes addresses there: "0.0.0.0_80", "[__]_80".
std::string stat_name(const listener_api::Listener& listener, const config::Listener& out) {
  if (!listener.stat_prefix().empty()) return listener.stat_prefix();
  std::string name = out.addresses.empty() ? out.name : out.address_text(out.addresses.front());
  std::ranges::replace(name, ':', '_');
  return name;
}

std::uint64_t content_hash_without_chains(listener_api::Listener listener) {
  listener.clear_filter_chains();
  listener.clear_default_filter_chain();
  return config::content_hash(serialize(listener));
}

}  // namespace

std::shared_ptr<const config::Listener> translate_listener(const listener_api::Listener& listener, const std::string& path,
                                                           TranslateContext& context) {
  auto& diagnostics = context.diagnostics;
  auto out = std::make_shared<config::Listener>();
  translate_addresses(listener, path, *out, diagnostics);
  out->name = !listener.name().empty() || out->addresses.empty() ? listener.name() : out->address_text(out->addresses.front());
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
  if (!out->name.empty() && context.runtime != nullptr) {
    const std::string key = connection_limit_key(out->name);
    context.runtime_keys.insert(key);
    out->connection_limit = context.runtime->whole_number(key).value_or(config::kUnlimitedConnections);
  }
  out->ignores_global_limit = listener.ignore_global_conn_limit();
  out->bypasses_overload = listener.bypass_overload_manager();
  out->knows_original_dst = listener.use_original_dst().value();
  translate_filter_chains(listener, path, *out, context);
  out->content_hash = content_hash_without_chains(listener);  // limits are asked at each connection: they need no drain
  out->cell = context.cells.listeners.get(stat_name(listener, *out));
  return out;
}

}  // namespace millrace::agent
