// A listener as one worker runs it: accepts transports into connections and keeps the configuration that they and their requests
// refer to, one version beside the other, until nothing refers to an old one any more.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "config/model/listener.h"
#include "dataplane/base/time.h"
#include "dataplane/report/cells.h"
#include "dataplane/stream/byte_stream.h"

namespace millrace::proxy {

struct Runtime;

/// One version of a listener's configuration. Counted by this worker only, without atomics.
class ListenerVersion {
 public:
  ListenerVersion(std::shared_ptr<const config::Listener> listener, std::uint32_t worker)
      : listener_(std::move(listener)),
        listener_stats_(listener_->cell->per_worker[worker]),
        http_stats_(listener_->chain.http.cell->per_worker[worker]) {}

  [[nodiscard]] const config::Listener& listener() const { return *listener_; }
  [[nodiscard]] const config::HttpConnectionManager& http() const { return listener_->chain.http; }
  [[nodiscard]] report::ListenerStats& listener_stats() { return listener_stats_; }
  [[nodiscard]] report::HttpStats& http_stats() { return http_stats_; }
  [[nodiscard]] bool is(const std::shared_ptr<const config::Listener>& listener) const { return listener_ == listener; }

  void pin() { ++pins_; }
  void unpin() { --pins_; }
  [[nodiscard]] bool is_pinned() const { return pins_ > 0; }

 private:
  std::shared_ptr<const config::Listener> listener_;
  report::ListenerStats& listener_stats_;
  report::HttpStats& http_stats_;
  std::size_t pins_ = 0;
};

class ListenerRuntime final : public stream::Acceptor {
 public:
  ListenerRuntime(Runtime& runtime, std::shared_ptr<const config::Listener> listener);

  /// Takes over a new version. Content that changed drains the connections accepted under the old one; a new route table alone
  /// (equal content_hash) serves their next requests.
  void update(std::shared_ptr<const config::Listener> listener, Instant now);
  /// The listener is gone from the configuration: drains its connections.
  void retire(Instant now);
  [[nodiscard]] bool is_unused() const;

  void on_accept(stream::ByteStream& stream, Instant now) override;

  [[nodiscard]] ListenerVersion& current() { return *versions_.back(); }

 private:
  void drain_connections(Instant now);
  void sweep();

  Runtime& runtime_;
  std::vector<std::unique_ptr<ListenerVersion>> versions_;  // the last is the current one
};

}  // namespace millrace::proxy
