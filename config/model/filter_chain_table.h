// Which filter chain of a listener a connection gets: the conditions of all its chains, compiled into one look-up per kind of
// condition. Source: envoy.config.listener.v3.FilterChainMatch. Built by config/compile/filter_chain_table.h, asked by
// dataplane/proxy/policy/filter_chain_matcher.h.
//
// Envoy asks in a fixed order: destination port, destination address, server name, transport protocol, application protocols,
// directly connected source, source type, source address, source port. At each step the most specific value that fits is taken
// and all chains without it are out of the question; there is no way back. So every step is a node that names nodes of the next
// step, and the last step names a chain.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/base/addresses.h"

namespace millrace::config {

struct FilterChainTable {
  /// Index of a node of the next step; from the last step, of a chain of the listener.
  using Next = std::uint32_t;

  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  struct AddressHash {
    std::size_t operator()(const IpAddress& ip) const {
      const auto bytes = ip.bytes();
      return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  };

  struct Ports {
    std::unordered_map<std::uint16_t, Next> exact;
    std::optional<Next> any;
  };
  struct Texts {
    std::unordered_map<std::string, Next, TextHash, std::equal_to<>> exact;
    std::optional<Next> any;
  };
  /// Lower case. A wildcard "*.example.com" is kept as ".example.com".
  struct ServerNames : Texts {
    std::unordered_map<std::string, Next, TextHash, std::equal_to<>> suffixes;
  };
  struct Prefixes {
    /// By the leading bits that count, of the 128 that an IpAddress keeps; most first.
    std::vector<std::pair<unsigned, std::unordered_map<IpAddress, Next, AddressHash>>> by_bits;
    std::optional<Next> any;
  };
  struct SourceTypes {
    std::optional<Next> local;  ///< SAME_IP_OR_LOOPBACK
    std::optional<Next> external;
    std::optional<Next> any;
  };

  // The steps in order. The first has one node, its number 0; none: no chain has conditions.
  std::vector<Ports> destination_ports;
  std::vector<Prefixes> destination_addresses;
  std::vector<ServerNames> server_names;
  std::vector<Texts> transport_protocols;
  std::vector<Texts> application_protocols;
  std::vector<Prefixes> direct_sources;
  std::vector<SourceTypes> source_types;
  std::vector<Prefixes> source_addresses;
  std::vector<Ports> source_ports;

  /// default_filter_chain: when no other fits. Also the only chain of a listener, when it has no conditions.
  std::optional<std::uint32_t> fallback;

  /// Every connection gets `fallback`, whatever it is.
  [[nodiscard]] bool is_unconditional() const { return destination_ports.empty(); }
};

}  // namespace millrace::config
