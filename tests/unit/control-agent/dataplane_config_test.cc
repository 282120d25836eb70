#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control-agent/loader.h"
#include "control-agent/translate.h"
#include "millrace/v1/dataplane.pb.h"

namespace millrace::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Translated {
  config::Dataplane machine;
  std::vector<std::string> errors;
};

Translated translate(std::string_view text) {
  v1::Dataplane message;
  SourceMap places;
  Diagnostics diagnostics(&places);
  EXPECT_TRUE(parse_text(text, "", {}, message, places, diagnostics)) << diagnostics.errors().at(0).to_string();
  Translated out;
  out.machine = translate_dataplane(message, "", diagnostics);
  for (const auto& error : diagnostics.errors()) out.errors.push_back(error.path + ": " + error.reason);
  return out;
}

TEST(TranslateDataplane, TakesWorkersAndMemory) {
  const auto out = translate("{workers: {count: 4, idle: POLL}, packet_buffers: 4096, hugepages: REQUIRED}").machine;
  EXPECT_EQ(out.worker_count, 4U);
  EXPECT_EQ(out.idle, config::Dataplane::Idle::kPoll);
  EXPECT_EQ(out.packet_buffers, 4096U);
  EXPECT_EQ(out.hugepages, config::Dataplane::Hugepages::kRequired);
  const auto defaults = translate("{ports: []}").machine;
  EXPECT_EQ(defaults.worker_count, 0U);
  EXPECT_EQ(defaults.fragments, config::Dataplane::Fragments::kReassemble);
  EXPECT_EQ(defaults.idle, config::Dataplane::Idle::kAdaptive);
}

TEST(TranslateDataplane, TakesEveryKindOfDevice) {
  const auto out = translate(
      "ports:\n"
      "- {name: a, tap: {interface: mr0, netns: n}}\n"
      "- {name: b, af_xdp: {interface: eth1}}\n"
      "- {name: c, pci: {address: \"0000:3b:00.0\"}}\n"
      "- {name: d, memif: {socket: /run/m.sock, id: 3, role: CLIENT}}\n"
      "- {name: e, vdev: {args: net_null0}, mtu: 9000}\n");
  ASSERT_THAT(out.errors, ElementsAre());
  const auto& ports = out.machine.ports;
  EXPECT_EQ(std::get<config::TapDevice>(ports.at(0).device).netns, "n");
  EXPECT_EQ(std::get<config::AfXdpDevice>(ports.at(1).device).interface, "eth1");
  EXPECT_EQ(std::get<config::PciDevice>(ports.at(2).device).address, "0000:3b:00.0");
  EXPECT_EQ(std::get<config::MemifDevice>(ports.at(3).device).id, 3U);
  EXPECT_FALSE(std::get<config::MemifDevice>(ports.at(3).device).server);
  EXPECT_EQ(std::get<config::VirtualDevice>(ports.at(4).device).args, "net_null0");
  EXPECT_EQ(ports.at(4).mtu, 9000);
}

TEST(TranslateDataplane, TakesFragmentsAndVlans) {
  const auto out = translate(
      "fragments: DROP\n"
      "ports:\n"
      "- {name: a, tap: {interface: x}, vlan: 4094}\n"
      "- {name: b, tap: {interface: y}}\n");
  ASSERT_THAT(out.errors, ElementsAre());
  EXPECT_EQ(out.machine.fragments, config::Dataplane::Fragments::kDrop);
  EXPECT_EQ(out.machine.ports.at(0).vlan, 4094);
  EXPECT_EQ(out.machine.ports.at(1).vlan, 0);
}

TEST(TranslateDataplane, TakesWhatMayBeChosenAboutTcp) {
  const auto plain = translate("ports: [{name: a, tap: {interface: x}}]");
  EXPECT_FALSE(plain.machine.tcp.new_reno);
  EXPECT_TRUE(plain.machine.tcp.pacing);
  EXPECT_TRUE(plain.machine.tcp.keep_alive_idle.is_infinite());
  const auto out = translate(
      "tcp: {congestion_control: NEW_RENO, nagle: true, disable_pacing: true, request_ecn: true, user_timeout: 30s, "
      "max_buffer_bytes: 100000, keep_alive: {idle: 60s, probes: 3}}\n"
      "ports: [{name: a, tap: {interface: x}}]");
  ASSERT_THAT(out.errors, ElementsAre());
  EXPECT_TRUE(out.machine.tcp.new_reno && out.machine.tcp.nagle && out.machine.tcp.request_ecn && !out.machine.tcp.pacing);
  EXPECT_EQ(out.machine.tcp.user_timeout, Duration::seconds(30));
  EXPECT_EQ(out.machine.tcp.max_buffer_bytes, 100'000U);
  EXPECT_EQ(out.machine.tcp.keep_alive_idle, Duration::seconds(60));
  EXPECT_EQ(out.machine.tcp.keep_alive_interval, Duration::seconds(75));
  EXPECT_EQ(out.machine.tcp.keep_alive_probes, 3U);
}

TEST(TranslateDataplane, TakesHowTlsIsDone) {
  const auto plain = translate("{ports: []}").machine.tls;
  EXPECT_EQ(plain.record_engine, config::TlsSettings::RecordEngine::kIpsecMb);
  EXPECT_EQ(plain.handshake_threads, 0U);
  const auto other = translate("{tls: {record_engine: OPENSSL, handshake_threads: 3}}").machine.tls;
  EXPECT_EQ(other.record_engine, config::TlsSettings::RecordEngine::kOpenssl);
  EXPECT_EQ(other.handshake_threads, 3U);
}

TEST(TranslateDataplane, TakesACryptoDevice) {
  const auto least = translate("{tls: {record_engine: CRYPTODEV, crypto_device: {name: \"0000:3d:01.0_qat_sym\"}}}");
  EXPECT_THAT(least.errors, ElementsAre());
  EXPECT_EQ(least.machine.tls.record_engine, config::TlsSettings::RecordEngine::kCryptoDevice);
  EXPECT_EQ(least.machine.tls.crypto_device.name, "0000:3d:01.0_qat_sym");
  EXPECT_EQ(least.machine.tls.crypto_device.connections, 4'096U);
  const auto all = translate(
      "{tls: {record_engine: CRYPTODEV, crypto_device: {name: crypto_aesni_mb, args: max_nb_queue_pairs=16, connections: 9}}}");
  EXPECT_THAT(all.errors, ElementsAre());
  EXPECT_EQ(all.machine.tls.crypto_device.args, "max_nb_queue_pairs=16");
  EXPECT_EQ(all.machine.tls.crypto_device.connections, 9U);
}

TEST(TranslateDataplane, RefusesACryptoDeviceThatNobodyUsesAndItsUserWithoutOne) {
  EXPECT_THAT(translate("{tls: {record_engine: CRYPTODEV}}").errors,
              ElementsAre(HasSubstr("tls.record_engine: CRYPTODEV needs a device: give crypto_device")));
  EXPECT_THAT(translate("{tls: {record_engine: OPENSSL, crypto_device: {name: crypto_aesni_mb}}}").errors,
              ElementsAre(HasSubstr("tls.crypto_device: is not used by record_engine: OPENSSL")));
  EXPECT_THAT(translate("{tls: {crypto_device: {name: crypto_aesni_mb}}}").errors,
              ElementsAre(HasSubstr("is not used by record_engine: IPSEC_MB")));
}

TEST(TranslateDataplane, TakesAddressesAndRoutes) {
  const auto out = translate(
      "{ports: [{name: a, tap: {interface: x}, addresses: [198.18.0.2/24, \"2001:db8::2/64\", 10.0.0.0/31, 10.9.9.9/32], "
      "routes: [{to: 0.0.0.0/0, via: 198.18.0.1}, {to: \"::/0\", via: \"2001:db8::1\"}]}]}");
  EXPECT_THAT(out.errors, ElementsAre());
  EXPECT_EQ(out.machine.ports.at(0).addresses.size(), 4U);
  EXPECT_EQ(out.machine.ports.at(0).routes.at(1).via.to_string(), "2001:db8::1");
}

TEST(TranslateDataplane, RefusesAddressesThatNoHostCanHave) {
  const auto out = translate(
      "{ports: [{name: a, tap: {interface: x}, addresses: [1.2.3.4, 198.18.0.0/24, 198.18.0.255/24, 127.0.0.1/8, 224.0.0.1/24, "
      "0.0.0.0/0, 198.18.0.2/24, 198.18.0.2/24]}]}");
  EXPECT_EQ(out.errors.size(), 7U);
  EXPECT_EQ(out.machine.ports.at(0).addresses.size(), 1U);
  EXPECT_THAT(out.errors.back(),
              HasSubstr("ports[0].addresses[7]: \"198.18.0.2/24\" is given twice: first as ports[0].addresses[6]"));
}

TEST(TranslateDataplane, RefusesRoutesThatLeadNowhere) {
  const auto out = translate(
      "{ports: [{name: a, tap: {interface: x}, addresses: [198.18.0.2/24], routes: [{to: 0.0.0.0/0, via: 10.0.0.1}, "
      "{to: \"::/0\", via: 198.18.0.1}, {to: all, via: gateway}]}]}");
  EXPECT_THAT(out.errors, ElementsAre(HasSubstr("ports[0].routes[0].via: \"10.0.0.1\" cannot be reached"),
                                      HasSubstr("ports[0].routes[1].via: \"198.18.0.1\" is not of the same IP version"),
                                      HasSubstr("ports[0].routes[2].to: \"all\" is not a prefix"),
                                      HasSubstr("ports[0].routes[2].via: \"gateway\" is not an IP address")));
}

TEST(TranslateDataplane, TakesRulesOfEveryKind) {
  const auto out = translate(
      "ports: [{name: a, tap: {interface: x}}]\n"
      "rules:\n"
      "- {name: telnet, match: {source: 198.18.0.0/16, protocol: TCP, destination_ports: {first: 23}}, drop: {}, ports: [a]}\n"
      "- {name: ping, match: {protocol: ICMP}, police: {packets_per_second: 100, burst: 10}}\n"
      "- {name: rest, match: {protocol: \"47\", destination: \"2001:db8::/32\"}, police: {packets_per_second: 7}}\n"
      "- {name: https, match: {protocol: TCP, source_ports: {first: 1, last: 9}, destination_ports: {first: 443, last: 444}}, "
      "steer: {worker: 3}}\n"
      "- {name: all, drop: {}}\n");
  ASSERT_THAT(out.errors, ElementsAre());
  const auto& rules = out.machine.rules;
  ASSERT_EQ(rules.size(), 5U);
  EXPECT_EQ(rules[0].rule, (FlowRule{.name = "telnet",
                                     .match = {.source = IpPrefix::parse("198.18.0.0/16"),
                                               .protocol = FlowMatch::kTcp,
                                               .destination_ports = FlowPortRange{23, 23}},
                                     .action = FlowRule::Drop{}}));
  EXPECT_THAT(rules[0].ports, ElementsAre("a"));
  EXPECT_EQ(rules[1].rule.match.protocol, FlowMatch::kIcmp);
  EXPECT_EQ(rules[1].rule.action, decltype(FlowRule::action)(FlowRule::Police{100, 10}));
  EXPECT_EQ(rules[2].rule.match.protocol, 47);
  EXPECT_EQ(rules[2].rule.action, decltype(FlowRule::action)(FlowRule::Police{7, 7}));
  EXPECT_EQ(rules[3].rule.action, decltype(FlowRule::action)(FlowRule::Steer{3}));
  EXPECT_EQ(rules[3].rule.match.source_ports, (FlowPortRange{1, 9}));
  EXPECT_EQ(rules[3].rule.match.destination_ports, (FlowPortRange{443, 444}));
  EXPECT_EQ(rules[4].rule.match, FlowMatch());
}

TEST(TranslateDataplane, TakesModelsOfSmartNics) {
  const auto out = translate(
      "ports:\n"
      "- {name: a, tap: {interface: x}}\n"
      "- {name: b, tap: {interface: y}, model: {queues: 2, checksums: true, segmentation: true, rules: true}}\n"
      "- {name: c, tap: {interface: z}, model: {}}\n");
  ASSERT_THAT(out.errors, ElementsAre());
  EXPECT_FALSE(out.machine.ports.at(0).model.has_value());
  const auto& all = out.machine.ports.at(1).model;
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->queues, 2);
  EXPECT_TRUE(all->checksums && all->segmentation && all->rules);
  const auto& none = out.machine.ports.at(2).model;
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->queues, 0) << "one for each worker";
  EXPECT_FALSE(none->checksums || none->segmentation || none->rules);
  EXPECT_THAT(translate("ports: [{name: a, tap: {interface: x}, model: {segmentation: true}}]").errors,
              ElementsAre(HasSubstr("ports[0].model.segmentation: needs `checksums: true`")));
}

}  // namespace
}  // namespace millrace::agent
