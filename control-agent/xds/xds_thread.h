// The thread that speaks with control planes: drives the xDS client, and writes a log line for everything that they send.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "control-agent/xds/grpc_transport.h"
#include "control-agent/xds/xds_client.h"

namespace millrace::agent {

struct XdsOptions {
  std::uint64_t seed = 0;
  LastGood last_good = {};             ///< stands in for servers that say nothing at the start
  bool reject_unknown_fields = false;  ///< --reject-unknown-dynamic-fields
};

class XdsThread {
 public:
  /// What is given outlives this.
  XdsThread(const envoy::config::bootstrap::v3::Bootstrap& bootstrap, const envoy::config::core::v3::Node& node,
            SnapshotPublisher& publisher, SecretStore& secrets, DiscoveredSecrets& discovered, XdsOptions options);
  ~XdsThread();
  XdsThread(const XdsThread&) = delete;
  XdsThread& operator=(const XdsThread&) = delete;

  /// Any thread.
  [[nodiscard]] const XdsClient& client() const { return client_; }

 private:
  void wake();
  void run();

  const envoy::config::bootstrap::v3::Bootstrap& bootstrap_;
  SnapshotPublisher& publisher_;
  std::mutex mutex_;  // of what is below
  std::condition_variable wake_;
  bool woken_ = false;
  bool stopping_ = false;
  GrpcTransport transport_;
  XdsClient client_;
  std::thread thread_;
};

}  // namespace millrace::agent
