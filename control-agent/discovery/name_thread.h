// The thread that resolves names: polls the sockets of c-ares, and drives NameDiscovery.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>

#include "control-agent/discovery/cares_resolver.h"
#include "control-agent/discovery/name_discovery.h"

namespace millrace::agent {

class NameThread {
 public:
  /// `publisher` must outlive this.
  NameThread(SnapshotPublisher& publisher, RoutableFamilies routable, std::uint64_t seed);
  ~NameThread();
  NameThread(const NameThread&) = delete;
  NameThread& operator=(const NameThread&) = delete;

  /// Any thread.
  [[nodiscard]] const NameDiscovery& discovery() const { return discovery_; }

 private:
  [[nodiscard]] NameResolver* resolver(const ResolverSettings& settings);
  void run();
  void wait();

  SnapshotPublisher& publisher_;
  int wake_;  // an eventfd: the world has changed, or the end
  std::atomic<bool> stopping_{false};
  NameDiscovery discovery_;
  std::map<ResolverSettings, std::unique_ptr<CaresResolver>> resolvers_;  // null: c-ares refused
  std::thread thread_;
};

}  // namespace millrace::agent
