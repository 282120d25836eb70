// Which connections of a listener its downstream_cx_total, _active and _destroy count: each from the choice of its filter chain
// to its end, a TLS handshake included, as in Envoy. Moves on with the connection.
#pragma once

#include <utility>

#include "dataplane/report/cells.h"

namespace millrace::proxy {

class ConnectionCount {
 public:
  ConnectionCount() = default;
  ConnectionCount(ConnectionCount&& other) noexcept : stats_(std::exchange(other.stats_, nullptr)) {}
  ~ConnectionCount() { end(); }

  /// Counts it, unless it was counted before. `stats` outlive the connection.
  void begin(report::ListenerStats& stats) {
    if (stats_ != nullptr) return;
    stats_ = &stats;
    stats.downstream_cx_total.add();
    stats.downstream_cx_active.add();
  }
  void end() {
    if (stats_ == nullptr) return;
    stats_->downstream_cx_destroy.add();
    stats_->downstream_cx_active.subtract();
    stats_ = nullptr;
  }

 private:
  report::ListenerStats* stats_ = nullptr;  // null: it is not counted
};

}  // namespace millrace::proxy
