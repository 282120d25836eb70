// ARP for IPv4 over Ethernet (RFC 826), the only kind there is on our ports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/addresses.h"
#include "dataplane/base/result.h"
#include "dataplane/wire/drop_reason.h"

namespace millrace::wire {

inline constexpr std::size_t kArpBytes = 28;

/// Both what is received and what is written.
struct ArpMessage {
  enum class Operation : std::uint16_t { kRequest = 1, kReply = 2 };
  Operation operation = Operation::kRequest;
  MacAddress sender_mac;
  IpAddress sender;
  MacAddress target_mac;
  IpAddress target;

  [[nodiscard]] static Result<ArpMessage, DropReason> parse(std::span<const std::uint8_t> payload);
  /// Writes kArpBytes.
  void write(std::span<std::uint8_t> out) const;
};

}  // namespace millrace::wire
