// The thread that fetches keys of issuers: drives KeySetFetcher and libcurl, and writes a log line for whatever changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "control-agent/discovery/snapshot_publisher.h"
#include "control-agent/jwks/curl_client.h"
#include "control-agent/jwks/key_set_fetcher.h"

namespace millrace::agent {

class KeySetThread {
 public:
  /// `publisher` must outlive this.
  KeySetThread(std::shared_ptr<KeySetStore> store, SnapshotPublisher& publisher, std::uint64_t seed);
  /// Gives up the fetches that are under way.
  ~KeySetThread();
  KeySetThread(const KeySetThread&) = delete;
  KeySetThread& operator=(const KeySetThread&) = delete;

  /// As KeySetFetcher::is_warm(). Any thread.
  [[nodiscard]] bool is_warm() const { return fetcher_.is_warm(); }

 private:
  void run();

  const std::shared_ptr<KeySetStore> store_;
  SnapshotPublisher& publisher_;
  CurlClient client_;
  KeySetFetcher fetcher_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace millrace::agent
