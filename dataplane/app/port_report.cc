#include "dataplane/app/port_report.h"

namespace millrace::app {
namespace {

using Json = nlohmann::ordered_json;

Json offloads_json(std::span<const nic::OffloadUse> offloads) {
  Json all = Json::object();
  for (const nic::OffloadUse& use : offloads) {
    Json& one = all[use.name] = {
        {"offered", use.offered}, {"used", use.where != nic::Place::kSoftware}, {"where", nic::to_text(use.where)}};
    if (!use.reason.empty()) one["why"] = use.reason;
  }
  return all;
}

Json rules_json(const nic::Port& port) {
  Json list = Json::array();
  for (const nic::RuleUse& use : port.rules()) {
    Json& one = list.emplace_back(Json{{"name", use.name}, {"where", nic::to_text(use.where)}});
    if (!use.reason.empty()) one["why"] = use.reason;
    if (use.hits) one["hits"] = *use.hits;
    if (use.hits) one["dropped"] = use.dropped;
  }
  return list;
}

}  // namespace

std::string offloads_text(std::span<const nic::OffloadUse> offloads) {
  std::string text;
  for (const nic::Place place : {nic::Place::kDevice, nic::Place::kModel, nic::Place::kSoftware}) {
    std::string names;
    for (const nic::OffloadUse& use : offloads) {
      if (use.where != place) continue;
      names += (names.empty() ? "" : ", ") + use.name;
      if (use.offered && place == nic::Place::kSoftware) names += " (offered)";
    }
    if (!names.empty()) text += (text.empty() ? "" : "; ") + std::string(nic::to_text(place)) + ": " + names;
  }
  return text;
}

std::string rule_text(const nic::RuleUse& rule) {
  std::string text = rule.name + ": " + std::string(nic::to_text(rule.where));
  return rule.reason.empty() ? text : text + " (" + rule.reason + ")";
}

Json port_json(const nic::Port& port) {
  const nic::PortInfo& info = port.info();
  Json json = {{"name", info.name},
               {"driver", info.driver},
               {"mac", info.mac.to_string()},
               {"mtu", info.mtu},
               {"link", port.link_up() ? "up" : "down"},
               {"queues", info.queues},
               {"numa_node", info.numa_node},
               {"offloads", offloads_json(info.offloads)},
               {"rules", rules_json(port)}};
  for (const nic::QueueCounters& queue : port.queue_counters()) {
    json["queue_packets"].push_back(
        {{"rx_packets", queue.rx_packets}, {"rx_missed", queue.rx_missed}, {"tx_packets", queue.tx_packets}});
  }
  return json;
}

std::string crypto_device_text(const nic::CryptoDeviceInfo& info) {
  return info.driver + (info.on_cpu ? " on the workers' CPUs" : "") + ", " + std::to_string(info.queue_pairs) +
         " queue pairs, records " + (info.in_place ? "in place" : "copied when they lie in parts") + ", " +
         offloads_text(info.aeads);
}

Json crypto_device_json(const nic::CryptoDevice& device) {
  const nic::CryptoDeviceInfo& info = device.info();
  const nic::CryptoCounters counters = device.counters();
  return {{"name", info.name},
          {"driver", info.driver},
          {"on_cpu", info.on_cpu},
          {"in_place", info.in_place},
          {"queue_pairs", info.queue_pairs},
          {"numa_node", info.numa_node},
          {"offloads", offloads_json(info.aeads)},
          {"keys", counters.keys},
          {"software_keys", counters.software_keys},
          {"records", counters.records},
          {"copied", counters.copied},
          {"failed", counters.failed}};
}

}  // namespace millrace::app
