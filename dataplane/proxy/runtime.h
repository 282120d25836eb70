// What the parts of one worker's proxy share: the context they were given, the pools they live in, the tables they look up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "dataplane/base/arena.h"
#include "dataplane/base/block_heap.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/pool.h"
#include "dataplane/http/date.h"
#include "dataplane/proxy/cluster_table.h"
#include "dataplane/proxy/connection_buckets.h"
#include "dataplane/proxy/listener_table.h"
#include "dataplane/proxy/policy/json.h"
#include "dataplane/proxy/proxy.h"
#include "dataplane/proxy/serviced.h"

namespace millrace::proxy {

class ActiveStream;
class ConnectionInspection;
class ConnectionRace;
class DownstreamConnection;
class HealthProbe;
class LocalConnection;
class ShadowRequest;
class TcpProxyConnection;
class TlsAcceptance;
class UpstreamConnection;

struct AllTag;    ///< the list of all objects of a kind
struct GraveTag;  ///< objects that are dead and freed at the end of the turn

/// `act` may take what it gets out of the list.
template <typename List, typename Act>
void for_each(List& list, Act&& act) {
  for (auto at = list.begin(); at != list.end();) {
    auto& item = *at;
    ++at;
    act(item);
  }
}

/// The Date field's text, formatted once a second.
class DateCache {
 public:
  std::string_view text(std::int64_t wall_nanoseconds) {
    const std::int64_t second = wall_nanoseconds / 1'000'000'000;
    if (second != second_) {
      second_ = second;
      text_ = http::format_date(second, buffer_);
    }
    return text_;
  }

 private:
  std::int64_t second_ = -1;
  std::array<char, http::kDateBytes> buffer_{};
  std::string_view text_;
};

struct Runtime {
  explicit Runtime(const ProxyContext& given);
  ~Runtime();

  ProxyContext context;
  std::shared_ptr<const config::Snapshot> snapshot;
  ChunkPool chunks;
  BlockHeap coding_heap;
  Pool<ConnectionInspection> inspection_pool;
  Pool<TlsAcceptance> acceptance_pool;
  Pool<DownstreamConnection> downstream_pool;
  Pool<TcpProxyConnection> tcp_proxy_pool;
  Pool<LocalConnection> local_pool;
  Pool<ConnectionBuckets::Node> connection_bucket_pool;
  Pool<ActiveStream> stream_pool;
  Pool<ShadowRequest> shadow_pool;
  Pool<UpstreamConnection> upstream_pool;
  Pool<ConnectionRace> race_pool;

  ReadyQueue ready;
  IntrusiveList<ConnectionInspection, AllTag> inspections;
  IntrusiveList<TlsAcceptance, AllTag> acceptances;
  IntrusiveList<DownstreamConnection, AllTag> downstreams;
  IntrusiveList<TcpProxyConnection, AllTag> tcp_proxies;
  IntrusiveList<LocalConnection, AllTag> locals;
  IntrusiveList<UpstreamConnection, AllTag> upstreams;
  IntrusiveList<HealthProbe, AllTag> health_probes;
  IntrusiveList<ConnectionInspection, GraveTag> dead_inspections;
  IntrusiveList<TlsAcceptance, GraveTag> dead_acceptances;
  IntrusiveList<DownstreamConnection, GraveTag> dead_downstreams;
  IntrusiveList<TcpProxyConnection, GraveTag> dead_tcp_proxies;
  IntrusiveList<LocalConnection, GraveTag> dead_locals;
  IntrusiveList<UpstreamConnection, GraveTag> dead_upstreams;
  IntrusiveList<ActiveStream, GraveTag> dead_streams;
  IntrusiveList<ShadowRequest, GraveTag> dead_shadows;

  ListenerTable listeners;
  ClusterTable clusters;
  DateCache date;
  JsonReader json{limits::kJwtBytes};
  std::size_t passed_through_upstreams = 0;  ///< connections to endpoints that no pool holds: of TcpProxyConnection
  std::uint64_t next_connection_id = 0;
  std::uint64_t next_stream_id = 0;
  std::uint32_t reset_rounds = 0;  ///< of the snapshot's overload, those that were acted upon
  bool draining = false;
  bool fails_health_checks = false;

  /// Null: nothing is watched.
  [[nodiscard]] const config::Overload* overload() const { return snapshot == nullptr ? nullptr : snapshot->overload.get(); }
  [[nodiscard]] std::uint32_t worker() const { return context.worker_index; }
  [[nodiscard]] std::int64_t wall_nanoseconds(Instant now) const {
    return now.to_nanoseconds() + context.wall_offset_nanoseconds;
  }
  /// A configured per_connection_buffer_limit_bytes, as far as the packet pool allows: it is a soft limit, and a few peers that
  /// do not read must not hold all buffers.
  [[nodiscard]] std::size_t buffer_limit(std::uint32_t configured) const {
    return std::clamp<std::size_t>(configured, 1, context.limits.connection_buffer_bytes);
  }
  /// Whether `action` has to be taken for what comes by `listener` now: with the probability that its level stands for.
  [[nodiscard]] bool is_overloaded(report::OverloadAction action, const config::Listener& listener) {
    if (snapshot->overload == nullptr || listener.bypasses_overload) return false;
    const std::uint32_t level = snapshot->overload->cell->level(action);
    return level > 0 && context.rng.below(report::OverloadCell::kSaturated) < level;
  }
  /// Arms `timer` to fire after `after`; a duration of zero or less, or infinite, means never.
  void arm_after(Timer& timer, Instant now, Duration after) {
    context.timers.arm(timer, after <= Duration() ? Instant::never() : now + after);
  }
  /// Takes a connection off the queue and the list of its kind: it is dead, and freed by bury().
  template <typename Connection>
  void lay_to_rest(Connection& dead, IntrusiveList<Connection, GraveTag>& graves) {
    static_cast<ListNode<ReadyTag>&>(dead).unlink();
    static_cast<ListNode<AllTag>&>(dead).unlink();
    graves.push_back(dead);
  }
  /// Frees what died in this turn: connections before the streams whose arenas their codecs used.
  void bury();
};

}  // namespace millrace::proxy
