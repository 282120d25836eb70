// What a worker tells of one connection, and which ones it is asked for. Plain data: the agent makes text of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/base/addresses.h"
#include "dataplane/base/time.h"

namespace millrace::report {

/// RFC 9293 3.3.2, in the order of tcp::State. A peer whose handshake is under way is in SYN-RECEIVED.
enum class ConnectionState : std::uint8_t {
  kClosed,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
inline constexpr std::size_t kConnectionStates = 10;

struct ConnectionFilter {
  /// One end of a connection.
  struct Side {
    std::optional<IpPrefix> network;
    std::uint16_t port = 0;  ///< 0: any

    [[nodiscard]] bool matches(const IpAddress& ip, std::uint16_t its_port) const {
      return (port == 0 || port == its_port) && (!network || network->contains(ip));
    }
  };

  std::uint16_t states = (1u << kConnectionStates) - 1;  ///< a bit for each ConnectionState
  std::uint16_t port = 0;                                ///< of either side; 0: any
  Side local;
  Side peer;

  [[nodiscard]] bool matches(ConnectionState state, const SocketAddress& ours, const SocketAddress& theirs) const {
    return (states >> static_cast<unsigned>(state) & 1u) != 0 && (port == 0 || port == ours.port || port == theirs.port) &&
           local.matches(ours.ip, ours.port) && peer.matches(theirs.ip, theirs.port);
  }
};

/// Sizes and windows in bytes. What the kind does not have is as initialised here.
struct ConnectionInfo {
  /// How much is known: a half-open peer and a TIME-WAIT entry have no queues, windows and round trips.
  enum class Kind : std::uint8_t { kConnection, kHalfOpen, kTimeWait };
  enum class Congestion : std::uint8_t { kCubic, kNewReno };
  enum class Recovery : std::uint8_t { kOpen, kReduced, kFast, kTimeout };  ///< as tcp::Recovery::State

  Kind kind = Kind::kConnection;
  ConnectionState state = ConnectionState::kClosed;
  bool opened = false;  ///< by us; else accepted
  bool timestamps = false;
  bool sack = false;
  bool ecn = false;
  bool window_scaling = false;
  std::uint8_t own_scale = 0;
  std::uint8_t peer_scale = 0;
  Congestion congestion = Congestion::kCubic;
  Recovery recovery = Recovery::kOpen;

  std::uint32_t worker = 0;
  SocketAddress local;
  SocketAddress peer;
  Duration age;                  ///< to a tenth of a second
  std::optional<Duration> idle;  ///< since the peer was last heard

  std::uint32_t mss = 0;  ///< payload of a full segment that we send
  std::uint32_t cwnd = 0;
  std::optional<std::uint32_t> ssthresh;  ///< none: no congestion yet
  std::uint64_t pacing_rate = 0;          ///< bytes per second; 0: not paced
  std::uint64_t in_flight = 0;            ///< sent, neither acknowledged nor sacked nor lost
  std::uint64_t unacked = 0;              ///< sent and not acknowledged
  std::uint64_t unsent = 0;               ///< written by the user and never sent
  std::uint64_t readable = 0;             ///< in order, and not read by the user
  std::uint64_t out_of_order = 0;         ///< received ahead of its turn
  std::uint32_t receive_window = 0;       ///< what we offer
  std::uint32_t peer_window = 0;          ///< what the peer offers

  std::optional<Duration> srtt;
  Duration rtt_variance;
  std::optional<Duration> min_rtt;
  Duration rto;

  std::uint32_t retransmissions = 0;  ///< segments sent again, since the start
  std::uint32_t timeouts = 0;         ///< of the retransmission timer, since the start
  std::uint32_t losses = 0;           ///< found without a timeout, since the start
};

}  // namespace millrace::report
