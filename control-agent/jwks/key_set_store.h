// Every set of keys that is fetched, how, and where its keys lie: translation asks for slots here, the fetcher fills them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config/model/filters/json_web_keys.h"
#include "dataplane/base/time.h"
#include "dataplane/report/cells.h"

namespace millrace::agent {

/// envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks. The defaults are Envoy's.
struct KeySetPlan {
  std::string uri;        ///< as configured
  std::string authority;  ///< of the URI: the host field of the request
  std::string path;       ///< with its query; "/" at least
  std::string cluster;    ///< whose endpoints are asked
  Duration timeout;       ///< of a fetch with all its tries
  Duration cache_duration = Duration::seconds(600);
  Duration failed_refetch_duration = Duration::seconds(1);
  bool is_async = false;        ///< async_fetch: fetched anew a little before they expire
  bool holds_listener = false;  ///< async_fetch without fast_listener: the first fetch is waited for
  // retry_policy.
  std::uint32_t retries = 0;
  Duration base_interval = Duration::seconds(1);
  Duration max_interval = Duration::seconds(10);  ///< of a pause, and of one try
  std::shared_ptr<report::HttpCell> cell;         ///< of the connection manager that counts fetches

  bool operator==(const KeySetPlan&) const = default;
};

struct KeySet {
  KeySetPlan plan;
  std::weak_ptr<config::JsonWebKeySlot> slot;  ///< empty: nobody uses it any more
};

/// Any thread may call.
class KeySetStore {
 public:
  /// The slot for the keys of `plan`, for as many workers: the one that others have already asked for, as long as one of them
  /// has it.
  [[nodiscard]] std::shared_ptr<config::JsonWebKeySlot> slot(const KeySetPlan& plan, std::size_t workers);

  /// Those whose slot somebody has.
  [[nodiscard]] std::vector<std::shared_ptr<const KeySet>> sets();

 private:
  void forget_unused();

  std::mutex mutex_;
  std::vector<std::shared_ptr<const KeySet>> sets_;
};

}  // namespace millrace::agent
