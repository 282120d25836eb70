// What the gateway says of itself: its admin server's counters, before and after.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace millrace::perf {

/// Of all workers together.
struct GatewayStats {
  std::uint64_t busy_cycles = 0;
  std::optional<std::uint64_t> instructions = {};  ///< idle turns included; none: the gateway's CPU does not count them
  /// How many took so many microseconds at the most, and more than the key before.
  std::map<std::uint64_t, std::uint64_t> busy_turns_upto = {};
  std::uint64_t busy_turns = 0;
  std::uint64_t turns = 0;
  std::uint64_t requests = 0;        ///< of all connection managers
  std::uint64_t packets = 0;         ///< received and sent, over all ports
  std::uint64_t resident_bytes = 0;  ///< of the process; 0: not told

  /// So many microseconds, rounded up to a power of two, were enough for that fraction of the busy turns.
  [[nodiscard]] std::uint64_t turn_quantile_microseconds(double fraction) const;

  /// What has come since `before`; resident_bytes as it is now.
  [[nodiscard]] GatewayStats since(const GatewayStats& before) const;
};

/// Asks `address` ("127.0.0.1:9901"). None, with a text, when there is no answer or no Millrace.
[[nodiscard]] std::optional<GatewayStats> fetch_gateway_stats(const std::string& address, std::string& error);

}  // namespace millrace::perf
