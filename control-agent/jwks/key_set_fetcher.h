// When sets of keys are fetched, from which endpoint, and what becomes of the answers: good keys go into their slot, a failure
// leaves the last ones there. Has no thread, no socket and no clock: who drives it says what time it is.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/jwks/http_get.h"
#include "control-agent/jwks/key_set_store.h"
#include "dataplane/base/rng.h"
#include "dataplane/base/time.h"

namespace millrace::agent {

/// What has changed with a fetch, for the log: its keys, or whether it succeeds.
struct KeySetReport {
  std::string uri;
  std::string error;                  ///< why it has failed; empty: it has not
  std::size_t keys = 0;               ///< that are in use now
  std::vector<std::string> left_out;  ///< why others of a new set are not, each as "keys[1]: reason"
};

/// is_warm() is for any thread, the others for one.
class KeySetFetcher {
 public:
  /// Asks endpoints of the clusters of the publisher's world. All must outlive this.
  KeySetFetcher(KeySetStore& store, const SnapshotPublisher& publisher, HttpGetter& getter, std::uint64_t seed);
  ~KeySetFetcher();

  /// Follows the store, begins what is due, takes what was answered. To be called after next_timeout(), after answers, and when
  /// the world has changed.
  std::vector<KeySetReport> service(Instant now);
  [[nodiscard]] Instant next_timeout() const;

  /// Every set that a listener waits for was fetched, or could not be, once. After the first service().
  [[nodiscard]] bool is_warm() const;

 private:
  struct Fetch;
  struct Answered {
    std::shared_ptr<Fetch> fetch;
    HttpAnswer answer;
  };
  enum class Targeting : std::uint8_t { kFound, kUnresolved, kNone };

  void follow_store(Instant now);
  void begin_try(const std::shared_ptr<Fetch>& fetch, Instant now);
  [[nodiscard]] Targeting find_target(const KeySetPlan& plan, HttpGet& request, std::string& reason);
  void take(Answered& answered, Instant now);
  void succeed(Fetch& fetch, const std::string& body, Instant now);
  void fail(Fetch& fetch, const std::string& reason, Instant now);
  void settle(Fetch& fetch, Instant due);
  [[nodiscard]] Duration pause_before_retry(const Fetch& fetch);

  KeySetStore& store_;
  const SnapshotPublisher& publisher_;
  HttpGetter& getter_;
  Rng rng_;
  std::vector<Answered> answers_;  // that have come since the last service()
  std::vector<KeySetReport> reports_;
  mutable std::mutex mutex_;  // of the table, and of what is_warm() reads in it
  std::map<const KeySet*, std::shared_ptr<Fetch>> fetches_;
  bool followed_ = false;
};

}  // namespace millrace::agent
