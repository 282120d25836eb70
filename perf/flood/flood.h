// What an attacker sends: frames whose source, port and numbers are made up, at the rate of a device. Sans-I/O: frames into
// packets, and an account of what comes back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/base/addresses.h"
#include "dataplane/base/rng.h"
#include "nic/packet.h"

namespace millrace::perf {

enum class FloodKind : std::uint8_t {
  kSyn,      ///< SYNs of hosts that do not exist: the answers go to the router that we pretend to be
  kAck,      ///< acknowledgements of cookies that were never sent
  kRst,      ///< resets of connections that do not exist, or do by chance
  kGarbage,  ///< TCP segments with random headers and options, right checksums
};
[[nodiscard]] std::optional<FloodKind> flood_kind(std::string_view name);

struct FloodConfig {
  FloodKind kind = FloodKind::kSyn;
  MacAddress mac{{2, 0, 0, 0, 0xf1, 0x0d}};
  MacAddress target_mac;
  IpAddress router;      ///< ours: IPv4, on the target's network
  IpPrefix sources;      ///< IPv4: where the made-up hosts live
  SocketAddress target;  ///< IPv4
  std::uint64_t seed = 1;
};

class Flood {
 public:
  explicit Flood(const FloodConfig& config) : config_(config), rng_(config.seed) {}

  /// The next frame, written into an empty packet.
  void write(nic::Packet& packet);
  /// "Who has the target, tell the router": what the target learns our address by, and we its.
  void write_arp_request(nic::Packet& packet) const;

  /// What the target sent. Counted; an ARP request for the router is answered in place (true: send it back). From the target's
  /// ARP messages its MAC address is learned.
  [[nodiscard]] bool receive(nic::Packet& packet);
  [[nodiscard]] bool knows_target() const { return config_.target_mac != MacAddress(); }

  struct Answers {
    std::uint64_t syn_acks = 0;
    std::uint64_t resets = 0;
    std::uint64_t others = 0;  ///< TCP
  };
  [[nodiscard]] const Answers& answers() const { return answers_; }

 private:
  FloodConfig config_;
  Rng rng_;
  Answers answers_;
};

}  // namespace millrace::perf
