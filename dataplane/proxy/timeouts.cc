#include "dataplane/proxy/timeouts.h"

#include "dataplane/proxy/active_stream.h"
#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

StreamTimeouts::StreamTimeouts(Runtime& runtime, ActiveStream& stream)
    : runtime_(runtime),
      stream_(stream),
      timers_{Timer::calling<&StreamTimeouts::on_fired<Kind::kHeaders>>(*this),
              Timer::calling<&StreamTimeouts::on_fired<Kind::kRequest>>(*this),
              Timer::calling<&StreamTimeouts::on_fired<Kind::kIdle>>(*this),
              Timer::calling<&StreamTimeouts::on_fired<Kind::kRoute>>(*this),
              Timer::calling<&StreamTimeouts::on_fired<Kind::kDuration>>(*this),
              Timer::calling<&StreamTimeouts::on_fired<Kind::kUpstreamDuration>>(*this)} {}

void StreamTimeouts::arm(Kind kind, Duration after, Instant now) {
  if (kind == Kind::kIdle) {
    idle_ = after;
    last_progress_ = now;
  }
  runtime_.arm_after(timers_[static_cast<std::size_t>(kind)], now, after);
}

void StreamTimeouts::disarm(Kind kind) { timers_[static_cast<std::size_t>(kind)].disarm(); }

void StreamTimeouts::disarm_all() {
  for (Timer& timer : timers_) timer.disarm();
}

template <StreamTimeouts::Kind kKind>
void StreamTimeouts::on_fired(Instant now) {
  if constexpr (kKind == Kind::kIdle) {
    const Instant due = last_progress_ + idle_;
    if (due > now) {
      runtime_.context.timers.arm(timers_[static_cast<std::size_t>(kKind)], due);
      return;
    }
  }
  stream_.on_timeout(kKind, now);
}

}  // namespace millrace::proxy
