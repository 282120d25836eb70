// Rules about packets as they arrive, as plain data: which to drop, which to let in only so fast, and whose they are. What they
// do is the business of others: nic/ applies them in a device or in software, flow_steering.h owes them the owner of a flow.
//
// A rule that drops or polices decides whether a packet comes in; one that steers, who gets it. Each kind is asked on its own,
// and the first rule of it that matches wins: a steered packet may still be dropped by a later rule.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "dataplane/base/addresses.h"

namespace millrace {

/// Both ends belong to it; first <= last.
struct FlowPortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  [[nodiscard]] constexpr bool contains(std::uint16_t port) const { return first <= port && port <= last; }
  constexpr bool operator==(const FlowPortRange&) const = default;
};

/// What rules look at in an IP packet.
struct FlowKey {
  IpAddress source = {};
  IpAddress destination = {};
  std::uint8_t protocol = 0;  ///< behind IPv6's extension headers
  bool has_ports = false;     ///< TCP or UDP whose first bytes are there; false for a fragment that is not the first
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
};

/// What is not set matches any. Only IP packets match at all: ARP never does.
struct FlowMatch {
  static constexpr std::uint8_t kIcmp = 1;
  static constexpr std::uint8_t kTcp = 6;
  static constexpr std::uint8_t kUdp = 17;
  static constexpr std::uint8_t kIcmpv6 = 58;

  std::optional<IpPrefix> source = {};  ///< source and destination are of one family
  std::optional<IpPrefix> destination = {};
  std::optional<std::uint8_t> protocol = {};       ///< kIcmp stands for ICMPv6 too
  std::optional<FlowPortRange> source_ports = {};  ///< ports need kTcp or kUdp
  std::optional<FlowPortRange> destination_ports = {};

  [[nodiscard]] bool matches(const FlowKey& key) const;
  /// Whether it can match IPv4 (else IPv6) packets.
  [[nodiscard]] bool covers_family(bool v4) const;
  /// No packet matches both.
  [[nodiscard]] bool disjoint(const FlowMatch& other) const;
  bool operator==(const FlowMatch&) const = default;
};

struct FlowRule {
  struct Drop {
    bool operator==(const Drop&) const = default;
  };
  /// Lets in what keeps to the rate, and drops the rest.
  struct Police {
    std::uint32_t packets_per_second = 1;  ///< at least 1
    std::uint32_t burst = 1;               ///< packets that may come at once after a pause, at least 1
    bool operator==(const Police&) const = default;
  };
  struct Steer {
    std::uint16_t worker = 0;
    bool operator==(const Steer&) const = default;
  };

  std::string name = {};  ///< unique among rules; it becomes part of statistics' names
  FlowMatch match = {};
  std::variant<Drop, Police, Steer> action = Drop{};

  [[nodiscard]] bool steers() const { return std::holds_alternative<Steer>(action); }
  bool operator==(const FlowRule&) const = default;
};

}  // namespace millrace
