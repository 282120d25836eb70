// The deadlines of one request. What each of them means for the request is ActiveStream::on_timeout().
//
//   first byte        head complete       request complete              response complete
//      |--- kHeaders -----|                      |------- kRoute -------------|
//      |--------------- kRequest ----------------|
//      |--- kIdle: restarted by every progress in either direction -----------|
//                         |------------------- kDuration ---------------------|
//
// kRoute covers all tries and the waits between them. kUpstreamDuration is a try's, from when it has a connection to the end of
// its response; the timeouts that retry policies set for one are in stream_retries.h.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/timer_wheel.h"

namespace millrace::proxy {

class ActiveStream;
struct Runtime;

class StreamTimeouts {
 public:
  enum class Kind : std::uint8_t {
    kHeaders,           ///< request_headers_timeout
    kRequest,           ///< request_timeout
    kIdle,              ///< stream_idle_timeout, or the route's idle_timeout
    kRoute,             ///< the route's timeout
    kDuration,          ///< max_stream_duration
    kUpstreamDuration,  ///< the cluster's max_stream_duration: of one try
  };

  StreamTimeouts(Runtime& runtime, ActiveStream& stream);

  /// Zero or less, or infinite: no such timeout.
  void arm(Kind kind, Duration after, Instant now);
  void disarm(Kind kind);
  void disarm_all();
  /// There was progress: the idle timeout starts again. Cheap: the timer moves when it fires.
  void touch(Instant now) { last_progress_ = now; }
  [[nodiscard]] Instant last_progress() const { return last_progress_; }

 private:
  template <Kind kKind>
  void on_fired(Instant now);

  Runtime& runtime_;
  ActiveStream& stream_;
  Duration idle_;
  Instant last_progress_;
  std::array<Timer, 6> timers_;
};

}  // namespace millrace::proxy
