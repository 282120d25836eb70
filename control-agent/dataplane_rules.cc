// Rules and models of millrace.v1.Dataplane -> config.
#include "control-agent/dataplane_rules.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "dataplane/base/limits.h"

namespace millrace::agent {
namespace {

std::optional<IpPrefix> translate_prefix(const std::string& text, const std::string& path, Diagnostics& diagnostics) {
  if (text.empty()) return std::nullopt;
  const auto prefix = IpPrefix::parse(text);
  if (!prefix) {
    diagnostics.error(path, "\"" + text + "\" is not a prefix, such as 198.18.0.0/16, or 2001:db8::7/128 for one address");
  }
  return prefix;
}

std::optional<std::uint8_t> translate_protocol(const std::string& text, const std::string& path, Diagnostics& diagnostics) {
  if (text.empty()) return std::nullopt;
  if (text == "TCP") return FlowMatch::kTcp;
  if (text == "UDP") return FlowMatch::kUdp;
  if (text == "ICMP") return FlowMatch::kIcmp;
  if (text == "ICMPV6") return FlowMatch::kIcmpv6;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > 255) {
    diagnostics.error(path, "\"" + text + "\" is not a protocol: TCP, UDP, ICMP, ICMPV6, or a number from 0 to 255");
    return std::nullopt;
  }
  return static_cast<std::uint8_t>(number);
}

FlowPortRange translate_range(const v1::Rule::PortRange& range, const std::string& path, Diagnostics& diagnostics) {
  const std::uint32_t last = range.has_last() ? range.last().value() : range.first();
  if (last < range.first()) diagnostics.error(join_path(path, "last"), "is less than `first`");
  return {static_cast<std::uint16_t>(range.first()), static_cast<std::uint16_t>(last)};
}

FlowMatch translate_match(const v1::Rule::Match& match, const std::string& path, Diagnostics& diagnostics) {
  FlowMatch out;
  out.source = translate_prefix(match.source(), join_path(path, "source"), diagnostics);
  out.destination = translate_prefix(match.destination(), join_path(path, "destination"), diagnostics);
  if (out.source && out.destination && out.source->address.is_v4() != out.destination->address.is_v4()) {
    diagnostics.error(join_path(path, "destination"),
                      "\"" + match.destination() + "\" is not of the same IP version as " + match.source());
  }
  out.protocol = translate_protocol(match.protocol(), join_path(path, "protocol"), diagnostics);
  if (match.has_source_ports()) {
    out.source_ports = translate_range(match.source_ports(), join_path(path, "source_ports"), diagnostics);
  }
  if (match.has_destination_ports()) {
    out.destination_ports = translate_range(match.destination_ports(), join_path(path, "destination_ports"), diagnostics);
  }
  if ((out.source_ports || out.destination_ports) && out.protocol != FlowMatch::kTcp && out.protocol != FlowMatch::kUdp) {
    diagnostics.error(join_path(path, "protocol"), "must be TCP or UDP: other protocols have no ports");
  }
  return out;
}

// An answer to a connection that the gateway opened must reach the worker that opened it.
void check_steering(const config::RuleConfig& rule, const std::string& path, Diagnostics& diagnostics) {
  const std::string match = join_path(path, "match");
  if (rule.rule.match.protocol != FlowMatch::kTcp) {
    diagnostics.error(join_path(match, "protocol"), "must be TCP: only connections have an owner");
  }
  const auto& ports = rule.rule.match.destination_ports;
  if (!ports || ports->last >= limits::kTcpFirstEphemeralPort) {
    diagnostics.error(join_path(match, "destination_ports"),
                      "must be set, and end below " + std::to_string(limits::kTcpFirstEphemeralPort) +
                          ", from where the gateway takes the ports of its own connections");
  }
  if (!rule.ports.empty()) diagnostics.error(join_path(path, "ports"), "a rule that steers holds at all ports");
}

config::RuleConfig translate_rule(const v1::Rule& rule, const std::string& path, Diagnostics& diagnostics) {
  config::RuleConfig out{
      .rule = {.name = rule.name(), .match = translate_match(rule.match(), join_path(path, "match"), diagnostics)},
      .ports = {rule.ports().begin(), rule.ports().end()}};
  if (rule.has_police()) {
    const std::uint32_t rate = rule.police().packets_per_second();
    out.rule.action =
        FlowRule::Police{.packets_per_second = rate, .burst = rule.police().has_burst() ? rule.police().burst().value() : rate};
  }
  if (rule.has_steer()) {
    out.rule.action = FlowRule::Steer{static_cast<std::uint16_t>(rule.steer().worker())};
    check_steering(out, path, diagnostics);
  }
  return out;
}

}  // namespace

std::vector<config::RuleConfig> translate_rules(const v1::Dataplane& dataplane, const std::string& path,
                                                Diagnostics& diagnostics) {
  std::vector<config::RuleConfig> out;
  std::map<std::string, std::string> names;
  const std::string list = join_path(path, "rules");
  for (int i = 0; i < dataplane.rules_size(); ++i) {
    const v1::Rule& rule = dataplane.rules(i);
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    const auto [owner, first] = names.emplace(rule.name(), at);
    if (!first) diagnostics.error(join_path(at, "name"), "\"" + rule.name() + "\" is already the name of " + owner->second);
    for (int p = 0; p < rule.ports_size(); ++p) {
      const bool known =
          std::ranges::any_of(dataplane.ports(), [&](const v1::Port& port) { return port.name() == rule.ports(p); });
      if (known) continue;
      diagnostics.error(index_path(join_path(at, "ports"), static_cast<std::size_t>(p)),
                        "there is no port \"" + rule.ports(p) + "\"");
    }
    out.push_back(translate_rule(rule, at, diagnostics));
  }
  return out;
}

config::NicModel translate_model(const v1::Model& model, const std::string& path, Diagnostics& diagnostics) {
  if (model.segmentation() && !model.checksums()) {
    diagnostics.error(join_path(path, "segmentation"), "needs `checksums: true`: each segment has its own");
  }
  return {.queues = static_cast<std::uint16_t>(model.queues().value()),
          .checksums = model.checksums(),
          .segmentation = model.segmentation(),
          .rules = model.rules()};
}

void check_worker_numbers(const config::Dataplane& machine, const std::string& path, Diagnostics& diagnostics) {
  const bool one = machine.worker_count == 1;
  const std::string workers = std::to_string(machine.worker_count) + (one ? " worker" : " workers");
  for (std::size_t i = 0; i < machine.rules.size(); ++i) {
    const auto* steer = std::get_if<FlowRule::Steer>(&machine.rules[i].rule.action);
    if (steer == nullptr || steer->worker < machine.worker_count) continue;
    diagnostics.error(join_path(index_path(join_path(path, "rules"), i), "steer.worker"),
                      std::to_string(steer->worker) + " does not exist: there " + (one ? "is" : "are") + " only " + workers +
                          ", counted from 0");
  }
  for (std::size_t i = 0; i < machine.ports.size(); ++i) {
    const auto& model = machine.ports[i].model;
    if (!model || model->queues <= machine.worker_count) continue;
    diagnostics.error(join_path(index_path(join_path(path, "ports"), i), "model.queues"),
                      std::to_string(model->queues) + " are more than one for each of " + workers);
  }
}

}  // namespace millrace::agent
