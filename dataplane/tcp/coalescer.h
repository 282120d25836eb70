// Generic receive offload: segments of a burst that follow each other on one connection and differ in nothing but their numbers
// are handed on as one. Only what would be processed without a second thought: data in order, within the window, of full size but
// for the last, with the same acknowledgement, window and timestamps; what anything else says must not be lost. The
// acknowledgement of a run is that of its last segment, as every second one is owed an answer, and the answer to a burst goes out
// once a turn anyway.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/stream/chain.h"
#include "dataplane/tcp/flow.h"
#include "dataplane/tcp/segment.h"

namespace millrace::tcp {

class Endpoint;

/// Collects runs of segments within a burst. Whoever uses it gives what came on a flow before to the endpoint, before anything
/// else of that flow, and everything at the end of the burst.
class Coalescer {
 public:
  static constexpr std::size_t kRuns = 8;                 ///< connections at a time
  static constexpr std::size_t kLeastPayloadBytes = 512;  ///< less is a message of its own, not a part of a stream

  struct Run {
    explicit Run(stream::ChainPool& pool) : rest(pool) {}
    Endpoint* endpoint = nullptr;
    FlowKey flow;
    Segment first;
    stream::Chain rest;           ///< payloads of the others
    std::uint32_t room = 0;       ///< bytes that the window still takes
    std::uint32_t full_size = 0;  ///< bytes
    bool ended = false;           ///< by a segment that was not full, or pushed
  };

  explicit Coalescer(stream::ChainPool& pool)
      : runs_{Run(pool), Run(pool), Run(pool), Run(pool), Run(pool), Run(pool), Run(pool), Run(pool)} {}

  /// Takes a segment that continues the flow's run. False: the segment is untouched.
  [[nodiscard]] bool extend(const FlowKey& flow, Segment& segment);
  /// Begins a run with a segment that the endpoint expects next, if it is one that others may follow; `room`: its window. There
  /// must be no run of the flow, and fewer than kRuns. False: the segment is untouched.
  [[nodiscard]] bool start(Endpoint& endpoint, const FlowKey& flow, Segment& segment, std::uint32_t room);

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool full() const { return count_ == kRuns; }
  /// Ends the flow's run; null when there is none. The run is valid until the next call.
  [[nodiscard]] Run* take(const FlowKey& flow);
  /// Ends any run; null when there is none.
  [[nodiscard]] Run* take_any();

 private:
  [[nodiscard]] Run* find(const FlowKey& flow);

  std::array<Run, kRuns> runs_;  // the first count_ are in use
  std::size_t count_ = 0;
};

}  // namespace millrace::tcp
