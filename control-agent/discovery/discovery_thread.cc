#include "control-agent/discovery/discovery_thread.h"

#include <poll.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace millrace::agent {
namespace {

void log(const FileReport& report) {
  const std::string& path = report.subscription.source.path;
  for (const ConfigError& warning : report.warnings) spdlog::warn("discovery: {}", warning.to_string());
  for (const ConfigError& error : report.errors) spdlog::error("discovery: {}", error.to_string());
  if (report.errors.empty()) {
    spdlog::info("discovery: {} is in use{}", path, report.version.empty() ? "" : ", version " + report.version);
  } else {
    spdlog::error("discovery: {} is refused: what was there before stays in use", path);
  }
}

}  // namespace

DiscoveryThread::DiscoveryThread(FileDiscovery& discovery)
    : discovery_(discovery), stop_(eventfd(0, EFD_CLOEXEC)), thread_([this] { run(); }) {}

DiscoveryThread::~DiscoveryThread() {
  const std::uint64_t one = 1;
  while (write(stop_, &one, sizeof one) < 0) continue;
  thread_.join();
  close(stop_);
}

void DiscoveryThread::run() {
  pthread_setname_np(pthread_self(), "mr-discovery");
  while (true) {
    pollfd waiting[] = {{.fd = stop_, .events = POLLIN, .revents = 0},
                        {.fd = discovery_.descriptor(), .events = POLLIN, .revents = 0}};
    if (poll(waiting, std::size(waiting), -1) < 0) continue;
    if (waiting[0].revents != 0) return;
    for (const FileReport& report : discovery_.follow()) log(report);
  }
}

}  // namespace millrace::agent
