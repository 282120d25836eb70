// FilterChainMatch conditions -> config::FilterChainTable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/model/filter_chain_table.h"

namespace millrace::config {

/// envoy.config.listener.v3.FilterChainMatch. What is empty, or not set, admits everything. Of a list, any entry is enough.
struct FilterChainConditions {
  enum class SourceType : std::uint8_t { kAny, kLocal, kExternal };

  std::optional<std::uint16_t> destination_port;
  std::vector<IpPrefix> destinations;
  std::vector<std::string> server_names;  ///< lower case, exact or "*.suffix"
  std::string transport_protocol;
  std::vector<std::string> application_protocols;
  std::vector<IpPrefix> direct_sources;
  SourceType source_type = SourceType::kAny;
  std::vector<IpPrefix> sources;
  std::vector<std::uint16_t> source_ports;

  [[nodiscard]] bool empty() const;
};

/// Two chains that would both have to serve the same connections.
struct FilterChainClash {
  std::size_t first = 0;  ///< indices of chains
  std::size_t second = 0;
  bool operator==(const FilterChainClash&) const = default;
};

/// `chains`: by their index in the listener, default_filter_chain not among them. `fallback`: the index of that one. Each later
/// chain that shares a complete set of conditions with an earlier one is reported once, and the table leaves those to the
/// earlier.
[[nodiscard]] FilterChainTable compile_filter_chains(const std::vector<FilterChainConditions>& chains,
                                                     std::optional<std::uint32_t> fallback,
                                                     std::vector<FilterChainClash>& clashes);

}  // namespace millrace::config
