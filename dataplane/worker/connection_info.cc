#include "dataplane/worker/connection_info.h"

#include <variant>

namespace millrace::worker {
namespace {

using report::ConnectionInfo;
using report::ConnectionState;

static_assert(report::kConnectionStates == tcp::kStates);
static_assert(static_cast<int>(ConnectionState::kSynReceived) == static_cast<int>(tcp::State::kSynReceived));
static_assert(static_cast<int>(ConnectionState::kEstablished) == static_cast<int>(tcp::State::kEstablished));
static_assert(static_cast<int>(ConnectionState::kTimeWait) == static_cast<int>(tcp::State::kTimeWait));
static_assert(static_cast<int>(ConnectionInfo::Recovery::kTimeout) == static_cast<int>(tcp::Recovery::State::kTimeout));

// What ssthresh is before the first congestion: no limit.
constexpr std::uint32_t kNoThreshold = 0x7fff'ffff;

void describe_flow(const tcp::FlowEntry& entry, ConnectionState state, ConnectionInfo& info, Instant now) {
  info = ConnectionInfo();
  info.state = state;
  info.opened = entry.opened;
  info.local = {entry.key.local_ip, entry.key.local_port};
  info.peer = {entry.key.peer_ip, entry.key.peer_port};
  info.age = entry.age(now);
}

void describe_terms(const tcp::Terms& terms, ConnectionInfo& info) {
  info.timestamps = terms.timestamps;
  info.sack = terms.sack;
  info.ecn = terms.ecn;
  info.window_scaling = terms.scaling;
  info.own_scale = terms.own_scale();
  info.peer_scale = terms.peer_scale;
}

void describe_recovery(const tcp::Recovery& recovery, std::uint32_t mss, ConnectionInfo& info) {
  info.congestion = std::holds_alternative<tcp::Cubic>(recovery.congestion()) ? ConnectionInfo::Congestion::kCubic
                                                                              : ConnectionInfo::Congestion::kNewReno;
  info.recovery = static_cast<ConnectionInfo::Recovery>(recovery.state());
  info.cwnd = recovery.cwnd();
  if (recovery.ssthresh() < kNoThreshold) info.ssthresh = recovery.ssthresh();
  info.in_flight = recovery.board().in_network();
  if (recovery.cwnd() > 0) {
    const std::int64_t time = recovery.pace(mss).to_nanoseconds();
    if (time > 0) info.pacing_rate = std::uint64_t{mss} * 1'000'000'000 / static_cast<std::uint64_t>(time);
  }
  if (recovery.rtt().has_sample()) {
    info.srtt = recovery.rtt().srtt();
    info.rtt_variance = recovery.rtt().variance();
  }
  if (!recovery.rack().min_rtt().is_infinite()) info.min_rtt = recovery.rack().min_rtt();
  info.rto = recovery.rtt().rto();
  const tcp::Recovery::History history = recovery.history();
  info.retransmissions = history.retransmissions;
  info.timeouts = history.timeouts;
  info.losses = history.losses;
}

}  // namespace

void describe(const tcp::Endpoint& endpoint, ConnectionInfo& info, Instant now) {
  const tcp::Connection& connection = endpoint.connection();
  describe_flow(endpoint, state_of(endpoint), info, now);
  info.idle = now - connection.heard_at();
  // Until the peer has answered there are no terms, and nothing could be sent or received.
  if (connection.state() < tcp::State::kEstablished) return;
  describe_terms(connection.terms(), info);
  const tcp::Sender& sender = connection.sender();
  const tcp::Receiver& receiver = connection.receiver();
  describe_recovery(sender.recovery(), sender.mss(), info);
  info.mss = sender.mss();
  info.unsent = sender.unsent();
  info.unacked = sender.queued() - sender.unsent();
  info.peer_window = sender.window();
  info.readable = receiver.readable();
  info.out_of_order = receiver.reassembly().size();
  info.receive_window = receiver.rcv_wnd().count();
}

void describe(const tcp::HalfOpenEntry& entry, ConnectionInfo& info, Instant now) {
  describe_flow(entry, state_of(entry), info, now);
  info.kind = ConnectionInfo::Kind::kHalfOpen;
  describe_terms(entry.state.terms(), info);
  info.mss = entry.state.terms().send_mss();
  info.rto = entry.state.timeout();
  info.timeouts = entry.state.retries();
}

void describe(const tcp::TimeWait& entry, ConnectionInfo& info, Instant now) {
  describe_flow(entry, state_of(entry), info, now);
  info.kind = ConnectionInfo::Kind::kTimeWait;
  info.timestamps = entry.timestamps;
}

}  // namespace millrace::worker
