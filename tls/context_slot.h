// Where the current TLS context of a listener or cluster lies. A changed certificate replaces the context and leaves the
// configuration alone: sessions keep the keys that they have, the next handshake takes what lies here then.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "tls/context.h"

namespace millrace::tls {

/// One writer, which is the agent; any number of readers, each once a handshake.
class ContextSlot {
 public:
  /// `context`: null as long as a secret that it needs has not come from the control plane.
  explicit ContextSlot(std::shared_ptr<const Context> context) : context_(std::move(context)) {}

  /// For all handshakes that begin from now on. Any thread.
  void replace(std::shared_ptr<const Context> context) {
    const std::scoped_lock lock(mutex_);
    context_.swap(context);  // the old one may be freed behind the lock
  }

  /// Null: there cannot be a handshake yet. Any thread; the lock is held for the copy of one pointer.
  [[nodiscard]] std::shared_ptr<const Context> current() const {
    const std::scoped_lock lock(mutex_);
    return context_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Context> context_;
};

}  // namespace millrace::tls
