#include "dataplane/app/port_report.h"

namespace millrace::app {
namespace {

using Json = nlohmann::ordered_json;

Json offloads_json(const nic::PortInfo& info) {
  Json all = Json::object();
  for (const nic::OffloadUse& use : info.offloads) {
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

std::string offloads_text(const nic::PortInfo& info) {
  std::string text;
  for (const nic::Place place : {nic::Place::kDevice, nic::Place::kModel, nic::Place::kSoftware}) {
    std::string names;
    for (const nic::OffloadUse& use : info.offloads) {
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
               {"offloads", offloads_json(info)},
               {"rules", rules_json(port)}};
  for (const nic::QueueCounters& queue : port.queue_counters()) {
    json["queue_packets"].push_back(
        {{"rx_packets", queue.rx_packets}, {"rx_missed", queue.rx_missed}, {"tx_packets", queue.tx_packets}});
  }
  return json;
}

}  // namespace millrace::app
