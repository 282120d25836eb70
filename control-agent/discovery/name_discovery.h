// Discovery by names: resolves what the clusters of type STRICT_DNS and LOGICAL_DNS name, again and again, and brings the
// addresses to the publisher. Has no thread, no socket and no clock: who drives it says what time it is.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control-agent/discovery/name_resolver.h"
#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/translate_cluster.h"
#include "control-agent/translate_dns.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace::agent {

/// Of a cluster, under Envoy's names.
struct DnsStats {
  std::uint64_t update_attempt = 0;
  std::uint64_t update_success = 0;
  std::uint64_t update_failure = 0;
  std::uint64_t update_empty = 0;
  std::uint64_t update_no_rebuild = 0;
};

/// The resolver for `settings`, the same for the same: null where there can be none. It lives as long as who gave it.
using ResolverSource = std::function<NameResolver*(const ResolverSettings& settings)>;

/// Which families it makes sense to ask for: those that ports have addresses of.
struct RoutableFamilies {
  bool v4 = true;
  bool v6 = true;
};

/// stats() and is_warm() are for any thread, the others for one.
class NameDiscovery {
 public:
  NameDiscovery(SnapshotPublisher& publisher, ResolverSource resolvers, RoutableFamilies routable, std::uint64_t seed);
  ~NameDiscovery();

  /// Follows the clusters of the publisher's world, asks what is due, publishes what was answered. To be called after
  /// next_timeout(), after answers, and when the world has changed.
  void service(Instant now);
  [[nodiscard]] Instant next_timeout() const;

  /// Every name that the gateway waits for was resolved, or has failed, once. After the first service().
  [[nodiscard]] bool is_warm() const;
  [[nodiscard]] std::map<std::string, DnsStats> stats() const;

 private:
  struct Target;
  struct Watch;
  struct Answered {
    std::shared_ptr<Watch> watch;
    std::string name;
    NameAnswer answer;
  };

  void follow_world(Instant now);
  void ask(const std::shared_ptr<Watch>& watch, const std::string& name, Target& target, Instant now);
  void ask_family(const std::shared_ptr<Watch>& watch, const std::string& name, IpFamily family);
  void take(Answered& answered, Instant now);
  void finish(Watch& watch, Target& target, Instant now);
  void publish();
  [[nodiscard]] Duration later(Duration interval);
  [[nodiscard]] Duration pause_after_failure(const DnsPlan& plan, Target& target);

  SnapshotPublisher& publisher_;
  ResolverSource resolvers_;
  const RoutableFamilies routable_;
  Rng rng_;
  std::vector<Answered> answers_;                          // that have come since the last service()
  mutable std::mutex mutex_;                               // of the table and of stats
  std::map<std::string, std::shared_ptr<Watch>> watches_;  // by cluster
  bool followed_ = false;
};

}  // namespace millrace::agent
