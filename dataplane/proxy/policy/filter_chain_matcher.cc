#include "dataplane/proxy/policy/filter_chain_matcher.h"

namespace millrace::proxy {
namespace {

using Table = config::FilterChainTable;
using Found = std::optional<Table::Next>;

template <typename Map, typename Key>
Found find_in(const Map& map, const Key& key) {
  const auto at = map.find(key);
  return at == map.end() ? Found() : Found(at->second);
}

Found step(const Table::Ports& node, std::uint16_t port) {
  const Found exact = find_in(node.exact, port);
  return exact ? exact : node.any;
}

Found step(const Table::Texts& node, std::string_view text) {
  const Found exact = find_in(node.exact, text);
  return exact ? exact : node.any;
}

Found step(const Table::Prefixes& node, const IpAddress& ip) {
  for (const auto& [bits, networks] : node.by_bits) {
    if (bits >= 96 || !ip.is_v4()) {  // below that it is a network of IPv6 that holds the mapped addresses, which are IPv4 here
      if (const Found found = find_in(networks, ip.masked(bits))) return found;
    }
  }
  return node.any;
}

// "www.example.com" is looked for as itself, then in "*.example.com", then in "*.com".
Found step(const Table::ServerNames& node, std::string_view name) {
  if (const Found exact = find_in(node.exact, name)) return exact;
  for (std::size_t dot = name.find('.', 1); dot != std::string_view::npos && dot + 1 < name.size();
       dot = name.find('.', dot + 1)) {
    if (const Found found = find_in(node.suffixes, name.substr(dot))) return found;
  }
  return node.any;
}

Found step(const Table::Texts& node, std::span<const std::string> texts) {
  for (const std::string& text : texts) {
    if (const Found found = find_in(node.exact, std::string_view(text))) return found;
  }
  return node.any;
}

bool is_local(const ConnectionTraits& traits) { return traits.remote.ip.is_loopback() || traits.remote.ip == traits.local.ip; }

Found step(const Table::SourceTypes& node, bool local) {
  const Found& own = local ? node.local : node.external;
  return own ? own : node.any;
}

Found find_conditional(const Table& table, const ConnectionTraits& traits) {
  Found at = step(table.destination_ports[0], traits.local.port);
  if (at) at = step(table.destination_addresses[*at], traits.local.ip);
  if (at) at = step(table.server_names[*at], traits.server_name);
  if (at) at = step(table.transport_protocols[*at], traits.transport_protocol);
  if (at) at = step(table.application_protocols[*at], traits.application_protocols);
  if (at) at = step(table.direct_sources[*at], traits.direct_remote.ip);
  if (at) at = step(table.source_types[*at], is_local(traits));
  if (at) at = step(table.source_addresses[*at], traits.remote.ip);
  if (at) at = step(table.source_ports[*at], traits.remote.port);
  return at;
}

}  // namespace

std::optional<std::uint32_t> find_filter_chain(const config::FilterChainTable& table, const ConnectionTraits& traits) {
  if (table.is_unconditional()) return table.fallback;
  const Found found = find_conditional(table, traits);
  return found ? found : table.fallback;
}

}  // namespace millrace::proxy
