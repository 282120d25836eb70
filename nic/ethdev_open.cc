// Opening a port: probe, configure, set up queues and start, all inside the device's network namespace; see ethdev_port.h.
//
// Coming back from the namespace before the queues are set up would put a TAP's queue, which the driver opens by the interface's
// name at that moment, into the wrong one. Once open, its descriptors stay where they were made.
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "nic/ethdev_port.h"
#include "nic/mbuf_packet.h"

namespace millrace::nic {
namespace {

constexpr std::size_t kEthernetBytes = RTE_ETHER_HDR_LEN + 4;  // with a VLAN tag
constexpr std::size_t kXdpHeadroomBytes = 256;                 // the kernel's XDP_PACKET_HEADROOM, taken from each buffer
constexpr std::size_t kAfXdpFillBuffers = 2048;                // what the driver takes from the pool for each queue
constexpr std::uint16_t kTapRxDescriptors = 8;                 // a TAP reads frame by frame; each descriptor pins a buffer
constexpr std::string_view kTapDriver = "net_tap";

/// How many queue pairs a kind of device can have for so many workers, before it is asked itself.
struct QueuePairs {
  std::uint16_t workers;
  // The kernel would spread flows over a TAP's queues by a rule of its own.
  std::uint16_t operator()(const TapConfig&) const { return 1; }
  std::uint16_t operator()(const AfXdpConfig& xdp) const { return std::min(workers, xdp.queues); }
  std::uint16_t operator()(const PciConfig&) const { return workers; }
  // The other end chooses the queue, by what rule it does not tell.
  std::uint16_t operator()(const MemifConfig&) const { return 1; }
  std::uint16_t operator()(const VdevConfig&) const { return 1; }
};

std::string error_text(int result) { return rte_strerror(result < 0 ? -result : result); }

std::string in_netns(const std::string& netns) {
  return netns.empty() ? std::string("here") : "in network namespace \"" + netns + "\"";
}

std::string root_hint(const char* capabilities) {
  return geteuid() == 0 ? std::string() : std::string(" This process is not root: run it as root, or with ") + capabilities + ".";
}

/// Why probing will fail, found beforehand, since the drivers' error codes tell little. Runs inside the namespace.
struct Obstacle {
  std::string operator()(const TapConfig& tap) const {
    if (access("/dev/net/tun", F_OK) != 0) {
      return "/dev/net/tun is missing: load the kernel's tun module (modprobe tun), or give the container that device";
    }
    if (access("/dev/net/tun", R_OK | W_OK) != 0) return "/dev/net/tun cannot be opened." + root_hint("CAP_NET_ADMIN");
    if (if_nametoindex(tap.interface.c_str()) != 0) {
      return "an interface \"" + tap.interface + "\" exists already " + in_netns(tap.netns) +
             ": choose another name, or remove it with `ip link del " + tap.interface + "`";
    }
    return {};
  }
  std::string operator()(const AfXdpConfig& xdp) const {
    if (if_nametoindex(xdp.interface.c_str()) == 0) {
      return "there is no interface \"" + xdp.interface + "\" " + in_netns(xdp.netns) + ": `ip link` lists those that exist";
    }
    return {};
  }
  std::string operator()(const PciConfig& pci) const {
    const std::string path = "/sys/bus/pci/devices/" + pci.address;
    if (access(path.c_str(), F_OK) != 0)
      return "there is no PCI device " + pci.address + ": `dpdk-devbind.py --status` lists those that exist";
    return {};
  }
  std::string operator()(const MemifConfig& memif) const {
    const std::string directory = memif.socket.substr(0, std::max<std::size_t>(memif.socket.rfind('/'), 1));
    if (access(directory.c_str(), W_OK | X_OK) != 0)
      return "the directory " + directory + " of its socket: " + std::strerror(errno);
    return {};
  }
  std::string operator()(const VdevConfig&) const { return {}; }
};

/// What to look at after a driver has refused.
struct Advice {
  std::string operator()(const TapConfig&) const { return root_hint("CAP_NET_ADMIN"); }
  std::string operator()(const AfXdpConfig& xdp) const {
    return " AF_XDP needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_IPC_LOCK, an interface with no other XDP program (`ip link "
           "show " +
           xdp.interface + "`), and the queues that are asked for (`ethtool -l " + xdp.interface + "`)." +
           root_hint("these capabilities");
  }
  std::string operator()(const PciConfig& pci) const {
    return " Bind it to vfio-pci (`dpdk-devbind.py -b vfio-pci " + pci.address + "`) and name it among EAL's PCI devices." +
           root_hint("access to /dev/vfio");
  }
  std::string operator()(const MemifConfig&) const { return " Another server may own the socket or the id."; }
  std::string operator()(const VdevConfig& vdev) const {
    return " Check the arguments \"" + vdev.args + "\" against the driver's guide.";
  }
};

/// AF_XDP leaves the interface as it is; on one that is down, nothing would ever arrive.
std::string bring_up(const std::string& interface) {
  const int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  bool up = descriptor >= 0 && ioctl(descriptor, SIOCGIFFLAGS, &request) == 0;
  if (up && (request.ifr_flags & IFF_UP) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    up = ioctl(descriptor, SIOCSIFFLAGS, &request) == 0;
  }
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  return up ? std::string() : "interface \"" + interface + "\" cannot be set up: " + std::strerror(error);
}

bool is_tap(const PortConfig& config) { return std::holds_alternative<TapConfig>(config.device); }
bool is_af_xdp(const PortConfig& config) { return std::holds_alternative<AfXdpConfig>(config.device); }

std::size_t bytes_beside_packet(const PortConfig& config) {
  return limits::kPacketHeadroomBytes + kEthernetBytes + (is_af_xdp(config) ? kXdpHeadroomBytes : 0);
}

OfferedOffloads offered_by(const rte_eth_dev_info& device) {
  const std::uint64_t rx = device.rx_offload_capa;
  const std::uint64_t tx = device.tx_offload_capa;
  return {.rx_ip_checksum = (rx & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0,
          .rx_l4_checksum = (rx & RTE_ETH_RX_OFFLOAD_TCP_CKSUM) != 0,
          .tx = {.ip_checksum = (tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0,
                 .tcp_checksum = (tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0,
                 .multi_segment = (tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0,
                 .tcp_segmentation = (tx & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0},
          .rss = (device.flow_type_rss_offloads & (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)) != 0};
}

std::size_t largest_mtu(const PortConfig& config, const MbufPool& pool) {
  const std::size_t beside = bytes_beside_packet(config);
  return pool.buffer_bytes() > beside ? pool.buffer_bytes() - beside : 0;
}

}  // namespace

std::size_t buffer_bytes_for(const PortConfig& config) {
  return config.mtu.value_or(RTE_ETHER_MTU) + bytes_beside_packet(config);
}

Result<std::unique_ptr<EthdevPort>, std::string> EthdevPort::open(const PortConfig& config, MbufPool& pool, std::uint16_t workers,
                                                                  std::uint8_t index) {
  MR_ASSERT(workers > 0 && workers <= limits::kMaxWorkers && index < limits::kMaxPorts);
  const std::uint16_t queues = std::visit(QueuePairs{workers}, config.device);
  const auto refuse = [&](const std::string& reason) { return Error<std::string>("port \"" + config.name + "\": " + reason); };

  auto devargs = devargs_of(config, queues);
  if (!devargs) return Error<std::string>(std::move(devargs.error()));
  std::unique_ptr<EthdevPort> port(new EthdevPort(config, workers, index));
  port->info_.queues = queues;
  if (std::string problem = port->check(config, pool); !problem.empty()) return refuse(problem);
  auto netns = NetworkNamespace::open(devargs->netns);
  if (!netns) return refuse(netns.error());
  port->netns_ = std::move(*netns);
  std::string problem;
  {
    const auto inside = port->netns_.enter();
    if (!inside) return refuse(inside.error());
    problem = port->probe(config, *devargs);
    if (problem.empty()) problem = port->configure(config);
    if (problem.empty()) problem = port->set_up_queues(config, pool);
    if (problem.empty()) problem = port->set_mtu(config);
    if (problem.empty()) problem = port->start(config);
    if (problem.empty()) port->place(config);
  }
  if (!problem.empty()) return refuse(problem);
  port->refresh_link();
  return port;
}

std::string EthdevPort::check(const PortConfig& config, const MbufPool& pool) const {
  if (config.mtu && *config.mtu > largest_mtu(config, pool)) {
    return "mtu " + std::to_string(*config.mtu) + " does not fit the packet buffers: at most " +
           std::to_string(largest_mtu(config, pool)) + " on this kind of port";
  }
  const std::size_t for_each = is_af_xdp(config) ? 2 * kAfXdpFillBuffers
                               : is_tap(config)  ? 2 * kTapRxDescriptors
                                                 : config.rx_descriptors;
  const std::size_t needed = for_each * info_.queues;
  const std::size_t free = pool.capacity() - pool.in_use();
  if (free >= needed) return {};
  return "its receive queues (" + std::to_string(info_.queues) + ") need " + std::to_string(needed) +
         " free buffers, the pool has " + std::to_string(free) + ": make the pool larger, or rx_descriptors fewer";
}

std::string EthdevPort::probe(const PortConfig& config, const Devargs& devargs) {
  if (std::string obstacle = std::visit(Obstacle{}, config.device); !obstacle.empty()) return obstacle;
  if (is_af_xdp(config)) {
    if (std::string problem = bring_up(std::get<AfXdpConfig>(config.device).interface); !problem.empty()) return problem;
  }
  // A PCI device was probed when EAL started: -EEXIST is as good.
  const int result = rte_dev_probe(devargs.text.c_str());
  std::uint16_t ethdev = 0;
  if ((result != 0 && result != -EEXIST) || rte_eth_dev_get_port_by_name(devargs.device.c_str(), &ethdev) != 0) {
    return "device \"" + devargs.text + "\" cannot be opened: " + error_text(result == 0 ? ENODEV : result) + "." +
           std::visit(Advice{}, config.device);
  }
  ethdev_ = ethdev;
  return {};
}

std::string EthdevPort::configure(const PortConfig& config) {
  rte_eth_dev_info device{};
  if (const int result = rte_eth_dev_info_get(ethdev_, &device); result != 0)
    return "the driver gives no information: " + error_text(result);
  info_.driver = device.driver_name;
  info_.numa_node = rte_eth_dev_socket_id(ethdev_);
  info_.queues = std::min({info_.queues, device.max_rx_queues, device.max_tx_queues});

  offered_ = offered_by(device);
  // The TAP driver offers checksums and segmentation but computes them in software, with a copy of the headers for each frame.
  // The stack's own code is no slower and is the one that is tested everywhere, so a TAP claims nothing.
  const bool software = info_.driver == kTapDriver;
  const std::uint64_t rx = software ? 0 : device.rx_offload_capa;
  const std::uint64_t tx = software ? 0 : device.tx_offload_capa;
  if (!software) {
    info_.rx_ip_checksum = offered_.rx_ip_checksum;
    info_.rx_l4_checksum = offered_.rx_l4_checksum;
    info_.tx = offered_.tx;
  }
  const std::size_t most_parts = device.tx_desc_lim.nb_seg_max;  // 0: not told
  info_.tx.tcp_segmentation = info_.tx.tcp_segmentation && info_.tx.tcp_checksum && info_.tx.multi_segment &&
                              (most_parts == 0 || most_parts > Packet::kMostAttached);
  const std::uint64_t hashes =
      info_.queues == 1
          ? 0
          : device.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP);
  RssTable wanted = RssTable::symmetric(info_.queues, std::max<std::size_t>(device.hash_key_size, FlowSteering::kKeyBytes));

  rte_eth_conf conf{};
  conf.rxmode.offloads = rx & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
  conf.txmode.offloads = tx & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
  if (info_.tx.tcp_segmentation) conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
  // memif takes whatever its buffers hold, and says otherwise.
  const bool any_mtu = std::holds_alternative<MemifConfig>(config.device);
  conf.rxmode.mtu = any_mtu ? 0 : config.mtu.value_or(0);
  if (hashes != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf = {.rss_key = wanted.key.data(), .rss_key_len = device.hash_key_size, .rss_hf = hashes};
    if (device.hash_key_size == 0) conf.rx_adv_conf.rss_conf.rss_key = nullptr;  // its key cannot be chosen
  }
  conf.intr_conf.rxq = software ? 1 : 0;  // see wait_descriptor()
  if (const int result = rte_eth_dev_configure(ethdev_, info_.queues, info_.queues, &conf); result != 0) {
    return "the driver " + info_.driver + " refuses " + std::to_string(info_.queues) + " queue pairs" +
           (config.mtu ? " or mtu " + std::to_string(*config.mtu) : std::string()) + ": " + error_text(result);
  }
  return {};
}

std::string EthdevPort::set_up_queues(const PortConfig& config, MbufPool& pool) {
  std::uint16_t rx_descriptors = is_tap(config) ? std::min(kTapRxDescriptors, config.rx_descriptors) : config.rx_descriptors;
  std::uint16_t tx_descriptors = config.tx_descriptors;
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(ethdev_, &rx_descriptors, &tx_descriptors); result != 0) {
    return "the driver " + info_.driver + " cannot adjust its descriptors: " + error_text(result);
  }
  const auto socket = static_cast<unsigned>(info_.numa_node);
  for (std::uint16_t queue = 0; queue < info_.queues; ++queue) {
    int result = rte_eth_rx_queue_setup(ethdev_, queue, rx_descriptors, socket, nullptr, pool.mempool());
    const char* side = "receive";
    if (result == 0) {
      side = "transmit";
      result = rte_eth_tx_queue_setup(ethdev_, queue, tx_descriptors, socket, nullptr);
    }
    if (result != 0) {
      return std::string(side) + " queue " + std::to_string(queue) + " with " + std::to_string(rx_descriptors) + "/" +
             std::to_string(tx_descriptors) + " descriptors cannot be set up: " + error_text(result) + "." +
             std::visit(Advice{}, config.device);
    }
  }
  return {};
}

std::string EthdevPort::set_mtu(const PortConfig& config) {
  if (config.mtu) {
    // memif has no MTU of its own: what the buffers hold passes.
    const int result = rte_eth_dev_set_mtu(ethdev_, *config.mtu);
    if (result != 0 && result != -ENOTSUP) return "mtu " + std::to_string(*config.mtu) + " is refused: " + error_text(result);
    info_.mtu = *config.mtu;
    return {};
  }
  if (rte_eth_dev_get_mtu(ethdev_, &info_.mtu) != 0) info_.mtu = RTE_ETHER_MTU;
  return {};
}

std::string EthdevPort::start(const PortConfig& config) {
  if (const int result = rte_eth_dev_start(ethdev_); result != 0) {
    return "the device cannot be started: " + error_text(result) + "." + std::visit(Advice{}, config.device);
  }
  started_ = true;
  rte_ether_addr address{};
  if (const int result = rte_eth_macaddr_get(ethdev_, &address); result != 0)
    return "its MAC address cannot be read: " + error_text(result);
  std::copy(std::begin(address.addr_bytes), std::end(address.addr_bytes), info_.mac.bytes.begin());
  info_.rss = read_rss();
  info_.offloads = offload_uses(info_, offered_, info_.driver == kTapDriver);
  if (is_tap(config)) {
    // The driver tells the address of the kernel's end. Ours must be another: with the same on both ends IPv6 finds its
    // link-local address taken. A TAP passes every frame, so that the choice is free.
    info_.mac.bytes[5] ^= 1;
    info_.mac = std::get<TapConfig>(config.device).mac.value_or(info_.mac);
    for (std::uint16_t queue = 0; queue < info_.queues; ++queue) {
      wait_descriptors_[queue] = rte_eth_dev_rx_intr_ctl_q_get_fd(ethdev_, queue);
    }
  } else if (rte_eth_allmulticast_enable(ethdev_) != 0) {
    // IPv6's neighbour discovery comes by multicast. Devices that filter nothing know neither call.
    static_cast<void>(rte_eth_promiscuous_enable(ethdev_));
  }
  return {};
}

void EthdevPort::place(const PortConfig& config) {
  if (config.rules.empty()) return;
  flow_table_ = std::make_unique<EthdevRules>(ethdev_);
  rules_ = place_rules(config.rules, {.vlan = config.vlan, .queues = info_.queues, .workers = workers_}, *flow_table_);
}

// What the device does, not what it was asked to: keys may be fixed, tables have sizes of their own.
std::optional<RssTable> EthdevPort::read_rss() const {
  constexpr std::uint64_t kTcp = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
  rte_eth_dev_info device{};
  if (info_.queues == 1 || rte_eth_dev_info_get(ethdev_, &device) != 0) return std::nullopt;
  if (device.hash_key_size < FlowSteering::kKeyBytes || !std::has_single_bit(device.reta_size)) return std::nullopt;
  RssTable table{.key = std::vector<std::uint8_t>(device.hash_key_size), .queues = {}};
  rte_eth_rss_conf rss{.rss_key = table.key.data(), .rss_key_len = device.hash_key_size, .rss_hf = 0};
  if (rte_eth_dev_rss_hash_conf_get(ethdev_, &rss) != 0 || (rss.rss_hf & kTcp) != kTcp) return std::nullopt;
  std::vector<rte_eth_rss_reta_entry64> groups((device.reta_size + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE);
  for (rte_eth_rss_reta_entry64& group : groups) group.mask = ~std::uint64_t{0};
  if (rte_eth_dev_rss_reta_query(ethdev_, groups.data(), device.reta_size) != 0) return std::nullopt;
  for (std::size_t i = 0; i < device.reta_size; ++i) {
    table.queues.push_back(groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE]);
  }
  return table;
}

}  // namespace millrace::nic
