// The machine side of the configuration: workers, ports, addresses, routes. Source: millrace.v1.Dataplane. Read once, at start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/base/addresses.h"
#include "dataplane/base/flow_rule.h"
#include "dataplane/base/time.h"

namespace millrace::config {

struct TapDevice {
  std::string interface;
  std::string netns;  ///< empty: the gateway's own
};
struct AfXdpDevice {
  std::string interface;
  std::string netns;
  std::uint32_t start_queue = 0;
  std::uint16_t queues = 1;
};
struct PciDevice {
  std::string address;
};
struct MemifDevice {
  std::string socket;
  std::uint32_t id = 0;
  bool server = false;
};
struct VirtualDevice {
  std::string args;  ///< DPDK devargs, as in "--vdev"
};

struct StaticRoute {
  IpPrefix to;
  IpAddress via;
};

/// The model of a SmartNIC before a device.
struct NicModel {
  std::uint16_t queues = 0;  ///< 0: one for each worker
  bool checksums = false;
  bool segmentation = false;  ///< only with `checksums`
  bool rules = false;
};

struct PortConfig {
  std::string name;
  std::variant<TapDevice, AfXdpDevice, PciDevice, MemifDevice, VirtualDevice> device;
  std::uint16_t vlan = 0;  ///< 0: untagged
  std::uint16_t mtu = 1500;
  std::vector<IpPrefix> addresses;
  std::vector<StaticRoute> routes;
  std::optional<NicModel> model;
};

struct RuleConfig {
  FlowRule rule;
  std::vector<std::string> ports;  ///< names; empty: all
};

/// What may be chosen about TCP; the defaults are millrace.v1.Tcp's.
struct TcpSettings {
  bool new_reno = false;  ///< instead of CUBIC
  bool nagle = false;
  bool pacing = true;
  bool request_ecn = false;
  Duration user_timeout = Duration::infinite();
  Duration keep_alive_idle = Duration::infinite();  ///< infinite: no keep-alive
  Duration keep_alive_interval = Duration::seconds(75);
  std::uint32_t keep_alive_probes = 9;
  std::uint32_t max_buffer_bytes = 4 * 1024 * 1024;
};

/// What seals and opens records; the defaults are millrace.v1.CryptoDevice's.
struct CryptoDevice {
  std::string name;  ///< DPDK's
  std::string args;
  std::uint32_t connections = 4'096;  ///< of each worker
};

/// How the work of TLS is done; the defaults are millrace.v1.Tls's.
struct TlsSettings {
  enum class RecordEngine : std::uint8_t { kIpsecMb, kOpenssl, kCryptoDevice };
  RecordEngine record_engine = RecordEngine::kIpsecMb;
  CryptoDevice crypto_device;           ///< of kCryptoDevice
  std::uint32_t handshake_threads = 0;  ///< 0: not given; decided when the number of workers is known
};

struct Dataplane {
  enum class Idle : std::uint8_t { kPoll, kAdaptive };
  std::uint32_t worker_count = 0;  ///< 0: not given
  Idle idle = Idle::kAdaptive;
  enum class Hugepages : std::uint8_t { kIfFree, kRequired, kNever };
  Hugepages hugepages = Hugepages::kIfFree;
  enum class Fragments : std::uint8_t { kReassemble, kDrop };
  Fragments fragments = Fragments::kReassemble;
  TcpSettings tcp;
  TlsSettings tls;
  std::uint32_t packet_buffers = 0;  ///< per worker; 0: the default
  std::vector<PortConfig> ports;
  std::vector<RuleConfig> rules;
};

}  // namespace millrace::config
