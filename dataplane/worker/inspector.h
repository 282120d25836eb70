// Serves the letters of a worker's mailbox, a bounded part in each turn.
#pragma once

#include <cstdint>

#include "dataplane/base/time.h"
#include "dataplane/tcp/stack.h"
#include "dataplane/worker/capture_taps.h"
#include "dataplane/worker/mailbox.h"

namespace millrace::worker {

class Inspector {
 public:
  Inspector(std::uint32_t worker, const tcp::Stack& tcp, CaptureTaps& taps) : worker_(worker), tcp_(tcp), taps_(taps) {}

  /// One turn's part, of limits::kWalkCostPerTurn at the most; true when more is to be done at once.
  bool serve(Mailbox& mailbox, Instant now) { return mailbox.has_letters() && serve_letters(mailbox, now); }

 private:
  bool serve_letters(Mailbox& mailbox, Instant now);
  bool walk(ConnectionQuery& query, std::size_t& budget, Instant now);
  template <typename Entry>
  std::size_t look_at(ConnectionQuery& query, const Entry& entry, Instant now);
  bool follow(Capture& capture, bool abandoned);

  std::uint32_t worker_;
  const tcp::Stack& tcp_;
  CaptureTaps& taps_;
};

}  // namespace millrace::worker
