// millrace.v1.Dataplane -> config::Dataplane.
#include <algorithm>
#include <map>
#include <utility>

#include "control-agent/dataplane_rules.h"
#include "control-agent/translate.h"
#include "control-agent/translate_common.h"
#include "millrace/v1/dataplane.pb.h"

namespace millrace::agent {

namespace {

void translate_device(const v1::Port& port, config::PortConfig& out) {
  switch (port.device_case()) {
    case v1::Port::kTap: out.device = config::TapDevice{port.tap().interface(), port.tap().netns()}; break;
    case v1::Port::kAfXdp:
      out.device = config::AfXdpDevice{
          .interface = port.af_xdp().interface(),
          .netns = port.af_xdp().netns(),
          .start_queue = port.af_xdp().start_queue(),
          .queues = static_cast<std::uint16_t>(port.af_xdp().has_queues() ? port.af_xdp().queues().value() : 1)};
      break;
    case v1::Port::kPci: out.device = config::PciDevice{port.pci().address()}; break;
    case v1::Port::kMemif:
      out.device = config::MemifDevice{port.memif().socket(), port.memif().id(), port.memif().role() == v1::Memif::SERVER};
      break;
    case v1::Port::kVdev: out.device = config::VirtualDevice{port.vdev().args()}; break;
    case v1::Port::DEVICE_NOT_SET: break;  // validate.rules has reported it
  }
}

/// "Cannot be a host's address in this prefix": the network's own and its broadcast address (RFC 3021 lets /31 and /32 use both).
bool is_network_or_broadcast(const IpPrefix& prefix) {
  if (!prefix.address.is_v4() || prefix.length > 30) return false;
  if (prefix.broadcast() == prefix.address) return true;
  std::uint32_t value = 0;
  for (const auto byte : prefix.address.v4_bytes()) value = (value << 8) | byte;
  return (value & (0xffff'ffffU >> prefix.length)) == 0;
}

void translate_port_addresses(const v1::Port& port, const std::string& path, std::map<IpAddress, std::string>& owners,
                              config::PortConfig& out, Diagnostics& diagnostics) {
  const std::string list = join_path(path, "addresses");
  for (int i = 0; i < port.addresses_size(); ++i) {
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    const auto& text = port.addresses(i);
    const auto prefix = IpPrefix::parse(text);
    if (!prefix) {
      diagnostics.error(at, "\"" + text + "\" is not an address with its prefix length, such as 198.18.0.2/24 or 2001:db8::2/64");
    } else if (prefix->address.is_unspecified() || prefix->address.is_multicast() || prefix->address.is_broadcast() ||
               is_network_or_broadcast(*prefix)) {
      diagnostics.error(at, "\"" + text + "\" is not the address of a host");
    } else if (prefix->address.is_loopback()) {
      diagnostics.error(at, "\"" + text + "\" is a loopback address, which belongs to the host's kernel");
    } else if (const auto [owner, first] = owners.emplace(prefix->address, at); !first) {
      diagnostics.error(at, "\"" + text + "\" is given twice: first as " + owner->second);
    } else {
      out.addresses.push_back(*prefix);
    }
  }
}

void translate_port_routes(const v1::Port& port, const std::string& path, config::PortConfig& out, Diagnostics& diagnostics) {
  const std::string list = join_path(path, "routes");
  for (int i = 0; i < port.routes_size(); ++i) {
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    const auto& route = port.routes(i);
    const auto to = IpPrefix::parse(route.to());
    const auto via = IpAddress::parse(route.via());
    if (!to)
      diagnostics.error(join_path(at, "to"), "\"" + route.to() + "\" is not a prefix, such as 0.0.0.0/0 or 2001:db8:1::/48");
    if (!via) diagnostics.error(join_path(at, "via"), "\"" + route.via() + "\" is not an IP address");
    if (!to || !via) continue;
    if (to->address.is_v4() != via->is_v4()) {
      diagnostics.error(join_path(at, "via"), "\"" + route.via() + "\" is not of the same IP version as " + route.to());
    } else if (std::ranges::none_of(out.addresses, [&](const IpPrefix& own) { return own.contains(*via); })) {
      diagnostics.error(join_path(at, "via"),
                        "\"" + route.via() + "\" cannot be reached: it lies in no prefix of this port's addresses");
    } else {
      out.routes.push_back({*to, *via});
    }
  }
}

config::TcpSettings translate_tcp(const v1::Tcp& tcp, const std::string& path, Diagnostics& diagnostics) {
  config::TcpSettings out;
  out.new_reno = tcp.congestion_control() == v1::Tcp::NEW_RENO;
  out.nagle = tcp.nagle();
  out.pacing = !tcp.disable_pacing();
  out.request_ecn = tcp.request_ecn();
  if (tcp.has_user_timeout()) {
    out.user_timeout = translate_duration(tcp.user_timeout(), join_path(path, "user_timeout"), diagnostics);
  }
  if (tcp.has_max_buffer_bytes()) out.max_buffer_bytes = tcp.max_buffer_bytes().value();
  if (!tcp.has_keep_alive()) return out;
  const v1::Tcp::KeepAlive& keep_alive = tcp.keep_alive();
  const std::string at = join_path(path, "keep_alive");
  out.keep_alive_idle = Duration::seconds(7'200);
  if (keep_alive.has_idle()) out.keep_alive_idle = translate_duration(keep_alive.idle(), join_path(at, "idle"), diagnostics);
  if (keep_alive.has_interval()) {
    out.keep_alive_interval = translate_duration(keep_alive.interval(), join_path(at, "interval"), diagnostics);
  }
  if (keep_alive.has_probes()) out.keep_alive_probes = keep_alive.probes().value();
  return out;
}

config::TlsSettings::RecordEngine translate_record_engine(v1::Tls::RecordEngine engine) {
  using enum config::TlsSettings::RecordEngine;
  return engine == v1::Tls::OPENSSL ? kOpenssl : engine == v1::Tls::CRYPTODEV ? kCryptoDevice : kIpsecMb;
}

config::TlsSettings translate_tls(const v1::Tls& tls, const std::string& path, Diagnostics& diagnostics) {
  config::TlsSettings out;
  out.record_engine = translate_record_engine(tls.record_engine());
  out.handshake_threads = tls.handshake_threads().value();
  const bool by_device = tls.record_engine() == v1::Tls::CRYPTODEV;
  if (by_device && !tls.has_crypto_device()) {
    diagnostics.error(join_path(path, "record_engine"),
                      "CRYPTODEV needs a device: give crypto_device, such as {name: crypto_aesni_mb}");
  }
  if (!by_device && tls.has_crypto_device()) {
    diagnostics.error(join_path(path, "crypto_device"),
                      "is not used by record_engine: " + v1::Tls::RecordEngine_Name(tls.record_engine()) +
                          ": choose CRYPTODEV, or leave it out");
  }
  out.crypto_device.name = tls.crypto_device().name();
  out.crypto_device.args = tls.crypto_device().args();
  if (tls.crypto_device().has_connections()) out.crypto_device.connections = tls.crypto_device().connections().value();
  return out;
}

}  // namespace

config::Dataplane translate_dataplane(const v1::Dataplane& dataplane, const std::string& path, Diagnostics& diagnostics) {
  config::Dataplane out;
  out.worker_count = dataplane.workers().count().value();
  out.idle =
      dataplane.workers().idle() == v1::Workers::POLL ? config::Dataplane::Idle::kPoll : config::Dataplane::Idle::kAdaptive;
  out.packet_buffers = dataplane.packet_buffers().value();
  out.hugepages = dataplane.hugepages() == v1::Dataplane::REQUIRED ? config::Dataplane::Hugepages::kRequired
                  : dataplane.hugepages() == v1::Dataplane::NEVER  ? config::Dataplane::Hugepages::kNever
                                                                   : config::Dataplane::Hugepages::kIfFree;
  out.fragments = dataplane.fragments() == v1::Dataplane::DROP ? config::Dataplane::Fragments::kDrop
                                                               : config::Dataplane::Fragments::kReassemble;
  out.tls = translate_tls(dataplane.tls(), join_path(path, "tls"), diagnostics);
  out.tcp = translate_tcp(dataplane.tcp(), join_path(path, "tcp"), diagnostics);
  std::map<std::string, std::string> names;
  std::map<IpAddress, std::string> owners;
  const std::string list = join_path(path, "ports");
  for (int i = 0; i < dataplane.ports_size(); ++i) {
    const auto& port = dataplane.ports(i);
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    config::PortConfig config;
    config.name = port.name();
    const auto [owner, first] = names.emplace(port.name(), at);
    if (!first) diagnostics.error(join_path(at, "name"), "\"" + port.name() + "\" is already the name of " + owner->second);
    translate_device(port, config);
    if (port.has_vlan()) config.vlan = static_cast<std::uint16_t>(port.vlan().value());
    if (port.has_mtu()) config.mtu = static_cast<std::uint16_t>(port.mtu().value());
    translate_port_addresses(port, at, owners, config, diagnostics);
    translate_port_routes(port, at, config, diagnostics);
    if (port.has_model()) config.model = translate_model(port.model(), join_path(at, "model"), diagnostics);
    out.ports.push_back(std::move(config));
  }
  out.rules = translate_rules(dataplane, path, diagnostics);
  return out;
}

}  // namespace millrace::agent
