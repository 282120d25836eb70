#include "control-agent/xds/xds_thread.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace millrace::agent {
namespace {

constexpr Duration kLongestSleep = Duration::seconds(60);

Instant now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return Instant::from_nanoseconds(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

std::string_view short_name(ResourceType type) {
  switch (type) {
    case ResourceType::kCluster: return "clusters";
    case ResourceType::kAssignment: return "endpoints";
    case ResourceType::kExtension: return "extension configurations";
    case ResourceType::kRuntime: return "runtime layers";
    case ResourceType::kListener: return "listeners";
    case ResourceType::kRoutes: return "routes";
    case ResourceType::kScope: return "scoped routes";
    case ResourceType::kSecret: return "secrets";
  }
  return {};
}

void log(const XdsReport& report) {
  for (const ConfigError& warning : report.warnings) spdlog::warn("xds: {}: {}", report.server, warning.to_string());
  if (!report.type) {
    spdlog::warn("xds: {}: the stream has ended: {}; it is opened again, and what runs stays in use", report.server,
                 report.error);
  } else if (report.stands_in) {
    spdlog::warn("xds: {}: nobody answers: {} resources of the snapshot stand in{}{}", short_name(*report.type), report.resources,
                 report.error.empty() ? "" : ", without those that are refused: ", report.error);
  } else if (report.server.empty()) {
    spdlog::warn("xds: {}: {}: what waits for it goes on without", short_name(*report.type), report.error);
  } else if (report.error.empty()) {
    spdlog::info("xds: {}: {}: {} resources, {} removed, version \"{}\"", report.server, short_name(*report.type),
                 report.resources, report.removed, report.version);
  } else {
    spdlog::error("xds: {}: {}: version \"{}\" is rejected: {} (what is not named here is in use)", report.server,
                  short_name(*report.type), report.version, report.error);
  }
}

}  // namespace

XdsThread::XdsThread(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, const envoy::config::core::v3::Node& node,
                     SnapshotPublisher& publisher, SecretStore& secrets, DiscoveredSecrets& discovered, XdsOptions options)
    : bootstrap_(bootstrap),
      publisher_(publisher),
      transport_([this] { wake(); }),
      client_({.bootstrap = bootstrap,
               .node = node,
               .publisher = publisher,
               .secrets = secrets,
               .discovered = discovered,
               .transport = transport_,
               .reject_unknown_fields = options.reject_unknown_fields},
              options.seed, std::move(options.last_good)) {
  publisher_.on_change(this, [this] { wake(); });
  thread_ = std::thread([this] { run(); });
}

XdsThread::~XdsThread() {
  publisher_.on_change(this, nullptr);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void XdsThread::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_one();
}

void XdsThread::run() {
  pthread_setname_np(pthread_self(), "mr-xds");
  if (has_control_plane(bootstrap_))
    spdlog::info("xds: resources come from a control plane: listeners open when what they need is there");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    lock.unlock();
    client_.service(now());
    for (const XdsReport& report : client_.take_reports()) log(report);
    const Duration left = std::clamp(client_.next_timeout() - now(), Duration(), kLongestSleep);
    lock.lock();
    wake_.wait_for(lock, std::chrono::nanoseconds(left.to_nanoseconds()), [this] { return woken_ || stopping_; });
  }
}

}  // namespace millrace::agent
