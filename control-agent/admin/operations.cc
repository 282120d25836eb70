#include "control-agent/admin/operations.h"

#include <cstddef>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"

namespace millrace::agent {
namespace {

using envoy::config::listener::v3::Listener;

// All of the gateway logs to one, with the name that Envoy's own has.
constexpr std::string_view kLogger = "main";

constexpr const char* kLoggingUsage =
    "usage: /logging?level=<level> (all loggers), /logging?<name>=<level>, or /logging?paths=<name>:<level>,<name>:<level>\n"
    "levels: trace debug info warning error critical off\n";

using Levels = std::vector<std::pair<std::string_view, std::string_view>>;  // of loggers by name

Levels split_paths(std::string_view paths) {
  Levels out;
  while (!paths.empty()) {
    const std::size_t comma = paths.find(',');
    const std::string_view pair = paths.substr(0, comma);
    const std::size_t colon = pair.find(':');
    if (!pair.empty()) out.emplace_back(pair.substr(0, colon), colon == pair.npos ? "" : pair.substr(colon + 1));
    paths = comma == paths.npos ? "" : paths.substr(comma + 1);
  }
  return out;
}

/// Empty: done.
std::string set_levels(GatewayView& gateway, const Parameters& parameters) {
  if (parameters.size() != 1) return "invalid number of parameters";
  const auto& [name, value] = *parameters.begin();
  const Levels levels = name == "level" ? Levels{{kLogger, value}} : name == "paths" ? split_paths(value) : Levels{{name, value}};
  for (const auto& [logger, level] : levels) {
    if (logger.empty() || level.empty()) return "empty logger name or empty logger level";
    if (logger != kLogger) return "unknown logger name \"" + std::string(logger) + "\": there is one, " + std::string(kLogger);
  }
  for (const auto& [logger, level] : levels) {
    if (!gateway.set_log_level(std::string(level))) return "unknown log level \"" + std::string(level) + "\"";
  }
  return {};
}

struct Directions {
  bool inbound = false;
  bool others = false;
};

Directions directions(const GatewayView& gateway) {
  Directions out;
  const auto look = [&out](const Listener& listener) {
    (listener.traffic_direction() == envoy::config::core::v3::INBOUND ? out.inbound : out.others) = true;
  };
  for (const Listener& listener : gateway.bootstrap().static_resources().listeners()) look(listener);
  for (const DynamicResource& resource : gateway.dynamic_resources().listeners) {
    const auto* listener = google::protobuf::DynamicCastToGenerated<Listener>(resource.content.get());
    if (listener != nullptr) look(*listener);
  }
  return out;
}

}  // namespace

Answer change_logging(GatewayView& gateway, const Parameters& parameters) {
  Answer answer{.text = {}};
  if (!parameters.empty()) {
    if (const std::string error = set_levels(gateway, parameters); !error.empty()) {
      answer.status = 400;
      answer.text = "error: " + error + "\n\n" + kLoggingUsage;
    }
  }
  answer.text += "active loggers:\n  " + std::string(kLogger) + ": " + gateway.log_level() + "\n\n";
  return answer;
}

Answer drain_listeners(GatewayView& gateway, const Parameters& parameters) {
  const bool graceful = parameters.contains("graceful");
  const bool skip_exit = parameters.contains("skip_exit");
  if (skip_exit && !graceful) return {.status = 400, .text = "skip_exit requires graceful\n"};
  if (parameters.contains("inboundonly")) {
    const Directions have = directions(gateway);
    if (!have.inbound) return {};
    if (have.others)
      return {.status = 400,
              .text = "inboundonly is not supported where there are other listeners, too: leave it out to drain them all\n"};
  }
  gateway.drain_listeners(skip_exit  ? ListenerDrain::kKeepListeners
                          : graceful ? ListenerDrain::kGraceful
                                     : ListenerDrain::kClose);
  return {};
}

Answer modify_runtime(GatewayView& gateway, const Parameters& parameters) {
  if (parameters.empty()) {
    return {.status = 400,
            .text =
                "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n       or send the parameters as form values\n"
                "use an empty value to remove a previously added override"};
  }
  const auto done = gateway.modify_runtime(RuntimeEntries(parameters.begin(), parameters.end()));
  if (!done) return {.status = 503, .text = done.error() + "\n"};
  return {};
}

}  // namespace millrace::agent
