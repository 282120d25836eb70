// Which connections of a listener its downstream_cx_total, _active and _destroy count: each from the choice of its filter chain
// to its end, a TLS handshake included, as in Envoy. And the places that a connection takes where their number is limited, from
// when it is accepted or its filter asked. Moves on with the connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "dataplane/base/assert.h"
#include "dataplane/report/cells.h"

namespace millrace::proxy {

class ConnectionCount {
 public:
  /// Of the process, of the listener, and of a filter.
  static constexpr std::size_t kMostPlaces = 3;

  ConnectionCount() = default;
  ConnectionCount(ConnectionCount&& other) noexcept
      : stats_(std::exchange(other.stats_, nullptr)),
        places_(std::exchange(other.places_, {})),
        taken_(std::exchange(other.taken_, 0)) {}
  ConnectionCount& operator=(ConnectionCount&& other) noexcept {
    end();
    stats_ = std::exchange(other.stats_, nullptr);
    places_ = std::exchange(other.places_, {});
    taken_ = std::exchange(other.taken_, 0);
    return *this;
  }
  ~ConnectionCount() { end(); }

  /// Counts it, unless it was counted before. `stats` outlive the connection.
  void begin(report::ListenerStats& stats) {
    if (stats_ != nullptr) return;
    stats_ = &stats;
    stats.downstream_cx_total.add();
    stats.downstream_cx_active.add();
  }
  /// Takes one of `most` places, and counts it in `active` (null: nowhere), until the end; false: there is none. Both outlive the
  /// connection. At most kMostPlaces.
  [[nodiscard]] bool take_place(report::SharedTotal& total, std::uint64_t most, report::Gauge* active = nullptr) {
    if (!total.take(most)) return false;
    MR_ASSERT(taken_ < kMostPlaces);
    places_[taken_++] = {&total, active};
    if (active != nullptr) active->add();
    return true;
  }
  void end() {
    while (taken_ > 0) {
      const Place& place = places_[--taken_];
      place.total->release();
      if (place.active != nullptr) place.active->subtract();
    }
    if (stats_ == nullptr) return;
    stats_->downstream_cx_destroy.add();
    stats_->downstream_cx_active.subtract();
    stats_ = nullptr;
  }

 private:
  struct Place {
    report::SharedTotal* total = nullptr;
    report::Gauge* active = nullptr;
  };

  report::ListenerStats* stats_ = nullptr;  // null: it is not counted
  std::array<Place, kMostPlaces> places_{};
  std::size_t taken_ = 0;
};

}  // namespace millrace::proxy
