// What a request needs to be tried more than once: its policy with what is left of it, its body as the client has sent it, which
// endpoints were tried, and the timers of one try and of the wait before the next. Lives in its stream's arena, and only where a
// policy, or the client, asks for it. What all of it means for the request is active_stream_retry.cc.
//
//   open --wait()--> waiting --back-off is over--> open ... --give_up(): no further try; timeouts of this one go on
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/hedged_try.h"
#include "dataplane/proxy/lb/host_view.h"
#include "dataplane/proxy/policy/retry.h"
#include "dataplane/report/cells.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

class ActiveStream;
class CircuitBreakers;
class ClusterRuntime;
class ConnectionPool;
struct Runtime;

class StreamRetries {
 public:
  struct Limits {
    Duration try_timeout;       ///< from take_try_timeout()
    std::size_t keep_bytes;     ///< of a body, at the most
    bool hedge_on_try_timeout;  ///< a try that takes too long goes on beside the next one
    bool for_redirects;         ///< the body is wanted for these, too, whether or not there may be another try
  };
  /// `head` as Retry wants it.
  StreamRetries(Runtime& runtime, ActiveStream& stream, const config::RetryPolicy& policy, const http::RequestHead& head,
                const Limits& limits);
  ~StreamRetries() { stop(); }
  StreamRetries(const StreamRetries&) = delete;
  StreamRetries& operator=(const StreamRetries&) = delete;

  [[nodiscard]] Retry& retry() { return retry_; }
  [[nodiscard]] Duration try_timeout() const { return limits_.try_timeout; }
  [[nodiscard]] bool hedges_on_try_timeout() const { return limits_.hedge_on_try_timeout; }
  /// There may be another try.
  [[nodiscard]] bool is_open() const { return open_; }
  /// A failed try was the last one so far; the next begins when the back-off is over.
  [[nodiscard]] bool is_waiting() const { return back_off_.is_armed(); }
  /// This try is a retry that counts among its cluster's.
  [[nodiscard]] bool is_counted() const { return counted_in_ != nullptr; }
  /// Tries before this one that still may be answered.
  [[nodiscard]] IntrusiveList<HedgedTry, OfStreamTag>& hedges() { return hedges_; }

  /// Somebody may want the body again; false once that was too much.
  [[nodiscard]] bool keeps_body() const { return open_ || keeps_for_redirects_; }
  /// Keeps references to all of `data`. False: it would be too much, for the request or for the packet pool, or there is no
  /// memory; nothing can be said of what is kept.
  [[nodiscard]] bool keep(const stream::Chain& data);
  /// Adds references to all that was kept to `to`. False: no memory; some may have been added.
  [[nodiscard]] bool replay(stream::Chain& to) const;

  /// A try begins at this endpoint, whose priority stands there in its cluster: ClusterRuntime::priority_of().
  void note(const ConnectionPool& pool, std::optional<std::size_t> priority);
  /// The endpoint of the next try, as far as choosing again helps one that the policy does not want; null: none is healthy.
  /// `context`: as at the first try.
  [[nodiscard]] ConnectionPool* choose(ClusterRuntime& cluster, ChoiceContext context, Instant now);

  /// The request is complete and has a connection: the time of this try begins.
  void begin_try(Instant now);
  /// The try has failed: counts the next among the cluster's retries, until uncount(). False: there are too many.
  [[nodiscard]] bool count_in(CircuitBreakers& breakers);
  /// Counts it there from now on, whatever the limit says: it was admitted elsewhere.
  void move_to(CircuitBreakers& breakers);
  void uncount();
  /// Begins the next try after `back_off`.
  void wait(Duration back_off, Instant now);
  void give_up();
  /// There is neither another try nor a redirect.
  void forget_body();
  /// The request is over.
  void stop();

 private:
  /// An endpoint that was tried, told apart by its cell, as ClusterRuntime does; never looked into.
  struct Tried {
    const report::EndpointCell* cell;
    std::optional<std::size_t> priority;
    const Tried* before;
  };

  [[nodiscard]] bool unwanted(const ConnectionPool& pool) const;
  void avoid_tried_priorities();
  void end_try();
  void on_back_off(Instant now);
  void on_try_timeout(Instant now);
  void on_idle_timeout(Instant now);

  Runtime& runtime_;
  ActiveStream& stream_;
  Retry retry_;
  const Limits limits_;
  stream::Chain kept_;
  const Tried* tried_ = nullptr;
  // For previous_priorities.
  const Tried* forgotten_ = nullptr;              // of tried_: what was tried up to it no longer counts
  std::uint32_t tries_ = 0;                       // since then
  PriorityMask avoided_;                          // what the latest update has taken out of the choice
  CircuitBreakers* counted_in_ = nullptr;         // of a cluster that its stream pins
  IntrusiveList<HedgedTry, OfStreamTag> hedges_;  // in the stream's arena
  Timer back_off_;
  Timer try_timer_;
  Timer idle_timer_;
  Instant try_began_;
  bool open_;
  bool keeps_for_redirects_;
};

}  // namespace millrace::proxy
