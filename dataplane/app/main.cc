// millrace: reads the command line and the configuration, runs the gateway until a signal, drains, exits.
// Exit status: 0 done, 1 bad configuration or arguments, 2 the device or the machine refused.
#include <signal.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <iostream>
#include <thread>

#include "control-agent/last_good/last_good_file.h"
#include "control-agent/log_format.h"
#include "dataplane/app/crash_handler.h"
#include "dataplane/app/gateway.h"
#include "dataplane/app/options.h"
#include "dataplane/app/version.h"

namespace {

using millrace::app::Gateway;
using millrace::app::MachineError;
using millrace::app::Mode;
using millrace::app::Options;

constexpr int kBadConfiguration = 1;
constexpr int kMachineRefused = 2;

void set_up_logging(const Options& options, const std::string& pattern) {
  std::shared_ptr<spdlog::sinks::sink> sink;
  if (options.log_path.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.log_path);
  }
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("main", std::move(sink)));
  spdlog::set_pattern(pattern.empty() ? "[%Y-%m-%d %H:%M:%S.%e][%l] %v" : pattern);
  spdlog::set_level(spdlog::level::from_str(options.log_level));
  spdlog::flush_on(spdlog::level::info);
}

// Signals that we wait for are blocked in every thread, before any is started. (Not all signals: the TAP driver lives on one.)
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return set;
}

// Connections of the host itself take one each, and 1,024 is what most shells give.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The next signal, or 0 after 100 ms.
int wait_for_signal(const sigset_t& set) {
  const timespec timeout{.tv_sec = 0, .tv_nsec = 100'000'000};
  const int number = sigtimedwait(&set, nullptr, &timeout);
  return number < 0 ? 0 : number;
}

void drain(Gateway& gateway, const Options& options, const sigset_t& signals) {
  const std::chrono::seconds limit{options.drain_time_seconds};
  spdlog::info("draining: up to {} s for requests in flight; a second signal ends this at once", limit.count());
  std::atomic<bool> hurry{false};
  std::atomic<bool> done{false};
  std::thread waiter([&] {
    while (!done) {
      const int number = wait_for_signal(signals);
      if (number == SIGTERM || number == SIGINT) hurry = true;
    }
  });
  const bool all = gateway.drain(limit, hurry);
  done = true;
  waiter.join();
  spdlog::info(all ? "drained" : "stopping with connections still open");
}

int serve(const Options& options, millrace::agent::Loaded loaded, const sigset_t& signals) {
  Gateway gateway(options, std::move(loaded));
  bool announced = false;
  while (!gateway.quit_requested()) {
    const int number = wait_for_signal(signals);
    gateway.watch_links();
    gateway.serve_snapshots();
    if (number == SIGUSR1) gateway.reopen_logs();
    if (number == SIGHUP) spdlog::warn("SIGHUP has no effect: there is no reload; SIGUSR1 opens the logs again");
    if (number == SIGTERM || number == SIGINT) {
      drain(gateway, options, signals);
      break;
    }
    if (gateway.serving()) gateway.report_host_listeners(!announced);
    if (!announced && gateway.serving()) {
      spdlog::info("all workers serve");
      if (const auto failed = gateway.listeners_failed(); failed > 0) {
        spdlog::error(
            "{} listener addresses could not be opened: two listeners share one, nothing here has it, or somebody else does",
            failed);
      }
      announced = true;
    }
  }
  spdlog::info("exiting");
  return 0;
}

int run(const Options& options) {
  auto loaded = millrace::agent::load({.config_path = options.config_path,
                                       .config_yaml = options.config_yaml,
                                       .dataplane_path = options.dataplane_path,
                                       .service_node = options.service_node,
                                       .service_cluster = options.service_cluster,
                                       .allow_unknown_static_fields = options.allow_unknown_static_fields,
                                       .concurrency = options.concurrency.value_or(0),
                                       .cells = nullptr});
  if (!loaded) {
    for (const auto& error : loaded.error()) std::cerr << error.to_string() << "\n";
    return kBadConfiguration;
  }
  const std::string configured_format = millrace::agent::log_pattern(*loaded->bootstrap);
  if (!configured_format.empty() && !options.log_format.empty()) {
    std::cerr << "--log-format and application_log_config both say how log lines look: leave one out\n";
    return kBadConfiguration;
  }
  if (!options.snapshot_path.empty()) {
    if (const auto good = millrace::agent::check_last_good_folder(options.snapshot_path, options.snapshot_secrets); !good) {
      std::cerr << good.error() << "\n";
      return kBadConfiguration;
    }
    if (!loaded->has_control_plane) loaded->warnings.push_back("--snapshot has no effect: nothing comes from a control plane");
  }
  if (options.mode == Mode::kValidate) {
    for (const std::string& warning : loaded->warnings) std::cerr << "warning: " << warning << "\n";
    std::cout << "configuration OK\n";
    return 0;
  }
  const sigset_t signals = block_signals();
  raise_descriptor_limit();
  set_up_logging(options, options.log_format.empty() ? configured_format : options.log_format);
  spdlog::info("{}", millrace::app::kVersionText);
  for (const std::string& warning : options.warnings) spdlog::warn("{}", warning);
  for (const std::string& warning : loaded->warnings) spdlog::warn("{}", warning);
  for (const auto& field : loaded->harmless) spdlog::debug("no effect: {}", field.to_string());
  return serve(options, std::move(*loaded), signals);
}

}  // namespace

int main(int argc, char** argv) {
  millrace::app::install_crash_handler();
  const auto parsed = millrace::app::parse_options(argc, argv);
  if (!parsed.options) return parsed.exit_status;
  millrace::app::allow_core_dumps(parsed.options->enable_core_dump);
  try {
    return run(*parsed.options);
  } catch (const MachineError& error) {
    std::fprintf(stderr, "millrace: %s\n", error.what());
    return kMachineRefused;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "millrace: %s\n", error.what());
    return kBadConfiguration;
  }
}
