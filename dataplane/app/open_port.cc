#include "dataplane/app/open_port.h"

#include <algorithm>
#include <utility>

#include "dataplane/app/port_setup.h"
#include "dataplane/worker/worker_thread.h"
#include "nic/ethdev_port.h"
#include "nic/model/smart_nic.h"
#include "nic/rules/ruled_port.h"

namespace millrace::app {
namespace {

std::unique_ptr<nic::Port> with_model(std::unique_ptr<nic::Port> port, nic::MbufPool& pool, const config::NicModel& model,
                                      std::uint16_t workers, std::vector<FlowRule> rules) {
  nic::SmartNicConfig config{.workers = workers,
                             .queues = model.queues == 0 ? workers : model.queues,
                             .checksums = model.checksums,
                             .segmentation = model.segmentation,
                             .flow_table = model.rules,
                             .rules = std::move(rules)};
  return std::make_unique<nic::SmartNic>(std::move(port), pool, std::move(config), worker::monotonic_now);
}

/// Where rules steer in software, workers do it; what drops or polices needs somebody before them.
bool needs_software(const nic::Port& port, const std::vector<FlowRule>& rules) {
  const auto uses = port.rules();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i].steers() && uses[i].where != nic::Place::kModel) return true;
  }
  return false;
}

}  // namespace

std::vector<FlowRule> rules_at(const config::Dataplane& machine, const std::string& port) {
  std::vector<FlowRule> rules;
  for (const config::RuleConfig& config : machine.rules) {
    if (config.ports.empty() || std::ranges::find(config.ports, port) != config.ports.end()) rules.push_back(config.rule);
  }
  return rules;
}

Result<std::unique_ptr<nic::Port>, std::string> open_port(const config::Dataplane& machine, std::size_t index,
                                                          nic::MbufPool& pool) {
  const config::PortConfig& config = machine.ports[index];
  const auto workers = static_cast<std::uint16_t>(machine.worker_count);
  const std::vector<FlowRule> rules = rules_at(machine, config.name);
  nic::PortConfig device = port_config(config);
  if (!config.model) device.rules = rules;
  auto opened = nic::EthdevPort::open(device, pool, config.model ? std::uint16_t{1} : workers, static_cast<std::uint8_t>(index));
  if (!opened) return Error<std::string>(std::move(opened.error()));
  std::unique_ptr<nic::Port> port = std::move(*opened);
  if (config.model) port = with_model(std::move(port), pool, *config.model, workers, rules);
  if (needs_software(*port, rules)) port = std::make_unique<nic::RuledPort>(std::move(port), rules, worker::monotonic_now);
  return port;
}

}  // namespace millrace::app
