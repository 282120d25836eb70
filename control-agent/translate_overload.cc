#include "control-agent/translate_overload.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "control-agent/overload/overload_manager.h"
#include "control-agent/overload/resources.h"
#include "control-agent/translate_common.h"
#include "envoy/config/overload/v3/overload.pb.h"
#include "envoy/extensions/resource_monitors/downstream_connections/v3/downstream_connections.pb.h"
#include "envoy/extensions/resource_monitors/fixed_heap/v3/fixed_heap.pb.h"
#include "envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.pb.h"

namespace millrace::agent {

namespace bootstrap_api = envoy::config::bootstrap::v3;
namespace overload = envoy::config::overload::v3;
namespace monitors = envoy::extensions::resource_monitors;
using FixedHeap = monitors::fixed_heap::v3::FixedHeapConfig;
using Injected = monitors::injected_resource::v3::InjectedResourceConfig;
using DownstreamConnections = monitors::downstream_connections::v3::DownstreamConnectionsConfig;

namespace {

constexpr std::string_view kActionPrefix = "envoy.overload_actions.";

std::optional<report::OverloadAction> action_of(std::string_view name) {
  if (!name.starts_with(kActionPrefix)) return std::nullopt;
  name.remove_prefix(kActionPrefix.size());
#define MR_OVERLOAD_ACTION(action, text) \
  if (name == text) return report::OverloadAction::action;
#include "dataplane/report/overload_action.def"
#undef MR_OVERLOAD_ACTION
  return std::nullopt;
}

std::string all_actions() {
  std::string out;
#define MR_OVERLOAD_ACTION(action, text) out += (out.empty() ? "" : ", ") + std::string(kActionPrefix) + text;
#include "dataplane/report/overload_action.def"
#undef MR_OVERLOAD_ACTION
  return out;
}

/// What is being translated.
struct Work {
  const overload::OverloadManager& in;
  const std::string& path;
  OverloadPlan& plan;
  config::Overload& out;
  TranslateContext& context;
  std::vector<std::string> resources = {};  // names, as plan.readers
};

void translate_monitors(Work& w) {
  const std::string list = join_path(w.path, "resource_monitors");
  std::map<std::string, std::string> owners;
  for (int i = 0; i < w.in.resource_monitors_size(); ++i) {
    const auto& monitor = w.in.resource_monitors(i);
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    const auto [owner, first] = owners.emplace(monitor.name(), at);
    if (!first)
      w.context.diagnostics.error(join_path(at, "name"),
                                  "the name \"" + monitor.name() + "\" is already taken by " + owner->second);
    if (const auto heap = unpack<FixedHeap>(monitor.typed_config())) {
      w.resources.push_back(monitor.name());
      w.plan.readers.push_back(heap_reader(heap->max_heap_size_bytes()));
    } else if (const auto injected = unpack<Injected>(monitor.typed_config())) {
      w.resources.push_back(monitor.name());
      w.plan.readers.push_back(injected_reader(injected->filename()));
    } else if (const auto connections = unpack<DownstreamConnections>(monitor.typed_config())) {
      w.out.max_connections = static_cast<std::uint64_t>(connections->max_active_downstream_connections());
    } else {
      w.context.diagnostics.error(join_path(at, "typed_config"),
                                  "the type \"" + monitor.typed_config().type_url() +
                                      "\" is not supported: use a FixedHeapConfig, an InjectedResourceConfig or a "
                                      "DownstreamConnectionsConfig");
    }
  }
}

std::vector<OverloadTrigger> translate_triggers(const Work& w, const overload::OverloadAction& action, const std::string& path) {
  std::vector<OverloadTrigger> out;
  for (int i = 0; i < action.triggers_size(); ++i) {
    const auto& trigger = action.triggers(i);
    const std::string at = index_path(join_path(path, "triggers"), static_cast<std::size_t>(i));
    const auto resource = std::ranges::find(w.resources, trigger.name());
    if (resource == w.resources.end()) {
      w.context.diagnostics.error(join_path(at, "name"),
                                  "there is no resource \"" + trigger.name() + "\" in resource_monitors that has a pressure");
      continue;
    }
    OverloadTrigger made{static_cast<std::size_t>(resource - w.resources.begin()), 0, 0};
    if (std::ranges::find(out, made.resource, &OverloadTrigger::resource) != out.end())
      w.context.diagnostics.error(join_path(at, "name"), "has a trigger before it: one for each resource");
    if (trigger.has_threshold()) {
      made.scaling = made.saturation = trigger.threshold().value();
    } else {
      made.scaling = trigger.scaled().scaling_threshold();
      made.saturation = trigger.scaled().saturation_threshold();
      if (made.scaling >= made.saturation)
        w.context.diagnostics.error(join_path(at, "scaled"), "scaling_threshold must be less than saturation_threshold");
    }
    out.push_back(made);
  }
  return out;
}

void translate_actions(Work& w) {
  const std::string list = join_path(w.path, "actions");
  for (int i = 0; i < w.in.actions_size(); ++i) {
    const auto& action = w.in.actions(i);
    const std::string at = index_path(list, static_cast<std::size_t>(i));
    const auto known = action_of(action.name());
    if (!known) {
      w.context.diagnostics.error(join_path(at, "name"),
                                  "the action \"" + action.name() + "\" is not supported: use one of " + all_actions());
      continue;
    }
    if (std::ranges::find(w.plan.actions, *known, &OverloadActionPlan::action) != w.plan.actions.end())
      w.context.diagnostics.error(join_path(at, "name"), "the action is there already: give it all its triggers at once");
    if (*known == report::OverloadAction::kResetHighMemoryStream && w.out.least_account_power == 0)
      w.context.diagnostics.error(at, "needs buffer_factory_config: it says from which size on streams are looked at");
    w.plan.actions.push_back({*known, translate_triggers(w, action, at)});
  }
}

std::shared_ptr<report::OverloadCell> cell_of(std::vector<std::string> resources, CellRegistry& cells, std::size_t workers) {
  auto& kept = cells.overload;  // connections refer to it, whichever snapshot has brought them
  const auto same = [&] {
    return std::ranges::equal(kept->resources, resources, {}, [](const auto& resource) { return resource.name; });
  };
  if (kept == nullptr || !same()) kept = std::make_shared<report::OverloadCell>(std::move(resources), workers);
  return kept;
}

}  // namespace

std::shared_ptr<const config::Overload> translate_overload(const bootstrap_api::Bootstrap& bootstrap, const std::string& path,
                                                           TranslateContext& context) {
  if (!bootstrap.has_overload_manager()) return nullptr;
  auto out = std::make_shared<config::Overload>();
  auto plan = std::make_shared<OverloadPlan>();
  const overload::OverloadManager& manager = bootstrap.overload_manager();
  Work work{manager, path, *plan, *out, context};
  if (manager.has_refresh_interval()) {
    const Duration interval =
        translate_duration(manager.refresh_interval(), join_path(path, "refresh_interval"), context.diagnostics);
    plan->interval = std::chrono::milliseconds(interval.to_milliseconds());
    if (plan->interval < std::chrono::milliseconds(1))
      context.diagnostics.error(join_path(path, "refresh_interval"), "must be at least 1ms");
  }
  if (manager.has_buffer_factory_config())
    out->least_account_power = manager.buffer_factory_config().minimum_account_to_track_power_of_two();
  translate_monitors(work);
  translate_actions(work);
  out->cell = plan->cell = cell_of(work.resources, context.cells, context.workers);
  for (const OverloadActionPlan& action : plan->actions) out->actions.push_back(action.action);
  if (!plan->readers.empty()) context.overload = std::move(plan);
  return out;
}

std::shared_ptr<const config::Overload> with_connection_limit(std::shared_ptr<const config::Overload> overload,
                                                              std::optional<std::uint64_t> limit, CellRegistry& cells,
                                                              std::size_t workers) {
  const bool is_monitored = overload != nullptr && overload->max_connections != config::kUnlimitedConnections;
  if (!limit || is_monitored) return overload;
  auto out = overload == nullptr ? std::make_shared<config::Overload>() : std::make_shared<config::Overload>(*overload);
  out->max_connections = *limit;
  if (out->cell == nullptr) out->cell = cell_of({}, cells, workers);
  return out;
}

}  // namespace millrace::agent
