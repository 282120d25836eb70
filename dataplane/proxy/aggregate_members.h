// The clusters of an aggregate as one worker runs them. Which of them gets a request is AggregateChoice's; who of it, its own
// balancer's. Connections, their limits and their statistics are the member's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/time.h"
#include "dataplane/proxy/lb/aggregate_choice.h"
#include "dataplane/proxy/lb/host_view.h"

namespace millrace::proxy {

class ClusterRuntime;
class ConnectionPool;
struct Runtime;

class AggregateMembers {
 public:
  AggregateMembers(Runtime& runtime, const config::Cluster& aggregate) : runtime_(runtime), choice_(aggregate) {}

  /// From now on these, the preferred one first. They stay until the next call.
  void assign(const std::vector<ClusterRuntime*>& members, Instant now);
  /// As ClusterRuntime::choose().
  [[nodiscard]] ConnectionPool* choose(const ChoiceContext& context, Instant now);
  /// Where the priority of that endpoint stands among those of all members; nothing: it is no member's any more.
  [[nodiscard]] std::optional<std::size_t> priority_of(const ConnectionPool& endpoint) const;

 private:
  struct Member {
    ClusterRuntime* cluster;
    std::uint32_t version;  // of its endpoints and their health, that choice_ knows
  };
  void follow_members(Instant now);

  Runtime& runtime_;
  std::vector<Member> members_;
  AggregateChoice choice_;
};

}  // namespace millrace::proxy
