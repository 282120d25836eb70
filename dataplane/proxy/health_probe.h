// Checks one endpoint again and again: a timer, a connection that is kept between checks where that is wanted, and what is said
// on it, which http_probe.h, grpc_probe.h and tcp_probe.h know.
//
//   resting --interval--> checking (connecting -> open) --result, or timeout--> resting
//
// Events only take note; service() does the work. A connection that ends between two checks is made anew for the next one.
#pragma once

#include <memory>
#include <optional>

#include "config/model/cluster.h"
#include "dataplane/base/intrusive_list.h"
#include "dataplane/base/timer_wheel.h"
#include "dataplane/proxy/health_watch.h"
#include "dataplane/proxy/serviced.h"
#include "dataplane/stream/byte_stream.h"
#include "dataplane/stream/chain.h"

namespace millrace::proxy {

struct AllTag;

class HealthProbe : public Serviced, public stream::ByteStreamEvents, public ListNode<AllTag> {
 public:
  /// `endpoint` is of the watch's present configuration and has a target. Both outlive this object, or follow() tells otherwise.
  HealthProbe(HealthWatch& watch, const config::Endpoint& endpoint);
  /// After stop(), or before start().
  virtual ~HealthProbe();
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;

  /// The first check begins, after the initial jitter.
  void start(Instant now);
  /// The endpoint is `endpoint` now, of the watch's next configuration, whose checks are the same. False: it is reached by other
  /// ways, so that this probe is of no use for it; nothing has changed then.
  [[nodiscard]] bool follow(const config::Endpoint& endpoint);
  /// Ends the connection and all that is under way. start() begins anew.
  void stop(Instant now);

  void service(Instant now) override;

  // stream::ByteStreamEvents
  void on_connected(stream::ByteStream& stream, Instant now) override;
  void on_readable(stream::ByteStream& stream, Instant now) override;
  void on_writable(stream::ByteStream& stream, Instant now) override;
  void on_closed(stream::ByteStream& stream, stream::CloseReason reason, Instant now) override;

 protected:
  // What is said. Within each of them finish() may be called.
  /// The connection is open, and a check begins on it.
  virtual void say(Instant now) = 0;
  /// Takes what came. False: nobody has asked for it, and the connection is of no use any more.
  [[nodiscard]] virtual bool hear(stream::Chain& input, Instant now) = 0;
  /// The endpoint has ended its side.
  virtual void hear_end(Instant now) = 0;
  /// What is to be sent.
  [[nodiscard]] virtual stream::Chain& output() = 0;
  /// Some of it was.
  virtual void on_sent(Instant) {}
  /// A check is over; whether the next one may be made on the same connection.
  [[nodiscard]] virtual bool can_go_on() = 0;
  /// The connection is gone.
  virtual void forget() = 0;

  void finish(const CheckResult& result) {
    if (!result_) result_ = result;
  }
  [[nodiscard]] Runtime& runtime() const { return watch_.runtime(); }
  [[nodiscard]] HealthWatch& watch() const { return watch_; }
  [[nodiscard]] const config::HealthTarget& target() const { return *endpoint_->extras().health_target; }
  [[nodiscard]] stream::ByteStream* stream() const { return stream_; }
  [[nodiscard]] bool is_checking() const { return checking_; }

 private:
  static constexpr std::size_t kInputBytes = 16 * 1024;

  void wake();
  void on_interval(Instant now);
  void on_timeout(Instant now);
  void connect(Instant now);
  void exchange(Instant now);
  void read_in(Instant now);
  void conclude(const CheckResult& result, Instant now);
  void disconnect(Instant now);
  void reset(Instant now);

  HealthWatch& watch_;
  const config::Endpoint* endpoint_;
  Timer interval_;
  Timer timeout_;
  stream::Chain input_;
  stream::ByteStream* stream_ = nullptr;
  std::optional<CheckResult> result_;
  bool checking_ = false;
  bool connected_ = false;   // the connection is open
  bool said_ = false;        // in this check
  bool lost_ = false;        // the connection is of no use any more
  bool peer_ended_ = false;  // what it has sent is all there is
  bool end_heard_ = false;
};

/// Of the kind that the watch's configuration asks for.
[[nodiscard]] std::unique_ptr<HealthProbe> make_health_probe(HealthWatch& watch, const config::Endpoint& endpoint);

}  // namespace millrace::proxy
