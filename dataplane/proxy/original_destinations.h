// The endpoints of an ORIGINAL_DST cluster as one worker has them: each is made when the first request or connection that was
// meant for its address comes, and goes when none has come for a cleanup_interval. Each worker has its own; they are no members
// of the cluster that the admin pages know.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "config/model/cluster.h"
#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"
#include "dataplane/base/timer_wheel.h"

namespace millrace::proxy {

class ClusterRuntime;
class ConnectionPool;
struct Runtime;
struct StreamInfo;

/// Where a request or a connection was meant to go, and what overrides that. In this order: metadata, the request's field, the
/// address that the client has connected to.
struct OriginalDestination {
  std::optional<SocketAddress> address;  ///< nothing: it is not known, or `invalid` tells why
  bool invalid = false;                  ///< what overrides it is no address
};
[[nodiscard]] OriginalDestination original_destination(const config::OriginalDst& rules, const StreamInfo& info);

class OriginalDestinations {
 public:
  /// There are so many at the most. Beyond that those that nothing uses make room.
  static constexpr std::size_t kMost = 1'024;

  /// `cluster` outlives it.
  OriginalDestinations(Runtime& runtime, ClusterRuntime& cluster);
  ~OriginalDestinations();
  OriginalDestinations(const OriginalDestinations&) = delete;
  OriginalDestinations& operator=(const OriginalDestinations&) = delete;

  /// Null: its destination is not known, or there are too many.
  [[nodiscard]] ConnectionPool* choose(const StreamInfo& info, Instant now);
  /// The cluster has changed: endpoints that would be reached in another way are made anew.
  void follow_cluster(Instant now);
  /// The cluster is gone, or is no ORIGINAL_DST cluster any more: nobody is chosen until follow_cluster().
  void retire(Instant now);
  /// No connections, no requests: may be destroyed.
  [[nodiscard]] bool is_unused() const;
  [[nodiscard]] std::size_t size() const { return by_address_.size(); }

 private:
  struct Destination {
    std::unique_ptr<ConnectionPool> pool;
    bool used = true;  // since the last clean-up
  };
  using Destinations = std::map<SocketAddress, Destination>;

  [[nodiscard]] ConnectionPool* make(const SocketAddress& address);
  [[nodiscard]] bool make_room(Instant now);
  [[nodiscard]] Destinations::iterator remove(Destinations::iterator at, Instant now);
  void sweep();
  void clean_up(Instant now);

  Runtime& runtime_;
  ClusterRuntime& cluster_;
  Destinations by_address_;
  std::vector<std::unique_ptr<ConnectionPool>> retired_;  // until nothing uses them
  bool is_retired_ = false;
  Timer cleanup_;  // armed while there is anything to clean up
};

}  // namespace millrace::proxy
