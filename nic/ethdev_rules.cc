#include "nic/ethdev_rules.h"

#include <array>
#include <cerrno>

#include <rte_errno.h>
#include <rte_flow.h>

#include "nic/rte_rule.h"

namespace millrace::nic {
namespace {

std::string reason_of(int result, const rte_flow_error& error) {
  const int code = result < 0 ? -result : result;
  if (code == ENOSYS) return "the driver has no flow table";
  const std::string text = rte_strerror(code);
  return error.message == nullptr ? text : std::string(error.message) + " (" + text + ")";
}

constexpr rte_flow_action kCount{.type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = nullptr};

}  // namespace

struct EthdevRules::Entries {
  std::vector<rte_flow*> flows;
  bool counted = false;
};

EthdevRules::EthdevRules(std::uint16_t ethdev) : ethdev_(ethdev) {}

EthdevRules::~EthdevRules() {
  for (const auto& entries : installed_) {
    if (entries == nullptr) continue;
    rte_flow_error error{};
    rte_flow_flush(ethdev_, &error);
    return;
  }
}

Result<void, std::string> EthdevRules::install(std::size_t rule, std::span<const DeviceRule> entries) {
  if (try_install(rule, entries, true).empty()) return {};
  std::string reason = try_install(rule, entries, false);
  if (reason.empty()) return {};
  return Error<std::string>(std::move(reason));
}

std::string EthdevRules::try_install(std::size_t rule, std::span<const DeviceRule> entries, bool counted) {
  auto made = std::make_unique<Entries>();
  made->counted = counted;
  for (const DeviceRule& entry : entries) {
    const RteRule pattern(entry);
    const rte_flow_action_queue queue{.index = entry.queue.value_or(0)};
    std::array<rte_flow_action, 3> actions{};
    std::size_t used = 0;
    if (counted) actions[used++] = kCount;
    actions[used++] = entry.queue ? rte_flow_action{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue}
                                  : rte_flow_action{.type = RTE_FLOW_ACTION_TYPE_DROP, .conf = nullptr};
    actions[used] = {.type = RTE_FLOW_ACTION_TYPE_END, .conf = nullptr};
    rte_flow_error error{};
    const int result = rte_flow_validate(ethdev_, &pattern.attributes(), pattern.items(), actions.data(), &error);
    rte_flow* flow =
        result == 0 ? rte_flow_create(ethdev_, &pattern.attributes(), pattern.items(), actions.data(), &error) : nullptr;
    if (flow != nullptr) {
      made->flows.push_back(flow);
      continue;
    }
    std::string reason = reason_of(result != 0 ? result : rte_errno, error);
    for (rte_flow* one : made->flows) rte_flow_destroy(ethdev_, one, &error);
    return reason;
  }
  if (installed_.size() <= rule) installed_.resize(rule + 1);
  installed_[rule] = std::move(made);
  return {};
}

std::optional<std::uint64_t> EthdevRules::hits(std::size_t rule) const {
  if (rule >= installed_.size() || installed_[rule] == nullptr || !installed_[rule]->counted) return std::nullopt;
  std::uint64_t sum = 0;
  for (rte_flow* flow : installed_[rule]->flows) {
    rte_flow_query_count count{};
    rte_flow_error error{};
    if (rte_flow_query(ethdev_, flow, &kCount, &count, &error) != 0) return std::nullopt;
    if (count.hits_set != 0) sum += count.hits;
  }
  return sum;
}

}  // namespace millrace::nic
