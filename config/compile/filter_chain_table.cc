#include "config/compile/filter_chain_table.h"

#include <algorithm>

namespace millrace::config {
namespace {

using Next = FilterChainTable::Next;
using Conditions = FilterChainConditions;

/// Puts one chain after the other into the table. Each step calls the next one with every node that it leads to.
class Builder {
 public:
  Builder(FilterChainTable& table, std::vector<FilterChainClash>& clashes) : table_(table), clashes_(clashes) {}

  void add(std::uint32_t chain, const Conditions& conditions) {
    chain_ = chain;
    in_ = &conditions;
    if (table_.destination_ports.empty()) table_.destination_ports.emplace_back();
    const Next node = port(table_.destination_ports, 0, in_->destination_port, table_.destination_addresses);
    each_prefix(table_.destination_addresses, node, in_->destinations, table_.server_names, &Builder::server_names);
  }

 private:
  using Step = void (Builder::*)(Next);

  /// The node that `slot` names; a new one when it names none yet.
  template <typename Node>
  static Next node_of(std::optional<Next>& slot, std::vector<Node>& nodes) {
    if (!slot) {
      slot = static_cast<Next>(nodes.size());
      nodes.emplace_back();
    }
    return *slot;
  }
  template <typename Map, typename Key, typename Node>
  static Next node_of(Map& map, const Key& key, std::vector<Node>& nodes) {
    const auto [at, is_new] = map.try_emplace(key, static_cast<Next>(nodes.size()));
    if (is_new) nodes.emplace_back();
    return at->second;
  }

  template <typename Node>
  static Next port(std::vector<FilterChainTable::Ports>& step, Next node, std::optional<std::uint16_t> value,
                   std::vector<Node>& nodes) {
    return value ? node_of(step[node].exact, *value, nodes) : node_of(step[node].any, nodes);
  }

  template <typename Node>
  static Next prefix(FilterChainTable::Prefixes& from, const IpPrefix& value, std::vector<Node>& nodes) {
    auto at = std::ranges::find(from.by_bits, value.bits(), [](const auto& entry) { return entry.first; });
    if (at == from.by_bits.end()) {
      at = std::ranges::find_if(from.by_bits, [&](const auto& entry) { return entry.first < value.bits(); });
      at = from.by_bits.insert(at, {value.bits(), {}});
    }
    return node_of(at->second, value.address.masked(value.bits()), nodes);
  }
  template <typename Node>
  void each_prefix(std::vector<FilterChainTable::Prefixes>& step, Next node, const std::vector<IpPrefix>& values,
                   std::vector<Node>& nodes, Step next) {
    if (values.empty()) return (this->*next)(node_of(step[node].any, nodes));
    for (const IpPrefix& value : values) (this->*next)(prefix(step[node], value, nodes));
  }

  void server_names(Next node) {
    auto& from = table_.server_names;
    auto& nodes = table_.transport_protocols;
    if (in_->server_names.empty()) return transport_protocol(node_of(from[node].any, nodes));
    for (const std::string& name : in_->server_names) {
      transport_protocol(name.starts_with("*.") ? node_of(from[node].suffixes, name.substr(1), nodes)
                                                : node_of(from[node].exact, name, nodes));
    }
  }

  void transport_protocol(Next node) {
    auto& from = table_.transport_protocols[node];
    auto& nodes = table_.application_protocols;
    application_protocols(in_->transport_protocol.empty() ? node_of(from.any, nodes)
                                                          : node_of(from.exact, in_->transport_protocol, nodes));
  }

  void application_protocols(Next node) {
    auto& from = table_.application_protocols;
    auto& nodes = table_.direct_sources;
    if (in_->application_protocols.empty()) return direct_sources(node_of(from[node].any, nodes));
    for (const std::string& name : in_->application_protocols) direct_sources(node_of(from[node].exact, name, nodes));
  }

  void direct_sources(Next node) {
    each_prefix(table_.direct_sources, node, in_->direct_sources, table_.source_types, &Builder::source_type);
  }

  void source_type(Next node) {
    auto& from = table_.source_types[node];
    auto& slot = in_->source_type == Conditions::SourceType::kLocal      ? from.local
                 : in_->source_type == Conditions::SourceType::kExternal ? from.external
                                                                         : from.any;
    const Next next = node_of(slot, table_.source_addresses);
    each_prefix(table_.source_addresses, next, in_->sources, table_.source_ports, &Builder::source_ports);
  }

  void source_ports(Next node) {
    auto& from = table_.source_ports[node];
    if (in_->source_ports.empty()) {
      if (from.any) return clash(*from.any);
      from.any = chain_;
      return;
    }
    for (const std::uint16_t value : in_->source_ports) {
      const auto [at, is_new] = from.exact.try_emplace(value, chain_);
      if (!is_new) clash(at->second);
    }
  }

  /// A chain that names a value twice does not clash with itself.
  void clash(Next earlier) {
    const FilterChainClash found{earlier, chain_};
    if (earlier != chain_ && std::ranges::find(clashes_, found) == clashes_.end()) clashes_.push_back(found);
  }

  FilterChainTable& table_;
  std::vector<FilterChainClash>& clashes_;
  const Conditions* in_ = nullptr;
  std::uint32_t chain_ = 0;
};

}  // namespace

bool FilterChainConditions::empty() const {
  return !destination_port && destinations.empty() && server_names.empty() && transport_protocol.empty() &&
         application_protocols.empty() && direct_sources.empty() && source_type == SourceType::kAny && sources.empty() &&
         source_ports.empty();
}

FilterChainTable compile_filter_chains(const std::vector<FilterChainConditions>& chains, std::optional<std::uint32_t> fallback,
                                       std::vector<FilterChainClash>& clashes) {
  FilterChainTable table;
  table.fallback = fallback;
  if (chains.size() == 1 && chains[0].empty()) {
    table.fallback = 0;
    return table;
  }
  Builder builder(table, clashes);
  for (std::size_t i = 0; i < chains.size(); ++i) builder.add(static_cast<std::uint32_t>(i), chains[i]);
  return table;
}

}  // namespace millrace::config
