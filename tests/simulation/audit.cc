#include "tests/simulation/audit.h"

#include <cstdint>
#include <string>
#include <type_traits>

#include "dataplane/tcp/endpoint.h"

namespace millrace::sim {
namespace {

constexpr Duration kTick = Duration::nanoseconds(std::int64_t{1} << TimerWheel::kTickShift);

std::int64_t in_state(const Host& host, tcp::State state) {
  return host.tcp().gauges().connections[static_cast<std::size_t>(state)];
}

// The states in which something of ours is on its way, whatever the user does.
std::int64_t waiting_connections(const Host& host) {
  std::int64_t count = 0;
  for (const tcp::State state : {tcp::State::kSynSent, tcp::State::kSynReceived, tcp::State::kFinWait1, tcp::State::kClosing,
                                 tcp::State::kLastAck, tcp::State::kTimeWait}) {
    count += in_state(host, state);
  }
  return count + static_cast<std::int64_t>(host.tcp().half_open() + host.tcp().time_wait());
}

}  // namespace

void audit_timers(const Host& host, Findings& findings) {
  const Instant due = host.stack_due();
  if (waiting_connections(host) > 0 && due.is_never())
    findings.add(host.name() + ": lost a timer: connections wait, none is armed");
  const auto audit = [&](const tcp::Endpoint& endpoint) {
    const tcp::Connection& connection = endpoint.connection();
    const Instant wanted = connection.next_timeout();
    const std::string who =
        host.name() + ", port " + std::to_string(endpoint.key.local_port) + " in " + to_text(connection.state());
    if (connection.sender().queued() > 0 && connection.state() != tcp::State::kClosed && wanted.is_never()) {
      findings.add(who + ": lost a timer: bytes are queued, nothing is planned");
    }
    if (!wanted.is_never() && (due.is_never() || due > wanted + kTick))
      findings.add(who + ": lost a timer: it will fire too late");
  };
  std::size_t position = 0;
  host.tcp().walk(position, SIZE_MAX, [&](const auto& entry) {
    if constexpr (std::is_same_v<decltype(entry), const tcp::Endpoint&>) audit(entry);
  });
}

void audit_leaks(Host& host, Findings& findings) {
  const auto expect_none = [&](const char* what, std::int64_t count) {
    if (count != 0) findings.add(host.name() + ": leak: " + std::to_string(count) + " " + what);
  };
  expect_none("connections", static_cast<std::int64_t>(host.tcp().connections()));
  expect_none("half-open connections", static_cast<std::int64_t>(host.tcp().half_open()));
  expect_none("TIME-WAIT entries", static_cast<std::int64_t>(host.tcp().time_wait()));
  expect_none("queued bytes", host.tcp().gauges().bytes_queued);
  for (std::size_t i = 0; i < tcp::kStates; ++i) {
    expect_none(to_text(static_cast<tcp::State>(i)), host.tcp().gauges().connections[i]);
  }
  expect_none("chain nodes", static_cast<std::int64_t>(host.chains().nodes_in_use()));
  expect_none("packets", static_cast<std::int64_t>(host.packets().in_use()));
}

}  // namespace millrace::sim
