// Device arguments; see devargs.h.
#include "nic/devargs.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string_view>

namespace millrace::nic {
namespace {

constexpr std::size_t kMaxPortName = 32;
constexpr std::size_t kMaxInterfaceName = 15;  // IFNAMSIZ - 1
constexpr std::size_t kMaxSocketPath = 107;    // sun_path, with its terminator

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// Characters that DPDK's key=value,key=value language gives a meaning to.
bool fits_devargs(std::string_view text) { return text.find_first_of(",=[]\" \t\n") == std::string_view::npos; }

std::string interface_problem(const std::string& name) {
  if (name.empty()) return "interface is missing";
  if (name.size() > kMaxInterfaceName) {
    return "interface \"" + name + "\" has " + std::to_string(name.size()) + " bytes: the kernel takes at most 15";
  }
  if (name == "." || name == ".." || name.find('/') != std::string::npos || name.find(':') != std::string::npos ||
      name.find('%') != std::string::npos || !fits_devargs(name)) {
    return "interface \"" + name + "\" holds a character that an interface's name cannot have here";
  }
  return {};
}

std::string netns_problem(const std::string& name) {
  if (name == "." || name == ".." || name.find('/') != std::string::npos) {
    return "netns \"" + name + "\" is not the name of a namespace (as in `ip netns add NAME`)";
  }
  return {};
}

/// Builds one kind's arguments; `problem` is left empty when all is well.
struct Builder {
  const std::string& port;
  std::optional<std::uint16_t> mtu;
  std::uint16_t queues;
  std::string problem;

  Devargs operator()(const TapConfig& tap) {
    problem = interface_problem(tap.interface);
    if (problem.empty()) problem = netns_problem(tap.netns);
    // The driver's mac= sets the kernel's end, which must differ from ours: ours stands in PortInfo only.
    if (tap.mac && tap.mac->is_multicast()) problem = "mac " + tap.mac->to_string() + " is a multicast address";
    const std::string device = "net_tap_" + port;
    return {device, device + ",iface=" + tap.interface, tap.netns};
  }

  Devargs operator()(const AfXdpConfig& xdp) {
    problem = interface_problem(xdp.interface);
    if (problem.empty()) problem = netns_problem(xdp.netns);
    const std::string device = "net_af_xdp_" + port;
    return {device,
            device + ",iface=" + xdp.interface + ",start_queue=" + std::to_string(xdp.start_queue) +
                ",queue_count=" + std::to_string(queues),
            xdp.netns};
  }

  Devargs operator()(const PciConfig& pci) {
    if (!is_pci_address(pci.address)) problem = "pci address \"" + pci.address + "\" is not of the form 0000:3b:00.0";
    return {pci.address, pci.address, {}};
  }

  Devargs operator()(const MemifConfig& memif) {
    if (memif.socket.empty() || memif.socket.front() != '/') {
      problem = "memif socket \"" + memif.socket + "\" is not an absolute path";
    } else if (memif.socket.size() > kMaxSocketPath) {
      problem = "memif socket has " + std::to_string(memif.socket.size()) + " bytes: a socket's path has at most 107";
    } else if (!fits_devargs(memif.socket)) {
      problem = "memif socket \"" + memif.socket + "\" holds a comma, an equals sign, a bracket, a quote or a blank";
    }
    const std::string device = "net_memif_" + port;
    return {device,
            device + ",role=" + (memif.role == MemifConfig::Role::kServer ? "server" : "client") +
                ",id=" + std::to_string(memif.id) + ",socket=" + memif.socket + ",socket-abstract=no" + ring_buffers(),
            {}};
  }

  // A frame in several buffers of the ring makes DPDK 22.11's driver send garbage once the ring is full, and read outside of it
  // on the other side: each buffer holds a whole frame.
  [[nodiscard]] std::string ring_buffers() const {
    constexpr std::size_t kDefault = 2048;
    constexpr std::size_t kStep = 1024;
    const std::size_t frame = std::size_t{mtu.value_or(0)} + 18;  // Ethernet with a VLAN tag
    return frame <= kDefault ? std::string() : ",bsize=" + std::to_string((frame + kStep - 1) / kStep * kStep);
  }

  Devargs operator()(const VdevConfig& vdev) {
    if (vdev.args.empty()) problem = "vdev args are missing, as in \"net_null0\"";
    return {vdev.args.substr(0, vdev.args.find(',')), vdev.args, {}};
  }
};

}  // namespace

bool is_pci_address(std::string_view text) {
  constexpr std::string_view kShape = "hhhh:hh:hh.h";
  return text.size() == kShape.size() && std::equal(text.begin(), text.end(), kShape.begin(),
                                                    [](char c, char shape) { return shape == 'h' ? is_hex(c) : c == shape; });
}

Result<Devargs, std::string> devargs_of(const PortConfig& config, std::uint16_t queues) {
  const bool legal_name =
      !config.name.empty() && config.name.size() <= kMaxPortName &&
      std::all_of(config.name.begin(), config.name.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_'; });
  if (!legal_name) {
    return Error<std::string>("port \"" + config.name + "\": a port's name has 1 to 32 letters, digits, '-' or '_'");
  }
  Builder builder{config.name, config.mtu, queues, {}};
  Devargs devargs = std::visit(builder, config.device);
  if (!builder.problem.empty()) return Error<std::string>("port \"" + config.name + "\": " + builder.problem);
  return devargs;
}

int numa_node_of(const PortConfig& config, const std::string& sysfs) {
  std::string path;
  if (const auto* pci = std::get_if<PciConfig>(&config.device)) path = sysfs + "/bus/pci/devices/" + pci->address + "/numa_node";
  if (const auto* xdp = std::get_if<AfXdpConfig>(&config.device))
    path = sysfs + "/class/net/" + xdp->interface + "/device/numa_node";
  if (path.empty()) return -1;
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return -1;
  int node = -1;
  if (std::fscanf(file, "%d", &node) != 1) node = -1;
  std::fclose(file);
  return node;
}

}  // namespace millrace::nic
