#include "dataplane/app/options.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "dataplane/app/version.h"
#include "dataplane/base/addresses.h"

namespace millrace::app {
namespace {

// Envoy's flags that cannot matter here: what they steer does not exist. Accepted, so that command lines written for Envoy work.
struct IgnoredFlag {
  const char* name;
  bool takes_value;
  const char* why;
};
constexpr IgnoredFlag kIgnoredFlags[] = {
    {"--parent-shutdown-time-s", true, "there is no hot restart"},
    {"--disable-hot-restart", false, "there is no hot restart"},
    {"--restart-epoch", true, "there is no hot restart"},
    {"--base-id", true, "there is no hot restart"},
    {"--use-dynamic-base-id", false, "there is no hot restart"},
    {"--base-id-path", true, "there is no hot restart"},
    {"--skip-hot-restart-on-no-parent", false, "there is no hot restart"},
    {"--skip-hot-restart-parent-stats", false, "there is no hot restart"},
    {"--socket-path", true, "there is no hot restart"},
    {"--socket-mode", true, "there is no hot restart"},
    {"--local-address-ip-version", true, "local addresses come from the data plane's ports"},
    {"--file-flush-interval-msec", true, "access logs are written within 100 ms"},
    {"--file-flush-min-size-kb", true, "access logs are written within 100 ms"},
    {"--skip-deprecated-logs", false, "deprecated fields are not logged"},
    {"--log-format-escaped", false, "messages have one line"},
    {"--component-log-level", true, "there is one log level"},
    {"--enable-fine-grain-logging", false, "there is one log level"},
    {"--disable-extensions", true, "extensions are built in"},
    {"--cpuset-threads", false, "the process's CPU affinity is always respected"},
    {"--ignore-unknown-dynamic-fields", false, "unknown fields in dynamic configuration are counted and warned about"},
    {"--enable-mutex-tracing", false, "workers share no locks"},
    {"--stats-tag", true, "statistics carry Envoy's default tags"},
    {"--service-zone", true, "locality comes from the bootstrap's node"},
    {"--bootstrap-version", true, "v3 is the only version"},
    {"--max-stats", true, "statistics are not limited"},
    {"--max-obj-name-len", true, "names are not limited"},
};

/// Without a host: nobody but this one.
std::string with_host(const std::string& address) { return address.starts_with(":") ? "127.0.0.1" + address : address; }

/// Empty: it can be listened at, as far as its form goes.
std::string csds_address_error(const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) return address.size() > kUnix.size() ? "" : "unix: needs the path of a socket";
  const auto parsed = SocketAddress::parse(with_host(address));
  return parsed && parsed->port != 0 ? "" : "\"" + address + "\" is neither IP:PORT, :PORT nor unix:PATH";
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  Options options;
  CLI::App app{"Millrace: an Envoy-compatible gateway whose packets never enter the kernel.", "millrace"};
  app.set_version_flag("--version", std::string(kVersionText));
  app.add_option("-c,--config-path", options.config_path,
                 "Bootstrap configuration: YAML or JSON (envoy.config.bootstrap.v3.Bootstrap)");
  app.add_option("--config-yaml", options.config_yaml, "Inline YAML that is merged over the file");
  app.add_option("--dataplane", options.dataplane_path, "Workers, ports, addresses and routes (millrace.v1.Dataplane)");
  app.add_option_function<std::string>(
         "--mode", [&](const std::string& mode) { options.mode = mode == "validate" ? Mode::kValidate : Mode::kServe; },
         "serve, or validate: check the configuration and exit")
      ->check(CLI::IsMember({"serve", "validate"}))
      ->default_str("serve");
  app.add_option("--service-node", options.service_node, "Node id; wins over the bootstrap's");
  app.add_option("--service-cluster", options.service_cluster, "Node cluster; wins over the bootstrap's");
  app.add_option("--concurrency", options.concurrency, "Number of workers; the data plane's workers.count wins");
  app.add_option("-l,--log-level", options.log_level, "trace, debug, info, warning, error, critical or off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "warn", "error", "critical", "off"}))
      ->capture_default_str();
  app.add_option("--log-path", options.log_path, "Log to this file instead of standard error; SIGUSR1 reopens it");
  app.add_option("--log-format", options.log_format, "Of log lines, in spdlog's flags");
  app.add_option("--drain-time-s", options.drain_time_seconds, "How long requests in flight may take after SIGTERM, seconds")
      ->capture_default_str();
  app.add_option_function<std::string>(
         "--drain-strategy", [&](const std::string& strategy) { options.drain_immediately = strategy == "immediate"; },
         "Clients of listeners that change are asked to leave with their next response (immediate, as if not given) or one by "
         "one "
         "over the drain time (gradual)")
      ->check(CLI::IsMember({"gradual", "immediate"}));
  app.add_option_function<std::string>(
         "--csds-address", [&](const std::string& address) { options.csds_address = with_host(address); },
         "Where tools ask for the client's state (CSDS over gRPC): HOST:PORT, :PORT on the loopback address, or unix:PATH")
      ->check([](const std::string& address) { return csds_address_error(address); });
  app.add_flag("--allow-unknown-static-fields", options.allow_unknown_static_fields, "Unknown fields in the files only warn");
  app.add_flag("--reject-unknown-dynamic-fields", options.reject_unknown_dynamic_fields,
               "Unknown fields from a control plane are errors");
  app.add_flag("--enable-core-dump", options.enable_core_dump, "A crash may leave a core dump, which holds private keys");
  auto* snapshot = app.add_option("--snapshot", options.snapshot_path,
                                  "Keep what control planes have said in this file, and start from it when they are away");
  app.add_flag("--snapshot-secrets", options.snapshot_secrets,
               "The file holds private keys, too: nobody else may read its folder")
      ->needs(snapshot);

  for (const IgnoredFlag& flag : kIgnoredFlags) {
    const auto warn = [&options, flag](const std::string& value) {
      if (std::string_view(flag.name) == "--restart-epoch" && value != "0") {
        throw CLI::ValidationError(flag.name, "hot restart is not offered: start a second gateway that takes the addresses over");
      }
      options.warnings.push_back(std::string(flag.name) + " has no effect: " + flag.why);
    };
    const std::string description = std::string("Accepted, no effect: ") + flag.why;
    if (flag.takes_value) {
      app.add_option_function<std::string>(flag.name, warn, description)->group("Accepted for Envoy's sake");
    } else {
      app.add_flag_callback(flag.name, [warn] { warn(""); }, description)->group("Accepted for Envoy's sake");
    }
  }

  try {
    app.parse(argc, argv);
    if (options.config_path.empty() && options.config_yaml.empty()) {
      throw CLI::RequiredError("-c/--config-path or --config-yaml");
    }
    if (options.concurrency == 0u) throw CLI::ValidationError("--concurrency", "at least 1 worker is needed");
  } catch (const CLI::ParseError& error) {
    // --help and --version come here too, with status 0.
    return {.options = std::nullopt, .exit_status = app.exit(error) == 0 ? 0 : 1};
  }
  return {.options = std::move(options), .exit_status = 0};
}

}  // namespace millrace::app
