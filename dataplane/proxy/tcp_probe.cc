#include "dataplane/proxy/tcp_probe.h"

#include "dataplane/proxy/runtime.h"

namespace millrace::proxy {

TcpProbe::TcpProbe(HealthWatch& watch, const config::Endpoint& endpoint)
    : HealthProbe(watch, endpoint), output_(watch.runtime().context.chains) {}

void TcpProbe::say(Instant) {
  if (settings().receive.empty()) {
    finish({.success = true});  // it is reachable; as in Envoy, nothing is sent where nothing is expected
    return;
  }
  reader_.start(settings().receive);
  if (!output_.append_copy(settings().send)) finish({.failure = CheckFailure::kNetwork});
}

// What comes between two checks belongs to the one before.
bool TcpProbe::hear(stream::Chain& input, Instant) {
  if (is_checking()) {
    input.for_each([this](std::span<const std::uint8_t> part) { reader_.read(part); });
    if (reader_.has_all()) finish({.success = true});
  }
  input.clear();
  return true;
}

}  // namespace millrace::proxy
