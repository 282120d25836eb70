// What may be set about TCP; the defaults are those of limits.h or of the RFC named beside them.
#pragma once

#include <cstdint>

#include "dataplane/base/flow_steering.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/time.h"
#include "dataplane/tcp/congestion/congestion.h"
#include "dataplane/tcp/keyed_hash.h"

namespace millrace::tcp {

/// Of each connection.
struct TcpConfig {
  std::size_t receive_buffer_bytes = limits::kTcpReceiveBufferBytes;  ///< the window grows up to this
  std::size_t initial_receive_buffer_bytes = limits::kTcpInitialReceiveBufferBytes;
  std::size_t send_buffer_bytes = limits::kTcpSendBufferBytes;  ///< grows up to this, with the congestion window
  std::size_t initial_send_buffer_bytes = limits::kTcpInitialSendBufferBytes;
  CongestionKind congestion = CongestionKind::kCubic;
  bool nagle = false;                 ///< wait with a partial segment while others are outstanding (RFC 9293 3.7.4)
  bool pacing = true;                 ///< spread new data over the round trip, on paths of some milliseconds
  bool ask_for_ecn = false;           ///< connections that we open ask for ECN; a peer that asks always gets it (RFC 3168)
  std::uint32_t syn_retries = 6;      ///< with back-off: 127 s, as Linux
  std::uint32_t syn_ack_retries = 5;  ///< 63 s
  std::uint32_t data_retries = 15;    ///< at 120 s at most each; as Linux (RFC 9293 3.8.3: at least 100 s)
  std::uint32_t closed_retries = 8;   ///< the same when the user has closed
  Duration fin_wait_2 = Duration::seconds(60);     ///< how long a closed connection waits for the peer's FIN
  Duration closed_stall = Duration::seconds(120);  ///< how long a closed connection waits for a peer that offers no window
  Duration time_wait = Duration::seconds(60);      ///< as Linux; RFC 9293's 2 MSL would be 4 minutes
  /// What the peer has not acknowledged for so long ends the connection (RFC 5482); infinite: the retries alone decide.
  Duration user_timeout = Duration::infinite();
  /// Silence after which a peer is asked whether it is still there, and asked again (RFC 9293 3.8.4); infinite: never.
  Duration keep_alive_idle = Duration::infinite();
  Duration keep_alive_interval = Duration::seconds(75);
  std::uint32_t keep_alive_probes = 9;
};

/// Of one worker's stack.
struct StackConfig {
  TcpConfig tcp;
  SecretKey secret{};  ///< from the operating system
  std::size_t max_connections = limits::kTcpMaxConnections;
  std::size_t initial_connections = 1'024;                  ///< allocated at start; the pool grows up to max_connections
  std::size_t max_half_open = 16 * limits::kTcpSynBacklog;  ///< over all listeners
  std::size_t syn_backlog = limits::kTcpSynBacklog;         ///< per listener
  std::size_t max_time_wait = limits::kTcpMaxTimeWait;
  std::size_t max_held_slices = 65'536;     ///< out-of-order slices over all connections
  std::size_t max_sent_ranges = 1'048'576;  ///< records of what is outstanding over all connections
  std::uint16_t first_port = 32'768;        ///< ephemeral ports
  std::uint16_t last_port = 65'535;
  std::uint32_t challenge_acks_per_second = 1'000;  ///< RFC 5961 10
  /// Of several workers, who owns which flow: connections are opened from ports whose answers come to this one. Null: all are
  /// ours.
  const FlowSteering* steering = nullptr;
  std::uint16_t worker = 0;
};

}  // namespace millrace::tcp
